"""Through a whole server: the name decides which endpoint gets the connection, and it gets every byte."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

import gevent
import pytest

from linkerd_tcp.config.tls import ServerTls, TrustedProxy
from linkerd_tcp.errors import Cause
from linkerd_tcp.identifiers.client_cert import ClientCertConfig
from linkerd_tcp.identifiers.local_address import LocalAddressConfig
from linkerd_tcp.identifiers.proxy_authority import ProxyAuthorityConfig
from linkerd_tcp.identifiers.sni import SniConfig
from linkerd_tcp.naming.addr import Addr
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.terminator import Terminator
from linkerd_tcp.wire import proxy_protocol
from linkerd_tcp.wire import proxy_protocol_tlv as tlv
from tests.identifiers.callers import client_hello
from tests.leaks import no_leaks
from tests.rig import WEB, Endpoint, Rig, addresses, leaf
from tests.sockets import read_all
from tests.test_terminator import Client, trusting
from tests.tls_files import Authority

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def endpoints(no_leaks: None) -> Iterator[tuple[Endpoint, Endpoint]]:
    made = Endpoint(), Endpoint()
    yield made
    for endpoint in made:
        endpoint.close()


@pytest.fixture
def serve(endpoints: tuple[Endpoint, Endpoint]) -> Iterator[Any]:
    """A server with the given options: /svc/web leads to the first endpoint, `named` to the second."""
    made: list[Rig] = []

    def start(named: str, **server: Any) -> Rig:
        rig = Rig(addresses(endpoints[0].port), server)
        made.append(rig)
        other: Var[Addr] = Var(addresses(endpoints[1].port))
        rig.interpreter.set(Path.read(named), leaf(other, Path.read("/#/test/named")))
        return rig

    yield start
    for rig in made:
        rig.close()


def echoed(rig: Rig, sent: bytes, skip: int = 0) -> None:
    with rig.connect() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == sent[skip:]


def test_a_hello_is_routed_by_its_name_and_passed_on_whole(serve: Any, endpoints: tuple[Endpoint, Endpoint]) -> None:
    rig = serve("/svc/www.example.com", identifier=SniConfig(default=WEB))
    echoed(rig, client_hello("www.example.com") + b"early data")
    record = rig.ended()
    assert (str(record.path), str(record.bound)) == ("/svc/www.example.com", "/#/test/named")
    echoed(rig, b"not TLS")
    assert str(rig.ended(2).path) == "/svc/web"
    assert [endpoint.accepts for endpoint in endpoints] == [1, 1]


def test_what_has_no_name_and_no_default_is_closed_and_counted(serve: Any) -> None:
    rig = serve("/svc/www.example.com", identifier=SniConfig(), detect_timeout_ms=50)
    with rig.connect() as silent:
        assert read_all(silent) == b""
    record = rig.ended()
    assert record.cause is Cause.IDENTIFY
    assert rig.server.figures.failures == {Cause.IDENTIFY: 1}
    assert "sent nothing within detectTimeoutMs" in str(record.detail)


@pytest.mark.parametrize(
    ("identifier", "path"),
    [(ProxyAuthorityConfig(), "/svc/www.example.com"), (LocalAddressConfig(prefix=Path.read("/port")), "/port/5432")],
)
def test_what_a_trusted_proxy_says_decides(serve: Any, identifier: Any, path: str) -> None:
    trusted = TrustedProxy.model_validate({"trusted": ["127.0.0.0/8"]})
    rig = serve(path, identifier=identifier, proxy_protocol=trusted)
    ends = ("10.9.0.1", 40000), ("10.9.0.2", 5432)
    header = proxy_protocol.build_v2(*ends, tlvs=[tlv.Authority("www.example.com")])
    echoed(rig, header + b"and the stream", skip=len(header))
    assert str(rig.ended().path) == path


class TestWhereTlsEndsHere:
    """The handshake tells the name; what follows it is never waited for."""

    @pytest.fixture
    def terminated(self, serve: Any, tmp_path: FilePath) -> Iterator[Callable[..., tuple[Rig, Client]]]:
        ca = Authority(tmp_path)
        ca.sign("server.example")
        ca.sign("caller", "DNS:caller.example")
        shown = {"privateKey": "server.example.key", "certs": ["server.example.pem"]}
        said = {"defaultIdentity": shown, "clientAuth": {"mode": "optional", "trustCerts": ["ca.pem"]}}
        config = ServerTls.model_validate(said, context={"folder": tmp_path})
        clients: list[Client] = []

        def call(named: str, identifier: Any, asks: str | None, *, certificate: bool = False) -> tuple[Rig, Client]:
            rig = serve(named, tls=config, identifier=identifier, detect_timeout_ms=60_000)
            rig.server.reconfigure(rig.server.config, rig.router, Terminator(config))
            context = trusting(ca)
            if certificate:
                context.load_cert_chain(tmp_path / "caller.pem", tmp_path / "caller.key")
            clients.append(Client(rig, context, asks))
            return rig, clients[-1]

        yield call
        for client in clients:
            client.close()

    @pytest.mark.parametrize(
        ("identifier", "asks", "certificate", "path"),
        [
            (SniConfig(default=WEB), "www.example.com", False, "/svc/www.example.com"),
            (SniConfig(default=WEB), None, False, "/svc/web"),
            (ClientCertConfig(default=WEB), None, True, "/svc/caller.example"),
            (ClientCertConfig(default=WEB), None, False, "/svc/web"),
        ],
    )
    def test_what_the_handshake_told_decides_at_once(
        self, terminated: Any, identifier: Any, asks: str | None, certificate: bool, path: str
    ) -> None:
        named = path if path != str(WEB) else "/svc/unused"
        rig, client = terminated(named, identifier, asks, certificate=certificate)
        with gevent.Timeout(5):
            client.handshake()
            client.echo()
        (record,) = rig.book.open.values()
        assert str(record.path) == path

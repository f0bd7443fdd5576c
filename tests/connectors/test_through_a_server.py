"""A client's bytes through a whole server, to endpoints that want a header, TLS or both."""

import hashlib
import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest

from linkerd_tcp.balancers import pool
from linkerd_tcp.config.tls import ClientTls, ProxyHeader
from linkerd_tcp.errors import Cause
from linkerd_tcp.wire.proxy_protocol import build_v2
from tests.leaks import no_leaks
from tests.rig import Rig, addresses
from tests.sockets import eventually, read_all

from .authority import Authority
from .tls_server import TlsServer, server_context

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

NAME = "web.example.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "Test CA")


@pytest.fixture(scope="module")
def web(authority: Authority) -> Path:
    return authority.issue(NAME)


@pytest.fixture
def opened() -> Iterator[Any]:
    things: list[Any] = []

    def keep(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield keep
    for thing in reversed(things):
        thing.close()


def tls(authority: Authority, name: str = NAME, **more: Any) -> ClientTls:
    return ClientTls(dns_name=name, trust_certs=(authority.pem,), **more)


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_plain_client_gets_its_bytes_back_from_a_tls_endpoint(
    opened: Any, authority: Authority, web: Path, most: ssl.TLSVersion
) -> None:
    server = opened(TlsServer(server_context(web, most=most)))
    rig = opened(Rig(addresses(server.address.port), tls=tls(authority)))
    data = random.Random(7).randbytes(1 << 20)
    with rig.connect() as client:
        writing = gevent.spawn(lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        got = read_all(client)
        writing.get(timeout=5)
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    ended = rig.ended()
    assert (ended.cause, ended.rx_bytes, ended.tx_bytes) == (Cause.CLIENT_CLOSED, len(data), len(data))


def test_connections_after_the_first_resume_its_session(opened: Any, authority: Authority, web: Path) -> None:
    server = opened(TlsServer(server_context(web)))
    rig = opened(Rig(addresses(server.address.port), tls=tls(authority)))
    reused = []
    for count in range(1, 4):
        with rig.connect() as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
            reused.append(server.sessions[-1].session_reused)
        rig.ended(count)
    assert reused == [False, True, True]


def test_what_a_believed_header_said_comes_to_a_tls_endpoint_in_ours(
    opened: Any, authority: Authority, web: Path
) -> None:
    server = opened(TlsServer(server_context(web), expect_header=True))
    out = ProxyHeader(version="v2", tlvs=("crc32c", "uniqueId"))
    rig = opened(
        Rig(
            addresses(server.address.port),
            {"proxy_protocol": {"trusted": ("127.0.0.0/8",), "mode": "required"}},
            tls=tls(authority),
            proxy_protocol=out,
        )
    )
    with rig.connect() as client:
        client.sendall(build_v2(("192.0.2.1", 56324), ("198.51.100.2", 443)) + b"hello")
        assert client.recv(5) == b"hello"
    said = server.headers[0]
    assert (said.source, said.destination) == (("192.0.2.1", 56324), ("198.51.100.2", 443))
    assert said.unique_id == rig.ended().id.encode()


def test_a_plain_clients_own_addresses_are_said(opened: Any, authority: Authority, web: Path) -> None:
    server = opened(TlsServer(server_context(web), expect_header=True))
    rig = opened(Rig(addresses(server.address.port), tls=tls(authority), proxy_protocol=ProxyHeader(version="v1")))
    with rig.connect() as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        ends = (client.getsockname(), client.getpeername())
    assert (server.headers[0].source, server.headers[0].destination) == ends
    rig.ended()


def test_an_endpoint_that_fails_the_handshake_is_passed_over_and_counted(
    opened: Any, authority: Authority, web: Path
) -> None:
    stranger = opened(TlsServer(server_context(authority.issue("db.example.com"))))
    server = opened(TlsServer(server_context(web)))
    rig = opened(
        Rig(
            addresses(stranger.address.port, server.address.port),
            tls=tls(authority),
            fail_fast={"max_consecutive_failures": 2},
        )
    )
    count = 0
    until = monotonic() + 5
    while not any(row["state"] == "failed" for row in rows(rig)):
        assert monotonic() < until
        with rig.connect() as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
        count += 1
        rig.ended(count)
    failed = next(row for row in rows(rig) if row["state"] == "failed")
    assert failed["address"] == str(stranger.address)
    assert "its certificate is for DNS:db.example.com, and not for web.example.com" in failed["lastError"]
    tried = [(one.endpoint, one.error) for record in rig.book.closed for one in record.attempts]
    assert tried.count((str(stranger.address), Cause.TLS)) == 2


def rows(rig: Rig) -> list[dict[str, Any]]:
    return [row for balancer in rig.router.balancers() for row in balancer.endpoints_json()]


def test_a_client_that_finds_only_such_endpoints_has_the_words_in_its_record(
    opened: Any, authority: Authority, web: Path
) -> None:
    server = opened(TlsServer(server_context(web)))
    rig = opened(Rig(addresses(server.address.port), tls=tls(authority, "db.example.com")))
    with rig.connect() as client:
        assert client.recv(1) == b""
    ended = rig.ended()
    assert ended.cause is Cause.TLS
    assert "name_mismatch: its certificate is for DNS:web.example.com, and not for db.example.com" in ended.detail


def test_connections_kept_ready_have_shaken_hands_and_dead_ones_are_not_given_out(
    opened: Any, authority: Authority, web: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SWEEP_SECS", 0.02)
    server = opened(TlsServer(server_context(web)))
    rig = opened(Rig(addresses(server.address.port), tls=tls(authority), min_connections=2))
    with rig.connect() as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
    rig.ended()
    eventually(lambda: len(server.sessions) >= 3)
    seen = len(server.sessions)
    for session in list(server.sessions):
        with session:
            pass
    eventually(lambda: len(server.sessions) >= seen + 2)
    with rig.connect() as client:
        client.sendall(b"again")
        assert client.recv(5) == b"again"
    rig.ended(2)


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (ssl.TLSVersion.TLSv1_2, "or wants a client certificate (SSLV3_ALERT_HANDSHAKE_FAILURE)"),
        (ssl.TLSVersion.TLSv1_3, "endpoint: "),
    ],
)
def test_an_endpoint_that_misses_our_certificate_is_said(
    opened: Any, authority: Authority, web: Path, most: ssl.TLSVersion, words: str
) -> None:
    """TLS 1.3 tells so only after the handshake has ended here, so it is the stream's end and not the attempt's."""
    server = opened(TlsServer(server_context(web, most=most, trust=authority.pem)))
    rig = opened(Rig(addresses(server.address.port), tls=tls(authority)))
    gone = pytest.raises(ConnectionResetError) if most is ssl.TLSVersion.TLSv1_3 else nullcontext()
    with rig.connect() as client, gone:
        assert client.recv(1) == b""
    ended = rig.ended()
    assert ended.cause is Cause.TLS
    assert words in ended.detail, ended.detail

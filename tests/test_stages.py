"""Before it is routed a client may leave in any way, in any stage: nothing is left, and the cause is the stage's."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.errors import Cause
from linkerd_tcp.terminator import Terminator
from linkerd_tcp.wire.proxy_protocol import build_v2
from tests.leaks import no_leaks
from tests.rig import Endpoint, Rig, addresses
from tests.sockets import eventually, reset
from tests.tls_files import Authority
from tests.wire.test_client_hello import ssl_hello

assert no_leaks

HEADER = build_v2(("192.0.2.7", 1), ("192.0.2.1", 2))
HELLO = ssl_hello("db.example")

STAGES = {
    "preface": ({"proxyProtocol": {"trusted": ["127.0.0.0/8"]}, "dstName": "/svc/web"}, HEADER, Cause.PROXY_PROTOCOL),
    "handshake": ({"tls": {}, "dstName": "/svc/web"}, HELLO, Cause.TLS),
    "identify": ({"identifier": {"kind": "io.l5d.sni"}}, HELLO, Cause.IDENTIFY),
    "start_tls": ({"identifier": {"kind": "io.l5d.sni", "startTls": "postgres"}}, b"\x00\x00\x00\x08", Cause.IDENTIFY),
}


def leave_by_reset(client: socket.socket) -> None:
    reset(client)


def leave_by_fin(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)


def stay_silent(_: socket.socket) -> None:
    """Until the deadline."""


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    key, cert = Authority(tmp_path_factory.mktemp("ca")).sign("db.example")
    return {"defaultIdentity": {"privateKey": str(key), "certs": [str(cert)]}}


@pytest.mark.parametrize("sent", ["nothing", "a part"])
@pytest.mark.parametrize("leave", [leave_by_reset, leave_by_fin, stay_silent])
@pytest.mark.parametrize("stage", STAGES)
def test_whoever_leaves_before_being_routed_leaves_nothing_behind(
    stage: str,
    leave: Callable[[socket.socket], None],
    sent: str,
    identity: dict[str, object],
    no_leaks: None,
) -> None:
    said, message, cause = STAGES[stage]
    said = {**said, **({"tls": identity} if "tls" in said else {})}
    config = ServerConfig.model_validate({"port": 1, "detectTimeoutMs": 150, **said}, context={"folder": Path("/")})
    endpoint = Endpoint()
    rig = Rig(addresses(endpoint.port))
    terminator = None if config.tls is None else Terminator(config.tls)
    rig.server.reconfigure(config, rig.router, terminator)
    client = rig.connect()
    if sent == "a part":
        client.sendall(message[: len(message) // 2])
    eventually(lambda: rig.book.open)
    leave(client)
    record = rig.ended()
    assert record.cause in (cause, Cause.RESET)
    if leave is stay_silent:
        assert record.cause is cause
    assert record.detail
    assert endpoint.accepts == 0, "nothing is opened for a client that never got that far"
    client.close()
    rig.close()
    endpoint.close()

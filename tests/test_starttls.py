"""PostgreSQL's way into TLS: asked by the client, asked again of the endpoint, and untouched in between."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic

import gevent
import pytest

from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.path import Path
from linkerd_tcp.starttls import GSS_REQUEST, First, first_message
from linkerd_tcp.wire.client_hello import SSL_REQUEST
from linkerd_tcp.wire.parsing import Incomplete
from tests.leaks import no_leaks
from tests.rig import Endpoint, Rig, addresses, leaf
from tests.sockets import read_all
from tests.wire.test_client_hello import ssl_hello

assert no_leaks

Make = Callable[..., Rig]


def test_the_first_eight_bytes_tell() -> None:
    for kind, request in ((First.SSL, SSL_REQUEST), (First.GSS, GSS_REQUEST)):
        assert first_message(request + b"more") is kind
        for cut in range(8):
            assert first_message(request[:cut]) == Incomplete(8)
    for other in (b"\x16", b"Q", b"\x00\x00\x00\x09", SSL_REQUEST[:7] + b"\x31"):
        assert first_message(other) is First.OTHER


class Postgres:
    """Says `answer` to the request for TLS, then echoes; keeps what it was sent first."""

    def __init__(self, answer: bytes) -> None:
        self.first = b""
        self.answer = answer

    def __call__(self, sock: socket.socket, _: object) -> None:
        self.first = sock.recv(8)
        sock.sendall(self.answer)
        while received := sock.recv(65536):
            sock.sendall(received)


@pytest.fixture
def make(no_leaks: None) -> Iterator[Make]:
    made: list[Rig] = []
    endpoints: list[Endpoint] = []

    def rig(postgres: Postgres, **identifier: object) -> Rig:
        endpoints.append(Endpoint(postgres))
        options = {"kind": "io.l5d.sni", "startTls": "postgres", **identifier}
        model = ServerConfig.model_validate({"port": 1, "identifier": options, "detectTimeoutMs": 1000})
        made.append(Rig(addresses(endpoints[-1].port)))
        for name in ("db.example", "plain"):
            made[-1].interpreter.set(Path(("svc", name)), leaf(made[-1].addr))
        config = made[-1].server.config.model_copy(
            update={"dst_name": None, "identifier": model.identifier, "detect_timeout_ms": 1000}
        )
        made[-1].server.reconfigure(config, made[-1].router)
        return made[-1]

    yield rig
    for each in made:
        each.close()
    for endpoint in endpoints:
        endpoint.close()


@pytest.mark.parametrize("requests", [[SSL_REQUEST], [GSS_REQUEST, SSL_REQUEST]], ids=["ssl", "gss first"])
def test_the_request_is_answered_and_asked_again_and_tls_passes_through(make: Make, requests: list[bytes]) -> None:
    postgres = Postgres(b"S")
    rig = make(postgres)
    hello = ssl_hello("db.example")
    with rig.connect() as client:
        for request in requests:
            for byte in request:
                client.sendall(bytes([byte]))
                gevent.sleep(0)
            assert client.recv(1) == (b"S" if request is SSL_REQUEST else b"N")
        client.sendall(hello)
        got = b""
        while len(got) < len(hello):
            got += client.recv(65536)
        assert got == hello, "the answer of the endpoint to its own request is no part of the stream"
    record = rig.ended()
    assert postgres.first == SSL_REQUEST
    assert str(record.path) == "/svc/db.example"


def test_direct_tls_needs_no_request_and_the_endpoint_gets_none(make: Make) -> None:
    postgres = Postgres(b"")
    rig = make(postgres)
    hello = ssl_hello("db.example")
    with rig.connect() as client:
        client.sendall(hello)
        got = b""
        while len(got) < len(hello) - 8:
            got += client.recv(65536)
    rig.ended()
    assert postgres.first == hello[:8]


def test_plain_text_goes_to_the_default_untouched(make: Make) -> None:
    postgres = Postgres(b"")
    rig = make(postgres, default="/svc/plain")
    startup = b"\x00\x00\x00\x10\x00\x03\x00\x00user\x00\x00"
    with rig.connect() as client:
        client.sendall(startup)
        assert client.recv(100) == startup[8:]
    assert str(rig.ended().path) == "/svc/plain"
    assert postgres.first == startup[:8]


@pytest.mark.parametrize(
    ("answer", "words"), [(b"N", "it has no TLS"), (b"E", "it said b'E'")], ids=["no", "an error of old servers"]
)
def test_an_endpoint_that_refuses_ends_the_connection_in_words(make: Make, answer: bytes, words: str) -> None:
    rig = make(Postgres(answer))
    with rig.connect() as client:
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"S"
        client.sendall(ssl_hello("db.example"))
        with suppress(ConnectionResetError):  # where its hello was not read
            assert read_all(client) == b""
    record = rig.ended()
    assert record.cause is Cause.TLS
    assert record.detail is not None
    assert words in record.detail
    assert rig.server.figures.connect_failures == {Cause.TLS: 1}


def test_an_endpoint_that_does_not_answer_is_a_timeout(make: Make) -> None:
    rig = make(Postgres(b""))
    rig.server.reconfigure(rig.server.config.model_copy(update={"connect_timeout_ms": 100}), rig.router)
    began = monotonic()
    with rig.connect() as client:
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"S"
        client.sendall(ssl_hello("db.example"))
        assert rig.ended().cause is Cause.TIMEOUT
    assert monotonic() - began < 2

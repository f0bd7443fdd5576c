"""An HTTP server over TLS: who is let in, what a bad handshake costs, and how connections end."""

import logging
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from linkerd_tcp.config.tls import ServerTls
from linkerd_tcp.terminator import Terminator
from linkerd_tcp.web.server import HttpServer, Limits
from tests.programs import program
from tests.sockets import eventually, read_all, reset
from tests.tls_files import Authority
from tests.web.conftest import Application

ASK = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
MODULE = "linkerd_tcp.web.handler"
LIMITS = Limits("test server", max_connections=20, max_body_bytes=1000)

Make = Callable[..., HttpServer]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.sign("admin.example", "DNS:admin.example", "IP:127.0.0.1")
    authority.sign("other.example")
    authority.sign("caller")
    return authority


def identity(ca: Authority, name: str) -> dict[str, object]:
    return {"privateKey": str(ca.folder / f"{name}.key"), "certs": [str(ca.folder / f"{name}.pem")]}


@pytest.fixture
def make(ca: Authority, application: Application) -> Iterator[Make]:
    made: list[Any] = []

    def server(limits: Limits = LIMITS, **more: object) -> HttpServer:
        said = {"defaultIdentity": identity(ca, "admin.example"), **more}
        terminator = Terminator(ServerTls.model_validate(said, context={"folder": Path("/")}))
        http = HttpServer(limits)
        http.bind("127.0.0.1", 0, "test.port", application, terminator)
        http.start()
        made.extend((http, terminator))
        return http

    yield server
    for each in made:
        each.close()


def trusting(ca: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca.cert)
    return context


def dial(server: HttpServer, context: ssl.SSLContext, name: str = "admin.example") -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(server.address, timeout=5), server_hostname=name)


def pong(client: socket.socket) -> bool:
    """Whether it is answered: the whole of it, which comes in two records."""
    client.sendall(ASK)
    answer = b""
    while not answer.endswith(b"pong"):
        piece = client.recv(65536)
        if not piece:
            return False
        answer += piece
    return answer.startswith(b"HTTP/1.1 200 ")


def ping(server: HttpServer, context: ssl.SSLContext, name: str = "admin.example") -> bool:
    with dial(server, context, name) as client:
        return pong(client)


def curl(server: HttpServer, ca: Authority, *more: object) -> "subprocess.CompletedProcess[str]":
    url = "https://{}:{}/ping".format(*server.address)
    words = [program("curl"), "-sS", "--max-time", "5", "--cacert", ca.cert, *more, url]
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=10)


def test_requests_follow_one_another_on_one_connection(make: Make, ca: Authority) -> None:
    with dial(make(), trusting(ca)) as client:
        for _ in range(3):
            assert pong(client)
        assert client.version() == "TLSv1.3"


def test_the_identity_is_that_of_the_name_asked_for(make: Make, ca: Authority) -> None:
    server = make(identities={"other.example": identity(ca, "other.example")})
    assert ping(server, trusting(ca), "other.example")
    assert ping(server, trusting(ca))


def test_a_client_without_the_certificate_that_is_asked_for_is_refused_with_words_in_the_log(
    make: Make, ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    server = make(clientAuth={"mode": "required", "trustCerts": [str(ca.cert)]})
    for version in ("--tlsv1.3", "--tls-max"), ("--tlsv1.2", "--tls-max"):
        refused = curl(server, ca, version[0], version[1], version[0][-3:])
        assert (refused.returncode != 0, refused.stdout) == (True, "")
    let_in = curl(server, ca, "--cert", ca.folder / "caller.pem", "--key", ca.folder / "caller.key")
    assert let_in.stdout.endswith("pong"), let_in.stderr
    said = [each.getMessage() for each in caplog.records if each.name == MODULE]
    assert said
    assert all("it showed no certificate, and clientAuth.mode is required" in words for words in said)
    assert all("test server" in words and "127.0.0.1" in words for words in said)


def test_a_flood_of_bad_handshakes_is_said_once(
    make: Make, ca: Authority, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULE}._said", type(__import__(MODULE, fromlist=["x"])._said)())
    server = make(minVersion="TLSv1.3")
    old = trusting(ca)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for _ in range(5):
        with pytest.raises(ssl.SSLError):
            dial(server, old)
    eventually(lambda: server.silent == 0)
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1


@pytest.mark.parametrize("request_", [ASK, b"POST / HTTP/1.1\r\n\r\n", b"hello\r\n", b"\x15\x03\x01\x00\x02\x01\x00"])
def test_what_does_not_speak_tls_is_told_so_in_plain_words(
    make: Make, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    with socket.create_connection(server.address, timeout=5) as client:
        client.sendall(request_)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"This port speaks TLS" in answer
    eventually(lambda: server.silent == 0)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_slow_handshake_holds_up_nobody_and_has_a_deadline(
    make: Make, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULE}.HANDSHAKE_SECS", 0.5)
    server = make()
    slow = []
    for begun in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        for _ in range(3):
            slow.append(socket.create_connection(server.address, timeout=5))
            slow[-1].sendall(begun)
    began = monotonic()
    assert ping(server, trusting(ca))
    assert monotonic() - began < 0.5
    for client in slow:
        assert read_all(client) == b""
        client.close()
    assert monotonic() - began < 5
    eventually(lambda: server.silent == 0)


def test_slow_handshakes_make_room_for_others(make: Make, ca: Authority) -> None:
    server = make()
    slow = [socket.create_connection(server.address, timeout=5) for _ in range(2 * LIMITS.max_connections)]
    for client in slow:
        client.sendall(b"\x16\x03")
    assert ping(server, trusting(ca))
    assert server.silent <= LIMITS.max_connections
    for client in slow:
        client.close()
    eventually(lambda: server.silent == 0)


def test_a_client_that_has_gone_in_the_midst_of_a_handshake_costs_nothing(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    for end in (socket.socket.close, reset):
        for begun in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
            client = socket.create_connection(server.address, timeout=5)
            client.sendall(begun)
            end(client)
    eventually(lambda: server.silent == 0)
    assert "Traceback" not in caplog.text


def test_an_answer_that_ends_with_the_connection_ends_as_tls_does(make: Make, ca: Authority) -> None:
    context = trusting(ca)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    sock = socket.create_connection(make().address, timeout=5)
    with context.wrap_socket(sock, server_hostname="admin.example", suppress_ragged_eofs=False) as strict:
        strict.sendall(b"GET /long HTTP/1.0\r\nHost: localhost\r\n\r\n")
        # An end that was not announced is an SSLEOFError here.
        assert len(read_all(strict)) > 32 * 65536


def test_a_renewed_certificate_serves_within_a_second_or_two(
    ca: Authority, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for kind in ("key", "pem"):
        (tmp_path / f"a.{kind}").write_bytes((ca.folder / f"admin.example.{kind}").read_bytes())
    server = make(defaultIdentity={"privateKey": str(tmp_path / "a.key"), "certs": [str(tmp_path / "a.pem")]})

    def serial() -> str:
        with dial(server, trusting(ca)) as client:
            shown = client.getpeercert()
            assert shown is not None
            return str(shown["serialNumber"])

    before = serial()
    (tmp_path / "a.pem").write_text("nothing of use")
    eventually(lambda: "the renewed certificate is not used" in caplog.text)
    assert serial() == before
    key, cert = ca.sign("admin.example", "DNS:admin.example", "IP:127.0.0.1", file="again")
    for made, kind in ((key, "key"), (cert, "pem")):
        (tmp_path / "fresh").write_bytes(made.read_bytes())
        os.replace(tmp_path / "fresh", tmp_path / f"a.{kind}")
    eventually(lambda: serial() != before)


def test_a_client_that_does_not_read_its_answer_is_hung_up_on(
    make: Make, ca: Authority, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULE}.STALL_SECS", 0.1)
    server = make()
    with dial(server, trusting(ca)) as client:
        client.sendall(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
        eventually(lambda: server.answering == 1)
        eventually(lambda: server.answering + server.silent == 0)


def test_closing_ends_silent_connections_and_those_in_a_handshake(make: Make, ca: Authority) -> None:
    server = make()
    with dial(server, trusting(ca)) as silent, socket.create_connection(server.address, timeout=5) as begun:
        assert pong(silent)
        begun.sendall(b"\x16\x03")
        eventually(lambda: server.silent == 2)
        began = monotonic()
        server.close()
        assert monotonic() - began < 1
        assert (silent.recv(65536), read_all(begun)) == (b"", b"")

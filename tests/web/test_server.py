"""The bounds and deadlines of an HTTP server's sockets."""

import gc
import socket
from io import BufferedReader
from time import monotonic

import gevent
import pytest

from linkerd_tcp.errors import StartError
from linkerd_tcp.web.server import HttpServer
from tests.sockets import eventually, read_all
from tests.web.conftest import LIMITS, Application

MODULE = "linkerd_tcp.web.handler"
MAX_CONNECTIONS = LIMITS.max_connections
ASK = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAIT = ASK.replace(b"ping", b"wait")


def dial(server: HttpServer) -> socket.socket:
    return socket.create_connection(server.address, timeout=5)


def ping(server: HttpServer) -> bytes:
    with dial(server) as client:
        client.sendall(ASK)
        return client.recv(65536)


def test_a_taken_port_is_named_by_its_key(server: HttpServer, application: Application) -> None:
    with pytest.raises(StartError, match=r"^some\.key: .*taken"):
        HttpServer(LIMITS).bind(*server.address, "some.key", application)


def test_an_answered_connection_leaves_no_cycle_with_its_buffers(server: HttpServer) -> None:
    ping(server)
    eventually(lambda: server.silent == 0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            ping(server)
        eventually(lambda: server.silent == 0)
        gevent.sleep(0)
        assert not [each for each in gc.get_objects() if isinstance(each, BufferedReader)]
    finally:
        gc.enable()


def test_a_server_never_bound_may_be_closed() -> None:
    HttpServer(LIMITS).close()


def test_idle_connections_do_not_keep_a_probe_from_its_answer(server: HttpServer) -> None:
    idle = []
    for number in range(2 * MAX_CONNECTIONS):
        idle.append(dial(server))
        if number % 2:
            idle[-1].sendall(ASK)
            assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
        else:
            idle[-1].sendall(b"GET /pi")
    began = monotonic()
    assert ping(server).startswith(b"HTTP/1.1 200 ")
    assert monotonic() - began < 1
    assert server.silent <= MAX_CONNECTIONS
    # The oldest made room; the newest are still there.
    assert read_all(idle[0]) == b""
    idle[-1].sendall(ASK)
    assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
    for sock in idle:
        sock.close()
    eventually(lambda: server.silent <= 1)


def test_whoever_comes_while_all_are_being_answered_is_told_so(server: HttpServer, application: Application) -> None:
    busy = [dial(server) for _ in range(MAX_CONNECTIONS)]
    for sock in busy:
        sock.sendall(WAIT)
    eventually(lambda: server.answering == MAX_CONNECTIONS)
    with dial(server) as one_more:
        assert read_all(one_more).startswith(b"HTTP/1.1 503 ")
    application.go.set()
    for sock in busy:
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        sock.close()


@pytest.mark.parametrize("sent", [b"", b"GET /ping HT", ASK])
def test_a_client_that_sends_nothing_more_is_hung_up_on(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(f"{MODULE}.IDLE_SECS", 0.05)
    with dial(server) as client:
        client.sendall(sent)
        assert read_all(client).startswith(b"HTTP/1.1 200 " if sent == ASK else b"")
    eventually(lambda: not server.silent)


def drip(client: socket.socket, until: float) -> None:
    while monotonic() < until:
        client.sendall(b"x")
        gevent.sleep(0.01)


@pytest.mark.parametrize("head", [b"GET /ping HTTP/1.1\r\n", b"POST /body HTTP/1.1\r\nContent-Length: 60000\r\n\r\n"])
def test_a_client_that_sends_a_byte_now_and_then_is_hung_up_on(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """Each byte would begin a socket's own timeout anew."""
    monkeypatch.setattr(f"{MODULE}.REQUEST_SECS", 0.2)
    with dial(server) as client:
        client.sendall(head.replace(b"\r\n", b"\r\nHost: localhost\r\n", 1))
        until = monotonic() + 5
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(client, until)


def test_a_client_that_does_not_read_its_answer_is_hung_up_on(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULE}.STALL_SECS", 0.1)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(server.address)
        client.sendall(ASK.replace(b"ping", b"long") * 8)
        eventually(lambda: server.answering)
        eventually(lambda: not server.answering and not server.silent)


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
     b"GET " + b"x" * 9000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000,
     b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_is_answered_or_hung_up_on_without_a_word_on_standard_error(
    server: HttpServer, sent: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with dial(server) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        try:
            answer = read_all(client)
        except ConnectionResetError:
            answer = b""
    assert not answer or answer.startswith((b"HTTP/1.1 4",)), answer[:100]
    assert capfd.readouterr().err == ""
    assert "Traceback" not in caplog.text
    assert ping(server).endswith(b"pong")


def test_many_requests_sent_at_once_leave_the_loop_its_turns(server: HttpServer) -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    counting = gevent.spawn(count)
    with dial(server) as client:
        client.sendall(ASK * 100)
        answers = b""
        while answers.count(b"pong") < 100:
            answers += client.recv(65536)
    counting.kill()
    assert turns >= 100


def test_closing_ends_idle_connections_and_lets_an_answer_be_finished(
    server: HttpServer, application: Application
) -> None:
    with dial(server) as idle, dial(server) as asking:
        asking.sendall(WAIT)
        eventually(lambda: server.answering and server.silent)
        closing = gevent.spawn(server.close)
        gevent.spawn_later(0.05, application.go.set)
        assert b"done" in asking.recv(65536)
        assert read_all(idle) == b""
        asking.close()
        closing.get(timeout=3)
    assert not server._server.pool
    with pytest.raises(ConnectionRefusedError):
        dial(server)


def test_nothing_follows_the_headers_of_an_answer_to_head(server: HttpServer) -> None:
    with dial(server) as client:
        client.sendall(
            ASK.replace(b"GET /ping", b"HEAD /long") + ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        head, _, rest = read_all(client).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert rest.startswith(b"HTTP/1.1 200 ")
    assert rest.endswith(b"pong")

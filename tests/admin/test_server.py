"""The bounds and deadlines of the admin server's sockets."""

import socket
from pathlib import Path
from time import monotonic

import gevent
import pytest

from linkerd_tcp.admin import server
from linkerd_tcp.admin.server import MAX_CONNECTIONS, AdminServer
from linkerd_tcp.errors import StartError
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.sockets import eventually, read_all

ASK = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"


def dial(app: FakeApp) -> socket.socket:
    return socket.create_connection(app.admin.address, timeout=5)


def test_a_taken_port_is_named_by_its_key(app: FakeApp, tmp_path: Path) -> None:
    taken = app.config.admin.model_copy(update={"port": app.admin.address[1]})
    app.config = app.config.model_copy(update={"admin": taken})
    with pytest.raises(StartError, match=r"^admin\.port: .*taken"):
        AdminServer(app).bind()


def test_a_server_never_bound_may_be_closed(app: FakeApp) -> None:
    AdminServer(app).close()


def test_idle_connections_do_not_keep_a_probe_from_its_answer(app: FakeApp, http: Http) -> None:
    idle = []
    for number in range(2 * MAX_CONNECTIONS):
        idle.append(dial(app))
        if number % 2:
            idle[-1].sendall(ASK)
            assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
        else:
            idle[-1].sendall(b"GET /pi")
    began = monotonic()
    assert http.get("/live").status_code == 200
    assert monotonic() - began < 1
    assert len(app.admin._server.silent) <= MAX_CONNECTIONS
    # The oldest made room; the newest are still there.
    assert read_all(idle[0]) == b""
    idle[-1].sendall(ASK)
    assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
    for sock in idle:
        sock.close()
    eventually(lambda: len(app.admin._server.silent) <= 1)


def test_whoever_comes_while_all_are_being_answered_is_told_so(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = gevent.event.Event()
    monkeypatch.setattr(app, "reload", lambda: answered.wait() and [])
    busy = [dial(app) for _ in range(MAX_CONNECTIONS)]
    for sock in busy:
        sock.sendall(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    eventually(lambda: len(app.admin._server.answering) == MAX_CONNECTIONS)
    with dial(app) as one_more:
        assert read_all(one_more).startswith(b"HTTP/1.1 503 ")
    answered.set()
    for sock in busy:
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        sock.close()


@pytest.mark.parametrize("sent", [b"", b"GET /ping HT", ASK])
def test_a_client_that_sends_nothing_more_is_hung_up_on(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "IDLE_SECS", 0.05)
    with dial(app) as client:
        client.sendall(sent)
        assert read_all(client).startswith(b"HTTP/1.1 200 " if sent == ASK else b"")
    eventually(lambda: not app.admin._server.silent)


def drip(client: socket.socket, until: float) -> None:
    while monotonic() < until:
        client.sendall(b"x")
        gevent.sleep(0.01)


@pytest.mark.parametrize("head", [b"GET /ping HTTP/1.1\r\n", b"POST /reload HTTP/1.1\r\nContent-Length: 60000\r\n\r\n"])
def test_a_client_that_sends_a_byte_now_and_then_is_hung_up_on(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """Each byte would begin a socket's own timeout anew."""
    monkeypatch.setattr(server, "REQUEST_SECS", 0.2)
    with dial(app) as client:
        client.sendall(head.replace(b"\r\n", b"\r\nHost: localhost\r\n", 1))
        until = monotonic() + 5
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(client, until)
    assert app.asked == []


def test_a_client_that_does_not_read_its_answer_is_hung_up_on(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALL_SECS", 0.1)
    app.remember(0, 2_000)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(app.admin.address)
        client.sendall(b"GET /connections.json?limit=2000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
        eventually(lambda: app.admin._server.answering)
        eventually(lambda: not app.admin._server.answering and not app.admin._server.silent)


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n",
     b"GET " + b"x" * 9000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000,
     b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_is_answered_or_hung_up_on_without_a_word_on_standard_error(
    app: FakeApp, http: Http, sent: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with dial(app) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        try:
            answer = read_all(client)
        except ConnectionResetError:
            answer = b""
    assert not answer or answer.startswith((b"HTTP/1.1 4",)), answer[:100]
    assert capfd.readouterr().err == ""
    assert "Traceback" not in caplog.text
    assert http.get("/ping").text == "pong"


def test_many_requests_sent_at_once_leave_the_loop_its_turns(app: FakeApp) -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    counting = gevent.spawn(count)
    with dial(app) as client:
        client.sendall(ASK * 100)
        answers = b""
        while answers.count(b"pong") < 100:
            answers += client.recv(65536)
    counting.kill()
    assert turns >= 100


def test_closing_ends_idle_connections_and_lets_an_answer_be_finished(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "reload", lambda: gevent.sleep(0.05) or ["done"])
    with dial(app) as idle, dial(app) as asking:
        asking.sendall(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        eventually(lambda: app.admin._server.answering and app.admin._server.silent)
        closing = gevent.spawn(app.admin.close)
        assert b'"done"' in asking.recv(65536)
        assert read_all(idle) == b""
        asking.close()
        closing.get(timeout=3)
    assert not app.admin._server.pool
    with pytest.raises(ConnectionRefusedError):
        dial(app)

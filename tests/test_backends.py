"""The example's backends speak enough HTTP/1.1 for curl, h2load and a browser, and hold no one up."""

import errno
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import gevent
import pytest

from linkerd_tcp import backends
from linkerd_tcp.backends import ExampleBackend, ExampleBackends, parse_range
from linkerd_tcp.errors import StartError
from tests.leaks import nothing_left
from tests.system.harness import free_port

DEADLINE_SECS = 5.0


@pytest.fixture
def first() -> Iterator[int]:
    port = free_port(3)
    running = ExampleBackends(port, port + 2)
    running.start()
    yield port
    running.close()


def ask(port: int, request: bytes) -> bytes:
    """Everything that is sent back until the backend closes."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_SECS) as connection:
        connection.sendall(request)
        reply = b""
        while more := connection.recv(65536):
            reply += more
        return reply


def test_each_backend_answers_any_path_with_its_own_name(first: int) -> None:
    for port in range(first, first + 3):
        reply = ask(port, b"GET /any/path?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, body = reply.split(b"\r\n\r\n")
        assert body == b"backend %d\n" % port
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"X-Backend: %d\r\n" % port in head
        assert b"Content-Length: %d\r\n" % len(body) in head
        assert head.endswith(b"Connection: close")


def test_a_connection_is_kept_for_the_next_request_also_for_pipelined_ones(first: int) -> None:
    keep, last = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nconnection: Close\r\n\r\n"
    assert ask(first, keep * 3 + last).count(b"200 OK") == 4


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n",
    ],
)
def test_a_request_after_which_no_other_can_be_read_ends_the_connection(first: int, request_bytes: bytes) -> None:
    assert ask(first, request_bytes + b"GET / HTTP/1.1\r\n\r\n").count(b"200 OK") == 1


def test_head_is_answered_without_a_body(first: int) -> None:
    assert ask(first, b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n").endswith(b"\r\n\r\n")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01 hello\r\n\r\n", b"GET /\r\n\r\n", b"x" * 20_000])
def test_what_is_no_request_is_refused_and_the_connection_ended(first: int, garbage: bytes) -> None:
    with suppress(ConnectionResetError):
        assert ask(first, garbage).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_sends_no_request_is_let_go_at_the_deadline(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "HEADER_SECS", 0.05)
    assert ask(first, b"GET / HT") == b""


def test_a_taken_port_is_named_and_no_backend_is_left_listening() -> None:
    first = free_port(3)
    words = rf"^--backends: cannot listen on 127\.0\.0\.1:{first + 2}: the port is taken"
    with socket.create_server(("127.0.0.1", first + 2)), pytest.raises(StartError, match=words):
        ExampleBackends(first, first + 2).start()
    for port in (first, first + 1):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), DEADLINE_SECS)


def test_stopping_ends_open_connections_and_frees_the_ports() -> None:
    first = free_port(1)
    running = ExampleBackends(first, first)
    running.start()
    with socket.create_connection(("127.0.0.1", first), DEADLINE_SECS) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(4096)
        with gevent.Timeout(DEADLINE_SECS):
            running.close()
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", first)) == errno.ECONNREFUSED
    running.close()


def test_a_range_is_two_ports_or_one() -> None:
    assert parse_range("8081-8083") == (8081, 8083)
    assert parse_range("8081") == (8081, 8081)


@pytest.mark.parametrize(
    "text", ["", "-", "8081-", "-8083", "a-b", "8083-8081", "0-3", "65535-65536", "1-1000", "1 - 2"]
)
def test_what_is_no_range_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="ports"):
        parse_range(text)


@pytest.fixture
def single() -> Iterator[ExampleBackend]:
    """On a port that the kernel chose, and slow."""
    running = ExampleBackend(0, delay_secs=0.05)
    running.start()
    yield running
    running.close()


def test_a_slow_backend_takes_its_time_for_each_answer(single: ExampleBackend) -> None:
    begun = time.monotonic()
    keep, last = b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"
    assert ask(single.port, keep + last).count(b"backend %d\n" % single.port) == 2
    assert time.monotonic() - begun >= 0.1


def test_a_paused_backend_refuses_goes_on_with_who_is_there_and_comes_back(single: ExampleBackend) -> None:
    address = ("127.0.0.1", single.port)
    with socket.create_connection(address, DEADLINE_SECS) as before:
        before.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert before.recv(4096)
        for _ in range(2):
            single.pause()
            single.pause()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, DEADLINE_SECS)
            before.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"200 OK" in before.recv(4096)
            single.resume()
            single.resume()
            assert b"200 OK" in ask(single.port, b"GET / HTTP/1.0\r\n\r\n")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the port is not kept")
def test_a_paused_backend_keeps_its_port(single: ExampleBackend) -> None:
    single.pause()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", single.port))


def test_closing_a_paused_backend_leaves_nothing() -> None:
    with nothing_left():
        backend = ExampleBackend(0)
        backend.start()
        backend.pause()
        backend.close()
        backend.close()

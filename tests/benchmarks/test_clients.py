"""The load generators of our own, against a server that misbehaves on purpose, and a sink."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks import loads
from benchmarks.processes import Failed
from tests.sockets import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n"


class Server:
    """Answers each request with HELLO; every `refuses`th connection is closed instead."""

    def __init__(self, refuses: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = int(self._listener.getsockname()[1])
        self._refuses = refuses
        self.accepts = 0
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepts += 1
            if self._refuses and self.accepts % self._refuses == 0:
                sock.close()
            else:
                self.open.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):  # who asks may go first, and a test may close it
            while request := sock.recv(4096):
                sock.sendall(HELLO)
                if b"close" in request:
                    break

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def refusing() -> Iterator[Server]:
    made = Server(refuses=4)
    yield made
    made.close()


def run(*arguments: object) -> Any:
    command = [sys.executable, "-m", "benchmarks.clients", *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout)


def test_visits_are_counted_with_their_milliseconds_and_failures(refusing: Server) -> None:
    result = run("visit", refusing.port, 12)
    assert (len(result["millis"]), result["failed"]) == (9, 3)
    assert all(millis > 0 for millis in result["millis"])


def test_churn_is_as_many_connections_as_its_rate_says(refusing: Server) -> None:
    result = run("churn", refusing.port, 100, 1)
    assert result["served"] + result["failed"] == refusing.accepts
    assert 95 <= refusing.accepts <= 101
    assert result["failed"] == refusing.accepts // 4


def test_held_connections_are_open_until_the_end_of_the_block(server: Server) -> None:
    with loads.held(server.port, 5):
        assert server.accepts == 5
        assert all(sock.fileno() >= 0 for sock in server.open)
    eventually(lambda: all(sock.fileno() < 0 for sock in server.open))


def test_a_held_connection_that_is_closed_fails_the_measurement(server: Server) -> None:
    with pytest.raises(Failed, match="1 of 3 idle connections were closed"), loads.held(server.port, 3):
        server.open[1].shutdown(socket.SHUT_RDWR)


def test_what_is_poured_arrives_in_the_sink() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    sink = subprocess.Popen([sys.executable, "-m", "benchmarks.clients", "sink", str(port)], cwd=ROOT)
    try:
        eventually(lambda: _listens(port))
        assert run("pour", port, 5)["seconds"] > 0
    finally:
        sink.kill()
        sink.wait()


def test_a_download_that_is_cut_short_fails(server: Server) -> None:
    with pytest.raises(Failed, match="not all bytes arrived"):
        loads.client("fetch", server.port, 2, 1)
    assert server.accepts == 2


def test_an_upload_that_is_cut_short_fails(server: Server) -> None:
    with pytest.raises(Failed, match="client `pour` ended with 1"):
        loads.client("pour", server.port, 1)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0

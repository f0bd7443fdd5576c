"""Small load generators and a sink, where no program of the system does the same. Run as processes of their own:

    python -m benchmarks.clients sink PORT             take what comes, answer with how many bytes it was
    python -m benchmarks.clients pour PORT MIB         send so much to a sink: seconds
    python -m benchmarks.clients fetch PORT TIMES MIB  download /bulk, which has MIB, so many times: seconds
    python -m benchmarks.clients pull PORT             download /bulk until stdin ends: bytes, seconds
    python -m benchmarks.clients visit PORT COUNT      connections one after the other: milliseconds of each
    python -m benchmarks.clients hold PORT COUNT       open connections, use each once, print "ready", keep them until
                                                       stdin ends: how many were open to the end
    python -m benchmarks.clients churn PORT RATE SECS  new connections at a rate: how many were served, how many failed

The result is one line of JSON. What is received is thrown away in the kernel, uncopied (MSG_TRUNC), so that these cost
little of the cpu that they share with who is measured.
"""

import json
import selectors
import socket
import struct
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import Any, Final

LOCAL: Final = "127.0.0.1"
TIMEOUT_SECS: Final = 30.0
CLOSE: Final = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
KEEP: Final = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
BULK_CLOSE: Final = b"GET /bulk HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
PIECE_BYTES: Final = 1 << 20
TICK_SECS: Final = 0.005

_nowhere = bytearray(PIECE_BYTES)


def _connect(port: int) -> socket.socket:
    return socket.create_connection((LOCAL, port), timeout=TIMEOUT_SECS)


def _drop(sock: socket.socket) -> int:
    """Some of what came, thrown away: how much. 0 at the end."""
    return sock.recv_into(_nowhere, PIECE_BYTES, socket.MSG_TRUNC)


def _at_end_of_stdin() -> threading.Event:
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


def sink(port: int) -> None:
    with socket.create_server((LOCAL, port), backlog=1024) as server:
        while True:
            sock, _ = server.accept()
            threading.Thread(target=_swallow, args=(sock,), daemon=True).start()


def _swallow(sock: socket.socket) -> None:
    total = 0
    with sock, suppress(ConnectionError):  # who was cut off wants no answer
        while taken := _drop(sock):
            total += taken
        sock.sendall(struct.pack("!Q", total))


def pour(port: int, mebibytes: int) -> dict[str, Any]:
    with tempfile.TemporaryFile() as piece, _connect(port) as sock:
        piece.truncate(PIECE_BYTES)
        began = time.monotonic()
        for _ in range(mebibytes):
            sock.sendfile(piece)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(8, socket.MSG_WAITALL)
        took = time.monotonic() - began
    if len(answer) < 8 or struct.unpack("!Q", answer)[0] != mebibytes * PIECE_BYTES:
        sys.exit("not all bytes arrived")
    return {"seconds": took}


def fetch(port: int, times: int, mebibytes: int) -> dict[str, Any]:
    began, total = time.monotonic(), 0
    for _ in range(times):
        with _connect(port) as sock:
            sock.sendall(BULK_CLOSE)
            while taken := _drop(sock):
                total += taken
    took = time.monotonic() - began
    if total < times * mebibytes * PIECE_BYTES:
        sys.exit("not all bytes arrived")
    return {"seconds": took}


def pull(port: int) -> dict[str, Any]:
    """As many downloads in a row as there is time for."""
    ended, began, total = _at_end_of_stdin(), time.monotonic(), 0
    while not ended.is_set():
        with _connect(port) as sock:
            sock.sendall(BULK_CLOSE)
            while not ended.is_set() and (taken := _drop(sock)):
                total += taken
    return {"bytes": total, "seconds": time.monotonic() - began}


def visit(port: int, count: int) -> dict[str, Any]:
    """Each is connected, asks, reads to the end; measured from before connect."""
    millis: list[float] = []
    failed = 0
    for _ in range(count):
        began = time.perf_counter()
        try:
            with _connect(port) as sock:
                sock.sendall(CLOSE)
                served = bool(_drop(sock))
                while _drop(sock):
                    pass
        except OSError:
            served = False
        if served:
            millis.append((time.perf_counter() - began) * 1000)
        else:
            failed += 1
    return {"millis": millis, "failed": failed}


def hold(port: int, count: int) -> dict[str, Any]:
    held: list[socket.socket] = []
    for _ in range(count):
        sock = _connect(port)
        sock.sendall(KEEP)
        if not sock.recv(4096).startswith(b"HTTP/1.1 200"):
            sys.exit(f"connection {len(held)} was not served")
        held.append(sock)
    print("ready", flush=True)
    sys.stdin.read()
    return {"open": sum(_is_open(sock) for sock in held)}


def _is_open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return bool(sock.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


class _Churn:
    """Connections begun at a rate, each asking once and reading to the end, all in one thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.EpollSelector()
        self.served = 0
        self.failed = 0

    def begin(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex((LOCAL, self._port))
        self._selector.register(sock, selectors.EVENT_WRITE, time.monotonic())

    def turn(self, secs: float) -> None:
        for key, _ in self._selector.select(max(0.0, secs)):
            sock: Any = key.fileobj
            try:
                if key.events == selectors.EVENT_WRITE:
                    sock.send(CLOSE)
                    self._selector.modify(sock, selectors.EVENT_READ, False)
                elif _drop(sock):
                    self._selector.modify(sock, selectors.EVENT_READ, True)
                else:
                    self._end(sock, served=key.data is True)
            except OSError:
                self._end(sock, served=False)

    def _end(self, sock: socket.socket, *, served: bool) -> None:
        self._selector.unregister(sock)
        sock.close()
        self.served += served
        self.failed += not served

    def finish(self) -> None:
        """What is open gets a while to end; what does not has failed."""
        until = time.monotonic() + TIMEOUT_SECS
        while self._selector.get_map() and time.monotonic() < until:
            self.turn(0.1)
        for key in list(self._selector.get_map().values()):
            self._end(key.fileobj, served=False)  # type: ignore[arg-type]


def churn(port: int, rate: int, seconds: int) -> dict[str, Any]:
    churning, began, begun = _Churn(port), time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        while begun < now * rate:
            churning.begin()
            begun += 1
        until = (int(now / TICK_SECS) + 1) * TICK_SECS + began
        while (left := until - time.monotonic()) > 0:
            churning.turn(left)
    churning.finish()
    return {"served": churning.served, "failed": churning.failed}


COMMANDS: Final = {
    "sink": sink,
    "pour": pour,
    "fetch": fetch,
    "pull": pull,
    "visit": visit,
    "hold": hold,
    "churn": churn,
}

if __name__ == "__main__":
    result = COMMANDS[sys.argv[1]](*map(int, sys.argv[2:]))  # type: ignore[operator]
    print(json.dumps(result), flush=True)

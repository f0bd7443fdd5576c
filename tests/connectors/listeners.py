"""Real loopback listeners that count, refuse or never answer, and a check that nothing is left behind."""

import contextlib
import gc
import os
import socket
import time
from collections.abc import Callable, Iterator

import gevent
import greenlet
import pytest

from linkerd_tcp.naming.addr import Address

DEADLINE_SECS = 5.0


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Let the loop run until `condition` holds; fails after `DEADLINE_SECS`."""
    until = time.monotonic() + DEADLINE_SECS
    while not condition():
        assert time.monotonic() < until, f"{what} did not come about in {DEADLINE_SECS} s"
        gevent.sleep(0.001)


class Backend:
    """Accepts and counts; `greeting` is sent at once, `hang_up` closes right after that."""

    def __init__(self, greeting: bytes = b"", *, hang_up: bool = False, port: int = 0) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(4096)
        self.port = self.listener.getsockname()[1]
        self.accepts = 0
        self.connections: list[socket.socket] = []
        self._greeting = greeting
        self._hang_up = hang_up
        self._acceptor = gevent.spawn(self._accept)

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    def _accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            self.accepts += 1
            connection.sendall(self._greeting)
            if self._hang_up:
                connection.close()
            else:
                self.connections.append(connection)

    def close(self) -> None:
        self._acceptor.kill()
        self.listener.close()
        for connection in self.connections:
            connection.close()
        self.connections.clear()


class Refusing:
    """A port that is taken and refuses; `Backend(port=...)` can listen there after `close`."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    def close(self) -> None:
        self.socket.close()


class Silent:
    """A listener whose queue is full: it answers no SYN, so a connect to it stays in progress."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self._fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    def close(self) -> None:
        for held in (*self._fillers, self.listener):
            held.close()


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Descriptors and greenlets must be as many afterwards as before."""
    gevent.sleep(0)
    before = _held()
    yield
    try:
        eventually(lambda: _held() <= before)
    except AssertionError:
        pytest.fail(f"descriptors, greenlets before: {before}, after: {_held()}")


class _Held(tuple[int, int]):
    """Compared element by element."""

    def __le__(self, other: tuple[int, ...]) -> bool:
        return all(mine <= theirs for mine, theirs in zip(self, other, strict=True))


def _held() -> _Held:
    gc.collect()
    living = sum(1 for one in gc.get_objects() if isinstance(one, greenlet.greenlet) and not one.dead)
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return _Held((len(os.listdir(folder)), living))

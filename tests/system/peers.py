"""Small servers and clients inside the test: they say lines and check the answers, at a rate, for as long as told."""

import contextlib
import itertools
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer

Address = tuple[str, int]
CLIENT_SECS = 15.0


class Backend:
    """Answers every line with its own name and the line. `silent`: accepts, reads and never answers."""

    def __init__(
        self,
        name: str,
        *,
        silent: bool = False,
        ip: str = "127.0.0.1",
        port: int = 0,
        answer_after_secs: float = 0.0,
    ) -> None:
        self.name = name
        self.accepted = 0
        self._silent = silent
        self._answer_after_secs = answer_after_secs
        self._server = StreamServer((ip, port), self._serve, spawn=Pool(20_000), backlog=4096)
        self._server.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    @property
    def address(self) -> str:
        """As endpoint files say it."""
        return f"127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections that it holds now."""
        return len(self._server.pool)

    def stop(self) -> None:
        """Close the listener and cut what is open."""
        self._server.stop(timeout=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self, sock: Any, _: Address) -> None:
        self.accepted += 1
        prefix = self.name.encode() + b" "
        with sock, contextlib.suppress(ConnectionError), sock.makefile("rb") as lines:
            for line in lines:
                if self._answer_after_secs:
                    gevent.sleep(self._answer_after_secs)
                if not self._silent:
                    sock.sendall(prefix + line)


@contextlib.contextmanager
def backends(number: int) -> Iterator[list[Backend]]:
    """Several backends named b0, b1, ..."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Backend(f"b{index}")) for index in range(number)]


class Client:
    """One connection that says lines and checks what comes back."""

    def __init__(self, address: Address, *, secs: float = CLIENT_SECS) -> None:
        self.sock = socket.create_connection(address, timeout=secs)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._numbers = itertools.count()

    def ask(self) -> str:
        """Say one line; the name of the backend that answered it."""
        line = f"line {next(self._numbers)}\n".encode()
        self.sock.sendall(line)
        return self.answer_to(line)

    def answer_to(self, line: bytes) -> str:
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self.sock.recv(4096)
            if not piece:
                raise ConnectionError(f"ended in the middle of an answer: {answer!r}")
            answer += piece
        name, _, said = answer.partition(b" ")
        assert said == line, (said, line)
        return name.decode()

    def ended(self) -> bool:
        """Whether the other side has ended it, without waiting."""
        secs = self.sock.gettimeout()
        self.sock.settimeout(0)  # MSG_DONTWAIT would not do: gevent waits where the kernel does not
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        finally:
            self.sock.settimeout(secs)

    def wait_for_end(self, secs: float) -> bytes:
        """What still comes until the other side's FIN; TimeoutError when none comes."""
        self.sock.settimeout(secs)
        rest = b""
        while piece := self.sock.recv(65536):
            rest += piece
        return rest

    def reset(self) -> None:
        """Vanish with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Work:
    """Greenlets that run while the `with` block does, and what became of them."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.names: Counter[str] = Counter()
        self._pool = Pool()
        self._stopping = False

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stopping = True
        self._pool.join(timeout=0 if kind else CLIENT_SECS + 5)
        left = len(self._pool)
        self._pool.kill()
        if kind is None:
            assert not left, f"{left} clients did not end"
            assert not self.failures, f"{len(self.failures)} failed: {self.failures[:10]}"

    def _begin(self) -> None:
        raise NotImplementedError

    def _guarded(self, work: Callable[[], None]) -> None:
        began = time.time()
        try:
            work()
        except (OSError, AssertionError) as error:
            self.failures.append(f"{error!r} after {time.time() - began:.3f} s, begun at {began:.3f}")


class Visits(_Work):
    """New connections at a steady rate, each asking once; at the end of `with` all must have been answered."""

    def __init__(self, address: Address, per_second: float) -> None:
        super().__init__()
        self.made = 0
        self.seconds: list[float] = []
        self._address = address
        self._interval = 1 / per_second

    def _begin(self) -> None:
        self._pool.spawn(self._pace)

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._stopping:
            self._pool.spawn(self._guarded, self._visit)
            self.made += 1
            due += self._interval
            gevent.sleep(max(0.0, due - time.monotonic()))

    def _visit(self) -> None:
        began = time.monotonic()
        with Client(self._address) as client:
            self.names[client.ask()] += 1
        self.seconds.append(time.monotonic() - began)


class Held(_Work):
    """Established connections that go on asking; at the end of `with` none may have been cut or have lost a byte."""

    def __init__(self, address: Address, number: int, pause_secs: float = 0.05) -> None:
        super().__init__()
        self.answers = 0
        self._address = address
        self._number = number
        self._pause_secs = pause_secs
        self._ready = 0

    def _begin(self) -> None:
        for _ in range(self._number):
            self._pool.spawn(self._guarded, self._hold)
        with gevent.Timeout(CLIENT_SECS):
            while self._ready < self._number and not self.failures:
                gevent.sleep(0.005)

    def _hold(self) -> None:
        with Client(self._address) as client:
            self.names[client.ask()] += 1
            self._ready += 1
            while not self._stopping:
                client.ask()
                self.answers += 1
                gevent.sleep(self._pause_secs)


def visit(address: Address, times: int = 1) -> Counter[str]:
    """That many connections one after the other; how often each backend answered."""
    names: Counter[str] = Counter()
    for _ in range(times):
        with Client(address) as client:
            names[client.ask()] += 1
    return names

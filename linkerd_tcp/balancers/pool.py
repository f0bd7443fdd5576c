"""Connections kept ready for the next clients (`minConnections`), and the one greenlet that opens them."""

import _socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import gevent
from gevent.event import Event

from linkerd_tcp.balancers.endpoints import Endpoint, State
from linkerd_tcp.net.duplex import Side
from linkerd_tcp.net.tls import TlsEnd

SWEEP_SECS: Final = 1.0
"""How often those that their endpoint has closed are looked for and replaced."""

FIRST_BACKOFF_SECS: Final = 0.1
MAX_BACKOFF_SECS: Final = 10.0

Connected: TypeAlias = tuple[Side, Endpoint]

_ESTABLISHED: Final = 1
"""tcpi_state, the first byte of TCP_INFO: what Linux calls TCP_ESTABLISHED."""


class Pool:
    """At most `size` idle connections, oldest first; each counts as open at its endpoint.

    `dial` opens one, or says None when it could not. `release` is told of each one closed here. Endpoints are tried
    with a growing pause between failures, at most `MAX_BACKOFF_SECS`. `close` ends the greenlet and the connections.
    """

    def __init__(self, size: int, dial: Callable[[], Connected | None], release: Callable[[Endpoint], None]) -> None:
        self._size = size
        self._dial = dial
        self._release = release
        self._idle: deque[Connected] = deque()
        self._wake = Event()
        self._filler: Any = gevent.spawn(self._fill_for_ever)

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> Connected | None:
        """A living one, for the caller to own and later release; None if there is none."""
        while self._idle:
            sock, endpoint = self._idle.popleft()
            if _is_usable(sock, endpoint):
                self._wake.set()
                return sock, endpoint
            # The sweep replaces it, not now: an endpoint that hangs up at once must not be dialled in a loop.
            self._drop(sock, endpoint)
        return None

    def prune(self) -> None:
        """Close those that are dead or whose endpoint is to get nothing new; endpoints may have changed."""
        for _ in range(len(self._idle)):
            sock, endpoint = self._idle.popleft()
            if _is_usable(sock, endpoint):
                self._idle.append((sock, endpoint))
            else:
                self._drop(sock, endpoint)

    def refill(self) -> None:
        """Try again now: there are endpoints that were not there before."""
        self._wake.set()

    def close(self) -> None:
        """Close every idle connection; the greenlet ends in the next turn of the loop. Twice is harmless."""
        self._size = 0
        self._filler.kill(block=False)
        while self._idle:
            self._drop(*self._idle.popleft())

    def _drop(self, sock: Side, endpoint: Endpoint) -> None:
        sock.close()
        self._release(endpoint)

    def _fill_for_ever(self) -> None:
        backoff = FIRST_BACKOFF_SECS
        while True:
            pause = SWEEP_SECS
            self.prune()
            while len(self._idle) < self._size:
                connected = self._dial()
                if connected is None:
                    pause, backoff = backoff, min(2 * backoff, MAX_BACKOFF_SECS)
                    break
                backoff = FIRST_BACKOFF_SECS
                self._idle.append(connected)
                if not self._size:  # closed in the turn in which it connected
                    self._drop(*self._idle.pop())
            self._wake.clear()
            self._wake.wait(pause)


def _is_usable(sock: Side, endpoint: Endpoint) -> bool:
    """Still wanted, and not ended by the other side. Bytes that already wait are the client's, and stay."""
    return endpoint.wanted and endpoint.state is State.AVAILABLE and is_established(sock)


def is_established(sock: Side) -> bool:
    """Whether neither side has ended the connection, however many bytes wait to be read."""
    try:
        if hasattr(_socket, "TCP_INFO"):
            return sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, 1)[0] == _ESTABLISHED
        # Elsewhere an end that hides behind unread bytes is not seen.
        plain = sock.sock if isinstance(sock, TlsEnd) else sock
        return bool(plain.recv(1, _socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False

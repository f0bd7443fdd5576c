"""Looking at the first bytes of a connection without taking them, so that whoever serves it next finds them there.

The kernel is told how many bytes are worth waking up for (SO_RCVLOWAT): a ClientHello of 517 bytes that arrives byte by
byte costs three wake-ups. Two things would go wrong with that: at FIN below the mark poll reports the socket readable
for ever, so a wake-up without a new byte is the end; and a mark that stays would hold short messages back later, so
it is put back to 1 whatever happens.
"""

from _socket import MSG_PEEK, SO_RCVLOWAT, SOL_SOCKET
from _socket import socket as Socket
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from gevent.socket import wait_read

from linkerd_tcp.wire.parsing import Incomplete

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Peeked(Generic[T]):
    """What was seen: `message`, or None if it did not get whole because of the end (`ended`) or the deadline."""

    message: T | None
    seen: bytes
    ended: bool = False


def peek(sock: Socket, parse: Callable[[bytes], T | Incomplete], until: float, most: int) -> Peeked[T]:
    """Wait until `parse` makes something of the bytes that `sock` begins with; they stay in the socket.

    At most until `until` (time.monotonic seconds) and `most` bytes. Raises what `parse` raises, and OSError when the
    connection is reset. Blocks the calling greenlet only.
    """
    marked = False
    seen = b""
    try:
        while True:
            try:
                now_seen = sock.recv(most, MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                now_seen = None
            if now_seen is not None:
                if len(now_seen) == len(seen):
                    # Woken with nothing new: FIN, at the beginning or below the mark.
                    return Peeked(None, seen, ended=True)
                seen = now_seen
                parsed = parse(seen)
                if not isinstance(parsed, Incomplete):
                    return Peeked(parsed, seen)
                if parsed.need > most or len(seen) >= most:
                    return Peeked(None, seen)
                marked = True
                sock.setsockopt(SOL_SOCKET, SO_RCVLOWAT, parsed.need)
            if not _wait(sock, until):
                return Peeked(None, seen)
    finally:
        if marked:
            sock.setsockopt(SOL_SOCKET, SO_RCVLOWAT, 1)


class FirstBytes:
    """The bytes that a connection begins with, for whoever wants to look; `until` is on time.monotonic, seconds."""

    __slots__ = ("_sock", "_until")

    def __init__(self, sock: Socket, until: float) -> None:
        self._sock = sock
        self._until = until

    def peek(self, parse: Callable[[bytes], T | Incomplete], most: int) -> Peeked[T]:
        """See `peek`."""
        return peek(self._sock, parse, self._until, most)


def _wait(sock: Socket, until: float) -> bool:
    left = until - monotonic()
    if left <= 0:
        return False
    try:
        wait_read(sock.fileno(), timeout=left, timeout_exc=TimeoutError())
    except TimeoutError:
        return False
    return True

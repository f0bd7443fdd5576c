"""How much is under way in a socket: sent and not at the peer yet, come and not read yet."""

import array
import fcntl
import sys
import termios
from _socket import SOL_SOCKET
from typing import Protocol

_SO_NWRITE = 0x1024
"""macOS' getsockopt of the same meaning."""


class HasQueue(Protocol):
    """A socket, or what stands for one."""

    def fileno(self) -> int: ...

    def getsockopt(self, level: int, option: int, /) -> int: ...


def unsent_bytes(sock: HasQueue) -> int:
    """Bytes sent that the peer has not acknowledged (tcp(7), SIOCOUTQ); 0 where that cannot be asked."""
    if sys.platform == "darwin":
        return _darwin_unsent_bytes(sock)
    return _asked(sock, termios.TIOCOUTQ)


def unread_bytes(sock: HasQueue) -> int:
    """Bytes that have come and were not read yet (tcp(7), SIOCINQ); 0 where that cannot be asked."""
    return _asked(sock, termios.FIONREAD)


def _asked(sock: HasQueue, request: int) -> int:
    answer = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), request, answer)
    except OSError:
        return 0
    return answer[0]


def _darwin_unsent_bytes(sock: HasQueue) -> int:
    try:
        return sock.getsockopt(SOL_SOCKET, _SO_NWRITE)
    except OSError:
        return 0

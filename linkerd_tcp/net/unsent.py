"""How much of what was sent has not reached the peer yet."""

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
    try:
        if sys.platform == "darwin":
            return sock.getsockopt(SOL_SOCKET, _SO_NWRITE)
        queued = array.array("i", [0])
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
        return queued[0]
    except OSError:
        return 0

"""splice(2): bytes from socket to socket through a pipe, inside the kernel and without a copy.

A pipe is a stream's own only while it holds what a slow reader did not take. All others are empty and in a pool, to be
borrowed for one wake-up, so that a few are enough for any number of streams.
"""

import errno
import fcntl
import os
import resource
from posix import close  # gevent's os.close looks for watchers first, and a pipe has none
from typing import Final

PIPE_BYTES: Final = 1024 * 1024
"""The most that Linux gives to who is not root. Smaller ones save less, those of 64 KiB nothing."""

MOST_PIPES: Final = 32
"""Half of what Linux gives to all processes of one user together (`fs.pipe-user-pages-soft`)."""

POOLED_PIPES: Final = 16

UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP})
"""What old kernels and sandboxes answer to a splice out of a socket. Nothing has been read then."""


_FLAGS: Final = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class Pipe:
    """Both ends of a pipe of PIPE_BYTES with `held_bytes` in it; they are closed when nobody has it any more."""

    __slots__ = ("_reader", "_writer", "held_bytes")

    def __init__(self, reader: int, writer: int) -> None:
        """OSError where it may not be so large: EPERM when the pipes of this user are too large together."""
        self._reader, self._writer = reader, writer
        self.held_bytes = 0
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def __del__(self) -> None:
        close(self._reader)
        close(self._writer)

    def fill(self, source: int) -> int:
        """As `recv_into`: how many bytes came, 0 at FIN, BlockingIOError where nothing is there.

        The pipe has to be empty: of one that is not, that error may also say that its slots are in use.
        """
        self.held_bytes = os.splice(source, self._writer, PIPE_BYTES, flags=_FLAGS)
        return self.held_bytes

    def drain(self, sink: int) -> int:
        """As `send` of all that is held: how many bytes went, and that may be none."""
        try:
            # Exactly what is held: asked for more, older kernels keep the last segment back for what is to come.
            sent = os.splice(self._reader, sink, self.held_bytes, flags=_FLAGS)
        except BlockingIOError:
            return 0
        self.held_bytes -= sent
        return sent


class Pipes:
    """The pipes of all streams: at most MOST_PIPES, and at most a sixteenth of the descriptors."""

    __slots__ = ("_empty", "_made", "_most")

    def __init__(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = MOST_PIPES if soft == resource.RLIM_INFINITY else min(MOST_PIPES, soft // 32)
        self._made = 0
        self._empty: list[Pipe] = []
        if not hasattr(os, "splice"):
            self.give_up()

    def take(self) -> Pipe | None:
        """An empty one, to be given back; None where none can be had now."""
        if self._empty:
            return self._empty.pop()
        if self._made >= self._most:
            return None
        try:
            pipe = Pipe(*os.pipe())
        except OSError:
            return None
        self._made += 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """It is closed, unless it is empty and there is room in the pool."""
        if not pipe.held_bytes and len(self._empty) < min(POOLED_PIPES, self._most):
            self._empty.append(pipe)
        else:
            self._made -= 1

    def give_up(self) -> None:
        """There is no splice here: no pipe is made any more."""
        self._most = 0
        self._made -= len(self._empty)
        self._empty.clear()

"""Writing lines to a file or terminal that may be full, slow or stopped, at no cost to whoever writes them.

A native thread of its own does the writing: a gevent greenlet would stop the loop with it. The thread is a bare one
(`_thread`), which the interpreter never waits for, so a stopped terminal cannot hold up the end of the process.
Between the two is CPython's own SimpleQueue: `put` never blocks and wakes the thread only when it sleeps.
Make a writer in the process that uses it: threads do not survive a fork.
"""

import errno
import os
import select
import stat
from _queue import Empty, SimpleQueue  # the C one, in a patched process too
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from time import monotonic
from typing import Final, Literal

import gevent
from gevent import monkey

from linkerd_tcp.errors import StartError

_start_native_thread = monkey.get_original("_thread", "start_new_thread")
_native_close = monkey.get_original("os", "close")  # gevent's own puts the closing off to the loop
_native_sleep = monkey.get_original("time", "sleep")

MAX_LINES: Final = 10_000
MAX_CHARS: Final = 8 * 1024 * 1024
"""What may wait for a target that takes nothing; 13 000 lines/s fill the lines in under a second."""

BATCH_LINES: Final = 500
BATCH_CHARS: Final = 128 * 1024
"""Written at once: small enough that joining and encoding hold the interpreter for well under a millisecond."""

GATHER_SECS: Final = 0.005
"""Lines gather this long, so that the thread wants the interpreter 200 times a second, not 13 000 times."""

RETRY_SECS: Final = 0.25
"""The pause after an error, and between looks at a target that takes nothing just now."""

SAY_EVERY_SECS: Final = 5.0
"""A target that fails and recovers by turns is spoken of at most this often."""

OPEN_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Not blocking: opening a FIFO that nobody reads fails instead of hanging the start."""

Reason = Literal["stalled", "disk_full", "error", "closed"]


class _Order(Enum):
    REOPEN = auto()
    CLOSE = auto()


class LineWriter:
    """Appends lines to `path` (created with mode 0640), or to the open descriptor `fd` where path is "-".

    At most `max_lines` and about `max_chars` wait; what is over is dropped and counted in `dropped`, by reason:
    `stalled` (nobody reads, or too slowly), `disk_full`, `error` (any other), `closed`. `say` is called with one
    plain sentence when lines begin to be lost and with one when writing works again or ends; it may be called from
    the native thread, so it must neither block nor take a lock (another writer's `write` is right).
    What goes to a pipe or a socket is written in pieces that other processes' lines stay out of (PIPE_BUF), but for a
    line that is longer itself. Raises StartError, saying which file and what to do, when `path` cannot be opened;
    `what` names it there.
    """

    __slots__ = (
        "_chars_in",
        "_chars_out",
        "_close_by",
        "_closing",
        "_done",
        "_fd",
        "_in_pieces",
        "_losing",
        "_loss_said",
        "_max_chars",
        "_max_lines",
        "_owns_fd",
        "_path",
        "_queue",
        "_reopening",
        "_said_at",
        "_said_lost",
        "_say",
        "_torn",
        "dropped",
        "name",
    )

    def __init__(
        self,
        path: str | Path,
        *,
        fd: int = 1,
        what: str = "log file",
        say: Callable[[str], None] | None = None,
        max_lines: int = MAX_LINES,
        max_chars: int = MAX_CHARS,
    ) -> None:
        self._path = str(path)
        self._owns_fd = self._path != "-"
        self.name = f"{what} {self._path}" if self._owns_fd else what
        self._fd = _open(self._path, what) if self._owns_fd else fd
        self._in_pieces = _is_stream(self._fd)
        self._say = say
        self._max_lines = max_lines
        self._max_chars = max_chars
        self.dropped: dict[Reason, int] = {"stalled": 0, "disk_full": 0, "error": 0, "closed": 0}
        self._queue: SimpleQueue[str | _Order] = SimpleQueue()
        # Each of these has one side that writes it, so no lock: the callers count in, the thread counts out.
        self._chars_in = 0
        self._chars_out = 0
        self._closing = False
        self._reopening = False
        self._done = False
        self._close_by = 0.0
        self._losing = False
        self._loss_said = False
        self._torn = False
        self._said_lost = 0
        self._said_at = -SAY_EVERY_SECS
        _start_native_thread(self._run, ())

    def write(self, line: str) -> bool:
        """Hand over one line (with no line break in it); never blocks. False if it was dropped."""
        size = len(line) + 1
        queue = self._queue
        if (
            queue.qsize() >= self._max_lines
            or self._chars_in - self._chars_out + size > self._max_chars
            or self._closing
        ):
            self._drop("closed" if self._closing else "stalled", 1)
            return False
        self._chars_in += size
        queue.put(line)
        return True

    def reopen(self) -> None:
        """Close the file and open `path` anew, after the lines already handed over (for rotation); never blocks.

        Where the new one cannot be opened the old one is kept, and that is said. Nothing happens for "-".
        """
        if self._owns_fd and not self._reopening and not self._closing:
            self._reopening = True
            self._queue.put(_Order.REOPEN)

    def close(self, timeout_secs: float = 1.0) -> bool:
        """Write what waits, for at most `timeout_secs`; then give up. True if all of it was dealt with.

        Other greenlets run meanwhile. A second call waits for the first one's work.
        """
        deadline = monotonic() + timeout_secs
        if not self._closing:
            self._close_by = deadline
            self._closing = True
            self._queue.put(_Order.CLOSE)
        while not self._done and monotonic() < deadline:
            gevent.sleep(0.002)
        return self._done

    @property
    def lost(self) -> int:
        """Lines dropped so far, for all reasons."""
        return sum(self.dropped.values())

    @property
    def losing(self) -> bool:
        """True from the first line dropped until writing works again."""
        return self._losing

    def _drop(self, reason: Reason, lines: int, error: OSError | None = None) -> None:
        self.dropped[reason] += lines
        if reason == "closed" or self._losing:
            return
        self._losing = True
        now = monotonic()
        self._loss_said = self._say is not None and now - self._said_at >= SAY_EVERY_SECS
        if self._loss_said and self._say is not None:
            self._said_at = now
            why = "takes no more for now" if error is None else (error.strerror or str(error))
            self._say(f"{self.name}: {why}; lines are dropped and counted until it can be written again")

    # From here on: the native thread.

    def _run(self) -> None:
        try:
            while self._pass_on():
                pass
            if self._say is not None and self.lost > self._said_lost:
                self._say(f"{self.name}: closed; {_lines(self.lost - self._said_lost)} lost")
        finally:
            if self._owns_fd:
                _native_close(self._fd)
            self._done = True

    def _pass_on(self) -> bool:
        """Wait for lines and write one batch of them; False once the order to close has been reached."""
        if self._queue.empty():
            # Two threads that write at once may lose one of their additions: start level again when nothing waits.
            self._chars_out = self._chars_in
        item = self._queue.get()
        if isinstance(item, str) and not self._closing:
            _native_sleep(GATHER_SECS)
        batch: list[str] = []
        chars = 0
        try:
            while isinstance(item, str):
                batch.append(item)
                chars += len(item) + 1
                if len(batch) >= BATCH_LINES or chars >= BATCH_CHARS:
                    break
                item = self._queue.get_nowait()
        except Empty:
            pass
        if batch:
            self._write_batch(batch)
            self._chars_out += chars
        if item is _Order.REOPEN:
            self._reopen()
        return item is not _Order.CLOSE

    def _write_batch(self, batch: list[str]) -> None:
        # A line that was cut off in the middle is ended first: the next one does not begin behind it.
        lead = 1 if self._torn else 0
        data = "\n".join(["", *batch, ""] if lead else [*batch, ""]).encode("utf-8", "backslashreplace")
        written = 0
        failure: OSError | None = None
        while written < len(data):
            try:
                written += os.write(self._fd, self._piece(data, written))
            except BlockingIOError as error:
                if self._closing and monotonic() >= self._close_by:
                    failure = error
                    break
                _native_sleep(RETRY_SECS if self._losing and not self._closing else GATHER_SECS)
            except OSError as error:
                failure = error
                break
        if written:
            self._torn = data[written - 1] != ord("\n")
        if failure is None:
            self._tell_recovery()
        else:
            self._failed(failure, len(batch) - max(0, data.count(b"\n", 0, written) - lead))

    def _piece(self, data: bytes, start: int) -> bytes:
        """What is written at once of `data`, which ends with a line break: whole lines as far as they fit."""
        if self._in_pieces and len(data) - start > select.PIPE_BUF:
            end = data.rfind(b"\n", start, start + select.PIPE_BUF) + 1 or data.find(b"\n", start) + 1
            return data[start:end]
        return data[start:] if start else data

    def _failed(self, error: OSError, lines: int) -> None:
        """Count the lines that are not whole in the file; then pause, while new ones wait in the queue."""
        if isinstance(error, BlockingIOError):
            self._drop("stalled", lines)
        else:
            self._drop("disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "error", lines, error)
        if not self._closing:
            _native_sleep(RETRY_SECS)

    def _tell_recovery(self) -> None:
        lost = self.lost - self._said_lost
        if not lost or self._queue.qsize() * 2 > self._max_lines:
            return
        self._losing = False
        now = monotonic()
        if self._say is None or not (self._loss_said or now - self._said_at >= SAY_EVERY_SECS):
            return
        self._loss_said = False
        self._said_at = now
        self._said_lost += lost
        self._say(f"{self.name}: is written again; {_lines(lost)} lost")

    def _reopen(self) -> None:
        self._reopening = False
        try:
            fresh = os.open(self._path, OPEN_FLAGS, 0o640)
        except OSError as error:
            if self._say is not None:
                self._say(f"{self.name}: cannot be opened anew ({error.strerror}); the old file is kept")
            return
        _native_close(self._fd)
        self._fd = fresh
        self._in_pieces = _is_stream(fresh)
        self._torn = False


def _is_stream(fd: int) -> bool:
    """Whether what several processes write there may be mixed; what is appended to a file is not."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False  # nothing can be written there either, and that is said then
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _lines(count: int) -> str:
    return "1 line was" if count == 1 else f"{count} lines were"


_ADVICE: Final = {
    errno.ENOENT: "create its folder, or correct the path",
    errno.ENOTDIR: "one of its folders is a file: correct the path",
    errno.EISDIR: "it is a folder: name a file",
    errno.EACCES: "let this user write there, or name another file",
    errno.EPERM: "let this user write there, or name another file",
    errno.EROFS: "its file system is read-only: name another file",
    errno.ENXIO: "it is a FIFO that nobody reads: start its reader first",
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room in this user's quota",
}


def _open(path: str, what: str) -> int:
    try:
        return os.open(path, OPEN_FLAGS, 0o640)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "name a file that can be written")
        raise StartError(f"{what} {path} cannot be opened for writing: {error.strerror}; {advice}") from error
    except ValueError as error:  # a NUL in the path
        raise StartError(f"{what} {path!r} is no file name: {error}") from error

"""The kernel's file events (Linux), read without a thread.

The system calls are watchdog's binding of them. Its observer is not used: it takes each event through three
threads (greenlets, in a patched process) without a pause for the others, 60 ms for a full buffer, and holds back all
events behind a file that was moved out of the folder for half a second.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from watchdog.observers.inotify_c import InotifyConstants as In
from watchdog.observers.inotify_c import WatchDescriptor, inotify_add_watch, inotify_init, inotify_rm_watch

READ_BYTES: Final = 8192
"""One read: at most some 250 events, so that whoever reads can pause between reads."""

_HEADER: Final = struct.Struct("iIII")

CHANGES: Final = int(
    In.IN_MODIFY
    | In.IN_ATTRIB
    | In.IN_CLOSE_WRITE
    | In.IN_MOVED_FROM
    | In.IN_MOVED_TO
    | In.IN_CREATE
    | In.IN_DELETE
    | In.IN_DELETE_SELF
    | In.IN_MOVE_SELF
)
COMINGS_AND_GOINGS: Final = int(In.IN_MOVED_FROM | In.IN_MOVED_TO | In.IN_CREATE | In.IN_DELETE)

# A real path is asked for, and must still be one; a deleted file that somebody goes on writing to is nobody's business.
_HOW: Final = int(In.IN_ONLYDIR | In.IN_DONT_FOLLOW | In.IN_EXCL_UNLINK)


class Event(NamedTuple):
    """`what` (IN_ bits) happened to `name` in `folder`; to the folder itself where `name` is empty."""

    folder: str
    name: str
    what: int

    @property
    def finished(self) -> bool:
        """The file is whole: its writer closed it, or it was renamed into place."""
        return bool(self.what & (In.IN_CLOSE_WRITE | In.IN_MOVED_TO))

    @property
    def left(self) -> bool:
        return bool(self.what & (In.IN_DELETE | In.IN_MOVED_FROM))

    @property
    def appeared(self) -> bool:
        return bool(self.what & In.IN_CREATE)

    @property
    def written(self) -> bool:
        return bool(self.what & In.IN_MODIFY)

    @property
    def is_folder(self) -> bool:
        return bool(self.what & In.IN_ISDIR)

    @property
    def overflow(self) -> bool:
        """Events were lost: everything must be looked at."""
        return bool(self.what & In.IN_Q_OVERFLOW)


class Inotify:
    """The events of some folders, named by their real paths.

    OSError (EMFILE) from the constructor and (ENOSPC) from `add` mean that a limit of the system is reached.
    """

    def __init__(self) -> None:
        self.fd = inotify_init()
        if self.fd < 0:
            raise _error("inotify_init")
        os.set_inheritable(self.fd, False)
        os.set_blocking(self.fd, False)
        self._number: dict[str, WatchDescriptor] = {}
        self._folders: dict[WatchDescriptor, set[str]] = {}  # more than one where a folder is mounted twice

    def __len__(self) -> int:
        return len(self._number)

    def __contains__(self, folder: str) -> bool:
        return folder in self._number

    def add(self, folder: str, what: int = CHANGES) -> None:
        """Watch `folder`, from before this returns. A folder that cannot be watched because it is gone or not ours is
        not.
        """
        if folder in self._number:
            return
        number = inotify_add_watch(self.fd, os.fsencode(folder), what | _HOW)
        if number < 0:
            problem = _error(folder)
            if problem.errno in (
                errno.ENOENT,
                errno.ENOTDIR,
                errno.EACCES,
                errno.EPERM,
                errno.ELOOP,
                errno.ENAMETOOLONG,
            ):
                return
            raise problem
        self._number[folder] = number
        self._folders.setdefault(number, set()).add(folder)

    def forget(self, folder: str) -> None:
        """Stop watching `folder` and all below it: it was moved away or deleted, the same path may be another one
        soon.
        """
        below = folder + "/"
        for path in [path for path in self._number if path == folder or path.startswith(below)]:
            number = self._number.pop(path)
            folders = self._folders.get(number, set())
            folders.discard(path)
            if not folders:
                self._folders.pop(number, None)
                inotify_rm_watch(self.fd, number)  # fails where the kernel was faster; numbers are not used again

    def read(self) -> list[Event]:
        """The next events, at most some 250; none left where the list is empty. Never blocks."""
        try:
            buffer = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return []
        return list(self._events(buffer))

    def _events(self, buffer: bytes) -> Iterator[Event]:
        offset = 0
        while offset < len(buffer):
            number, what, _cookie, length = _HEADER.unpack_from(buffer, offset)
            offset += _HEADER.size
            name = os.fsdecode(buffer[offset : offset + length].rstrip(b"\0"))
            offset += length
            if what & In.IN_Q_OVERFLOW:
                yield Event("", "", what)
                continue
            for folder in tuple(self._folders.get(number, ())):
                if what & In.IN_IGNORED:
                    self._number.pop(folder, None)
                yield Event(folder, name, what)
            if what & In.IN_IGNORED:
                self._folders.pop(number, None)

    def close(self) -> None:
        """Closing twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._number.clear()
        self._folders.clear()


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)

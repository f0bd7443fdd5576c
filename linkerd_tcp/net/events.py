"""The kernel's file events (Linux) made into: this name changed, and its file is whole or still being written to."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final, NamedTuple

import gevent

from linkerd_tcp.net.inotify import CHANGES, COMINGS_AND_GOINGS, Event, Inotify

WRITER_SECS: Final = 2.0
"""A file that somebody goes on writing to is read after this long all the same."""

MAX_FOLDERS: Final = 4096
"""Folders watched for one root."""

MAX_WRITERS: Final = 4096
"""Files kept in mind because somebody writes to them; of more, the oldest is forgotten."""

Pair = tuple[str, str]
"""A real folder and a name in it."""


class Change(NamedTuple):
    """Something happened to `pair`, to the folder itself where its name is empty; anything anywhere where `all` is
    true.
    """

    pair: Pair
    finished: bool = False
    """The file is whole: its writer closed it, or it was renamed into place."""
    all: bool = False
    """Events were lost."""


class FolderEvents:
    """The events of some folders. `wake` is called, in the loop, when there is something to `read`. `deep`: also of the
    folders that come to be below them.

    OSError from the constructor and from `watch` means that the system's limits, or MAX_FOLDERS, are reached.
    """

    def __init__(self, wake: Callable[[], None], *, deep: bool = True) -> None:
        self._inotify = Inotify()
        self._wake = wake
        self._deep = deep
        self._outside: set[str] = set()
        self._writing: dict[Pair, float] = {}
        self._readable = gevent.get_hub().loop.io(self._inotify.fd, 1)
        self._readable.start(self._is_readable)

    def _is_readable(self) -> None:
        self._readable.stop()  # until everything was read
        self._wake()

    def close(self) -> None:
        """Closing twice is harmless."""
        self._readable.stop()
        self._readable.close()
        self._inotify.close()

    def watch(self, folder: str, *, outside: bool = False) -> None:
        """Watch the real folder `folder`, if it is there; `outside`: only what comes and goes in it."""
        if folder in self._inotify:
            return
        if len(self._inotify) >= MAX_FOLDERS:
            raise OSError(errno.E2BIG, f"more than {MAX_FOLDERS} folders", folder)
        self._inotify.add(folder, COMINGS_AND_GOINGS if outside else CHANGES)
        (self._outside.add if outside else self._outside.discard)(folder)

    def watch_tree(self, folder: str) -> None:
        """Watch `folder` and the folders below it, hidden ones not: a writer is noticed even before anybody asks for
        its file.
        """
        todo = [folder]
        while todo:
            folder = todo.pop()
            self.watch(folder)
            try:
                with os.scandir(folder) as entries:
                    todo.extend(
                        entry.path for entry in entries if entry.name[0] != "." and entry.is_dir(follow_symlinks=False)
                    )
            except OSError:
                continue  # gone, or not ours to read: whoever looks for a name in it will see

    def forget(self, folder: str) -> None:
        """Stop watching `folder` and all below it."""
        self._inotify.forget(folder)

    def read(self) -> list[Change]:
        """The next changes, at most some 250; when there is none, `wake` is armed again. Never blocks."""
        events = self._inotify.read()
        if not events:
            self._readable.start(self._is_readable)
        return list(self._changes(events))

    def must_wait_until(self, path: str) -> float | None:
        """When (time.monotonic) the file may be read even if its writer has not finished; None: nobody writes to it."""
        since = self._writing.get(_pair(path))
        return None if since is None else since + WRITER_SECS

    def stop_waiting(self, path: str) -> None:
        """The file is read now; the next write begins another wait."""
        self._writing.pop(_pair(path), None)

    def _changes(self, events: list[Event]) -> Iterator[Change]:
        now = monotonic()
        for event in events:
            if event.overflow:
                self._writing.clear()
                yield Change(("", ""), all=True)
                continue
            pair = (event.folder, event.name)
            if not event.is_folder:
                self._note_writer(event, pair, now)
            elif event.name and event.folder not in self._outside:
                self._note_folder(event)
            yield Change(pair, event.finished)

    def _note_folder(self, event: Event) -> None:
        path = f"{event.folder.rstrip('/')}/{event.name}"
        if event.left:
            self.forget(path)  # what comes to this path next is another folder
        elif self._deep and (event.appeared or event.finished) and event.name[0] != ".":
            self.watch_tree(path)

    def _note_writer(self, event: Event, pair: Pair, now: float) -> None:
        if event.finished or event.left:
            self._writing.pop(pair, None)
        elif event.written or (event.appeared and _has_a_writer(pair)):
            if len(self._writing) >= MAX_WRITERS:
                del self._writing[next(iter(self._writing))]
            self._writing.setdefault(pair, now)


def _pair(path: str) -> Pair:
    folder, name = os.path.split(path)
    return folder, name


def _has_a_writer(pair: Pair) -> bool:
    """Whether a new file will be closed by whoever made it: a link or a second name of a file will not."""
    try:
        info = os.lstat("/".join(pair))
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and info.st_nlink == 1

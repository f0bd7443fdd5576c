"""Dtab files below a folder, followed: found, read when they change, and told to the table of namespaces.

One greenlet does it, so that what was read later is told later. Files are found and read in a native thread, and
parsed in short turns.
"""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from time import monotonic, time
from typing import Final

import gevent
from gevent.event import Event

from linkerd_tcp.controller import disk
from linkerd_tcp.controller.disk import SUFFIX, Place, Text
from linkerd_tcp.controller.replace import clean
from linkerd_tcp.controller.storage import MAX_NAMESPACES, Broken, Full, StoreError, Versioned
from linkerd_tcp.controller.table import Table
from linkerd_tcp.controller.threads import NativeThread
from linkerd_tcp.errors import StartError
from linkerd_tcp.interpreters.dtab_file import DtabFileError, read_dtab
from linkerd_tcp.naming.namer import NamerFigures, WatchState
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.files import Sighting, State, inside
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.net.watch import FolderWatcher, Mode, Watched

START_SECS: Final = 60.0
LIST_SECS: Final = 5.0
"""The folder is listed this often, in case that no event says that a file came; each second where there are none."""

REST: Final = 10
"""Listing takes at most a tenth of the time, however often something changes."""

BATCH: Final = 16
"""Files read at once: 16 MiB at most."""

SETTLE_SECS: Final = 3.0
"""How long a change waits for this process to have read it, once it is on the disk."""

_log: Final = logging.getLogger(__name__)


class _File:
    """A namespace that has a file, or is about to have one."""

    __slots__ = ("error", "error_at", "last_good_at", "watched")

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.error: str | None = None
        self.error_at: float | None = None
        self.last_good_at: float | None = None


class _Settling:
    """A change of ours that waits to be read back."""

    __slots__ = ("done", "written")

    def __init__(self, written: Versioned | None) -> None:
        self.written = written
        self.done = Event()


class Follower:
    """See the module. Last good wins: a bad file is Broken only before it was ever good, and gone only when the file
    is; if the whole folder is gone, nothing is.
    """

    def __init__(self, root: str, table: Table, figures: NamerFigures, mode: Mode) -> None:
        self._root = root
        self._table = table
        self._figures = figures
        self._watcher = FolderWatcher(root, mode=mode, suffixes=(SUFFIX,), on_event=self._event, log=_log)
        self._thread = NativeThread()
        self._files: dict[str, _File] = {}
        self._unread: dict[str, bool] = {}
        """What is to be read, in order; true: it is gone if there is no file."""
        self._settling: dict[str, _Settling] = {}
        self._list_at = 0.0
        self._no_list_before = 0.0
        self._beyond = 0
        self._problem = ""
        self._wake = Event()
        self._started = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Returns when everything was read once. StartError if the folder cannot be."""
        self._watcher.start()
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = f"dtabs {self._root}"
        if not self._started.wait(START_SECS):
            raise StartError(f"namerd.storage.rootDir: {self._root} could not be read within {START_SECS:g} s")
        if self._problem:
            raise StartError(f"namerd.storage.rootDir: {self._problem}")

    def follow(self, ns: str) -> None:
        """From now on, whether or not it has a file; if it has none, until it was read."""
        if ns not in self._files:
            watched = self._watcher.watch(ns.split("/"), partial(self._seen, ns))
            self._files[ns] = _File(watched)

    def settle(self, ns: str, written: Versioned | None, gone: bool) -> None:
        """Read `ns` again, where `written` was put or which was removed; returns when that was told, or after
        SETTLE_SECS. For one greenlet at a time.
        """
        settling = self._settling[ns] = _Settling(written)
        self._mark(ns, gone)
        settling.done.wait(SETTLE_SECS)

    def error_of(self, ns: str) -> str | None:
        """What is wrong with the file as it is now."""
        file = self._files.get(ns)
        return None if file is None else file.error

    def rows(self) -> Iterator[WatchState]:
        for ns, file in tuple(self._files.items()):
            state = self._table.get(ns) if not self._table.closed else None
            if state is not None:
                kind = "bound" if isinstance(state, Versioned) else "failed"
                value = state.in_words if isinstance(state, Versioned) else state.cause
                name = str(Path(ns.split("/")))
                yield WatchState(
                    name, kind, 0, file.last_good_at, file.error, file.error_at, next_attempt_at=None, value=value
                )

    def close(self) -> None:
        self._watcher.close()
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill(block=gevent.getcurrent() is not gevent.get_hub())
        self._thread.close()
        self._files.clear()

    # -- what is to be done

    def _seen(self, ns: str, sighting: Sighting) -> None:
        """The watcher's word."""
        self._mark(ns, sighting.state is not State.FILE)

    def _mark(self, ns: str, gone: bool) -> None:
        self._unread[ns] = self._unread.get(ns, False) or gone
        self._wake.set()

    def _event(self, pair: tuple[str, str]) -> None:
        """Something happened in a folder: is it a file that nobody follows yet, or a folder that came or went?"""
        folder, name = pair
        root = self._watcher.root
        if name[:1] == "." or (folder and not inside(root, folder)):
            return
        ns = f"{folder}/{name}".removeprefix(root.rstrip("/") + "/").removesuffix(SUFFIX)
        if not name.endswith(SUFFIX) or ns not in self._files:
            self._list_at = min(self._list_at, max(monotonic(), self._no_list_before))
            self._wake.set()

    def _run(self) -> None:
        try:
            self._begin()
        finally:
            self._started.set()
        while True:
            self._wake.wait(max(0.0, self._list_at - monotonic()))
            self._wake.clear()
            try:
                self._turn()
            except Exception:  # noqa: BLE001  the next change may be read again: it must not be the end of following
                _log.exception("%s: the dtab files could not be followed, once", self._root)
                gevent.sleep(1.0)

    def _begin(self) -> None:
        try:
            left = self._thread.run(clean, self._root)
            if left:
                _log.info("%s: %d unfinished files of writers that were killed are removed", self._root, left)
        except (OSError, StoreError) as error:
            _log.debug("%s: not cleaned: %s", self._root, error)  # a folder that is only read needs no cleaning
        self._list()
        self._read_all()

    def _turn(self) -> None:
        if monotonic() >= self._list_at:
            self._list()
        self._read_all()

    # -- finding

    def _list(self) -> None:
        began = monotonic()
        try:
            found = self._thread.run(disk.find, self._watcher.root)
        except OSError as error:
            self._complain(f"{self._root}: {error.strerror}")
            found = []
        else:
            self._complain("")
        turns = Turns()
        beyond = 0
        for ns in found:
            if ns in self._files:
                continue
            if len(self._files) >= MAX_NAMESPACES:
                beyond += 1
                continue
            self.follow(ns)
            if self._files[
                ns
            ].watched.settled:  # else somebody is writing it, and the watcher will say when it is whole
                self._mark(ns, gone=True)
            turns.rest()
        if beyond and beyond != self._beyond:
            self._figures.error("limit")
            _log.warning("%s: more than %d dtab files: %d are not read", self._root, MAX_NAMESPACES, beyond)
        self._beyond = beyond
        now = monotonic()
        self._no_list_before = now + REST * (now - began)
        self._list_at = max(self._no_list_before, now + (1.0 if self._watcher.polling else LIST_SECS))

    def _complain(self, problem: str) -> None:
        if problem and problem != self._problem and self._started.is_set():
            self._figures.error("unreadable")
            _log.warning("%s: the last good dtabs are kept", problem)
        self._problem = problem

    # -- reading

    def _read_all(self) -> None:
        while self._unread:
            batch = dict(islice(self._unread.items(), BATCH))
            for ns in batch:
                del self._unread[ns]
            settling = {ns: self._settling.pop(ns) for ns in batch if ns in self._settling}
            try:
                texts = self._thread.run(_read_texts, self._watcher.root, self._root, list(batch))
                for (ns, gone), text in zip(batch.items(), texts, strict=True):
                    self._apply(ns, gone, text, settling[ns].written if ns in settling else None)
            finally:
                for each in settling.values():
                    each.done.set()

    def _apply(self, ns: str, gone: bool, text: Text, written: Versioned | None) -> None:
        if text.problem:
            self._bad(ns, "unreadable", text.problem)
        elif text.data is None:
            if gone or self._table.get(ns) is None:
                self._gone(ns)  # else it may be back in a moment, and if not the watcher says so
        else:
            self._good(ns, text, written)

    def _good(self, ns: str, text: Text, written: Versioned | None) -> None:
        state = self._table.get(ns)
        size = len(text.data or b"")
        try:
            if written is not None and written.version == text.version:
                state = written
            elif not isinstance(state, Versioned) or state.version != text.version:
                state = Versioned(read_dtab(text.data or b"", text.shown), text.version)
            self._table.check_room(ns, size)
        except DtabFileError as error:
            self._bad(ns, error.cause, str(error))
            return
        except Full as error:
            self._bad(ns, "limit", f"{text.shown}: {error}")
            return
        self.follow(ns)
        file = self._files[ns]
        if file.error is not None:
            _log.info("%s is good again", text.shown)
        file.error = file.error_at = None
        file.last_good_at = self._figures.last_good_at = time()
        if self._table.set(ns, state, size):
            self._figures.updates += 1

    def _gone(self, ns: str) -> None:
        file = self._files.pop(ns, None)
        if file is not None:
            file.watched.close()
        if self._table.set(ns, None):
            self._figures.updates += 1

    def _bad(self, ns: str, cause: str, words: str) -> None:
        self.follow(ns)
        file = self._files[ns]
        known = isinstance(self._table.get(ns), Versioned)
        self._figures.error(cause)
        if words != file.error:
            _log.warning(
                "%s: %s", words, "the last good dtab is kept" if known else "what asks for it fails until it is good"
            )
        file.error, file.error_at = words, time()
        if not known:
            self._table.set(ns, Broken(words))


def _read_texts(root: str, shown_root: str, names: list[str]) -> list[Text]:
    return [disk.read_text(Place(root, shown_root, ns)) for ns in names]

"""Names below one folder, watched: who wants to know is told when a file is there to be read, changed, or gone.

One greenlet does it all. On Linux it reads the kernel's events itself; everywhere, or where those do not come, it looks at each
watched file's stat. It works in slices of 2 ms and lets the loop run in between.
"""

import errno
import logging
import os
import stat
import sys
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

import gevent
from gevent.event import Event as Wake

from linkerd_tcp.net.files import ABSENT, Sighting, State, look, resolve

if TYPE_CHECKING:
    from linkerd_tcp.net.inotify import Event, Inotify

STILL_SECS: Final = 0.1
"""Without an event that says so, a file counts as finished, and as gone, once it was the same for this long."""

WRITER_SECS: Final = 2.0
"""A file that somebody goes on writing to is read after this long all the same."""

SWEEP_SECS: Final = 5.0
"""With events, each watched file is looked at this often, to notice that events do not come."""

SLICE_SECS: Final = 0.002
MAX_FOLDERS: Final = 4096
"""Folders watched by the kernel for one root; with more of them, stat polling."""

MAX_WRITING: Final = 4096

Mode = Literal["auto", "poll"]


class Watched:
    """One name, until `close`. `on_change` runs in the watcher's greenlet and must not raise."""

    __slots__ = ("_watcher", "applied", "due", "forced", "missed", "names", "on_change", "seen", "seen_at", "trail")

    def __init__(self, watcher: "FolderWatcher", names: tuple[str, ...], on_change: Callable[[Sighting], None]) -> None:
        self._watcher = watcher
        self.names = names
        self.on_change = on_change
        self.applied = ABSENT
        """What `on_change` was last told, or what was there at the beginning."""
        self.seen: Sighting | None = None
        self.seen_at = 0.0
        self.due: float | None = None
        self.forced = False
        """To be told even if stat shows no difference: a writer has finished."""
        self.missed = False
        """A change was seen and no event has come for it, so far."""
        self.trail: frozenset[tuple[str, str]] = frozenset()

    @property
    def settled(self) -> bool:
        """False while somebody writes to the file: `on_change` will come."""
        return self.due is None

    def again(self) -> None:
        """Call `on_change` soon, changed or not."""
        self.forced = True
        self._watcher.touch(self, monotonic())

    def close(self) -> None:
        """No `on_change` after this. Closing twice is harmless."""
        self._watcher.forget(self)


class FolderWatcher:
    """See the module. `root` may be a symbolic link, and may go away and come back, the same or another.

    `watch` costs the system nothing for a name that is not there; only real folders are watched, at most 4 096.
    `mode` "poll" never asks for events. `polling` says whether stat is what is relied on now.
    """

    def __init__(
        self,
        root: str,
        *,
        mode: Mode = "auto",
        poll_interval_ms: int = 1000,
        log: logging.Logger | None = None,
        sweep_secs: float = SWEEP_SECS,
    ) -> None:
        self.shown_root = root
        self.root = os.path.realpath(root)
        self._absolute = os.path.abspath(root)
        self._log = log or logging.getLogger(__name__)
        self._interval = poll_interval_ms / 1000
        self._sweep_secs = sweep_secs
        self._wants_events = mode == "auto" and sys.platform == "linux"
        if mode == "auto" and not self._wants_events:
            self._interval = min(self._interval, STILL_SECS)
        self.polling = not self._wants_events
        self._inotify: Inotify | None = None
        self._readable: gevent.hub.Waiter | None = None
        self._root_identity: tuple[int, int] | None = None
        self._root_trail: set[tuple[str, str]] = set()
        self._root_touched = False
        self._watched: dict[Watched, None] = {}
        self._by_pair: dict[tuple[str, str], dict[Watched, None]] = {}
        self._writing: dict[tuple[str, str], float] = {}
        self._due: list[tuple[float, int, Watched]] = []
        self._counter = 0
        self._sweep_at = monotonic() + (self._interval if self.polling else sweep_secs)
        self._wake = Wake()
        self._greenlet: gevent.Greenlet | None = None
        self._began = 0.0
        self._closed = False

    # -- for those who want to know

    def start(self) -> None:
        """Begin. Changes from here on are seen, whether or not the names are watched yet."""
        if self._wants_events:
            self._begin_events()
        self._find_root()
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = f"watch {self.shown_root}"

    def watch(self, names: Sequence[str], on_change: Callable[[Sighting], None]) -> Watched:
        """Watch the name whose elements are `names`; `applied` says at once what it is.

        Where somebody is writing to that file now, `settled` is False and `on_change` comes when it is finished.
        """
        watched = Watched(self, tuple(names), on_change)
        self._watched[watched] = None
        watched.applied = self._look(watched)
        since = self._written_since(watched.applied)
        if since is not None and monotonic() < since + WRITER_SECS:
            watched.forced = True
            self.touch(watched, since + WRITER_SECS)
        return watched

    def touch(self, watched: Watched, at: float) -> None:
        """Look at `watched` at `at` (time.monotonic), or earlier if that was agreed before."""
        if self._closed or watched not in self._watched or (watched.due is not None and watched.due <= at):
            return
        watched.due = at
        self._counter += 1
        heappush(self._due, (at, self._counter, watched))
        self._wake.set()

    def forget(self, watched: Watched) -> None:
        if self._watched.pop(watched, self) is self:
            return
        self._index(watched, frozenset())
        watched.due = None
        if len(self._due) > 64 and len(self._due) > 4 * len(self._watched):
            self._due = [entry for entry in self._due if entry[2].due == entry[0]]
            self._due.sort()

    def close(self) -> None:
        """End the greenlet and give everything back. Closing twice is harmless."""
        self._closed = True
        self._end_events()
        self._watched.clear()
        self._by_pair.clear()
        self._due.clear()
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill(block=gevent.getcurrent() is not gevent.get_hub())

    # -- the greenlet

    def _run(self) -> None:
        while not self._closed:
            now = monotonic()
            self._wake.wait(max(0.0, self._next_at() - now))
            self._wake.clear()
            self._began = monotonic()
            self._drain()
            self._check_due()
            if monotonic() >= self._sweep_at:
                self._sweep()

    def _next_at(self) -> float:
        while self._due and self._due[0][2].due != self._due[0][0]:
            heappop(self._due)  # looked at in the meantime, or forgotten
        return min(self._due[0][0], self._sweep_at) if self._due else self._sweep_at

    def _pause(self) -> None:
        """Let the loop run if this slice is used up."""
        if monotonic() - self._began > SLICE_SECS:
            gevent.sleep(0)
            self._began = monotonic()

    def _check_due(self) -> None:
        while self._next_at() <= (now := monotonic()) and self._due:
            watched = self._due[0][2]
            if watched.due is None or watched.due > now:
                return
            heappop(self._due)
            self._check(watched, now)
            self._pause()

    def _check(self, watched: Watched, now: float) -> None:
        """Look, and tell if it is time to."""
        watched.due = None
        sighting = self._look(watched)
        since = self._written_since(sighting)
        if since is not None:
            if now < since + WRITER_SECS:
                self.touch(watched, since + WRITER_SECS)
                return
            del self._writing[os.path.split(sighting.path)]  # the next write begins a new wait
            watched.forced = True
        if sighting == watched.applied and not watched.forced:
            watched.seen, watched.missed = None, False
            return
        if not self._at_once(watched, sighting):
            if sighting != watched.seen:
                watched.seen, watched.seen_at = sighting, now
            if now < watched.seen_at + STILL_SECS:
                self.touch(watched, watched.seen_at + STILL_SECS)
                return
        if watched.missed:
            self._events_do_not_come(watched)
        watched.seen, watched.forced, watched.missed, watched.applied = None, False, False, sighting
        watched.on_change(sighting)

    def _at_once(self, watched: Watched, sighting: Sighting) -> bool:
        """Whether an event vouches for what is there. Of things that went away the return is awaited: a moment, no longer."""
        if watched.forced:
            return sighting.state is State.FILE
        if self.polling or watched.missed or sighting.state in (State.PROBLEM, State.CONFLICT):
            return False
        return sighting.state is State.FILE or watched.applied.state is not State.FILE

    def _sweep(self) -> None:
        """Look at everything."""
        began = monotonic()
        self._find_root()
        for watched in tuple(self._watched):
            if watched not in self._watched or watched.due is not None:
                continue
            if self.polling:
                self._check(watched, monotonic())
            elif self._look(watched) != watched.applied:
                watched.missed = True  # or its event is still in the queue: then it is cleared before the time is over
                self.touch(watched, monotonic() + STILL_SECS)
            self._pause()
        took = monotonic() - began
        self._sweep_at = monotonic() + (max(self._interval, 10 * took) if self.polling else self._sweep_secs)

    def _events_do_not_come(self, watched: Watched) -> None:
        self._log.warning(
            "%s: %s changed and the kernel said nothing (a network or container mount?): looking at every file each %g s from now on",
            self.shown_root,
            "/".join(watched.names),
            self._interval,
        )
        self._poll()

    # -- what is there

    def _written_since(self, sighting: Sighting) -> float | None:
        return self._writing.get(os.path.split(sighting.path)) if sighting.state is State.FILE else None

    def _look(self, watched: Watched) -> Sighting:
        trail: set[tuple[str, str]] = set()

        def seen(folder: str, name: str) -> None:
            self._watch_folder(folder)  # before the look: what changes after it makes an event
            trail.add((folder, name))

        sighting = look(self.root, self.shown_root, watched.names, seen)
        if watched in self._watched and trail != watched.trail:
            self._index(watched, frozenset(trail))
        return sighting

    def _index(self, watched: Watched, trail: frozenset[tuple[str, str]]) -> None:
        for pair in watched.trail - trail:
            others = self._by_pair.get(pair, {})
            others.pop(watched, None)
            if not others:
                self._by_pair.pop(pair, None)
        for pair in trail - watched.trail:
            self._by_pair.setdefault(pair, {})[watched] = None
        watched.trail = trail

    def _find_root(self) -> None:
        """Where the root is now; if it is another folder than before, everything is looked at."""
        trail: list[tuple[str, str]] = []
        identity = None
        try:
            root, info = resolve("/", "/", self._absolute.split("/"), lambda folder, name: trail.append((folder, name)))
            identity = (info.st_dev, info.st_ino)
        except OSError:
            root = self.root  # away: what is below cannot be found either, and the way to it is still watched
        self._root_trail = {pair for pair in trail if pair == trail[-1] or os.path.islink(os.path.join(*pair))}
        for folder, _ in self._root_trail:
            self._watch_folder(folder, outside=True)
        if (root, identity) == (self.root, self._root_identity):
            return
        if self._inotify is not None:
            self._inotify.forget(self.root)
        self.root, self._root_identity = root, identity
        if identity is not None:
            self._watch_tree(root)
        now = monotonic()
        for watched in self._watched:
            self.touch(watched, now)

    # -- events

    def _begin_events(self) -> None:
        from linkerd_tcp.net.inotify import Inotify

        try:
            self._inotify = Inotify()
        except OSError as error:
            self._cannot_watch(error)
            return
        self._readable = gevent.get_hub().loop.io(self._inotify.fd, 1)
        self._readable.start(self._is_readable)

    def _is_readable(self) -> None:
        assert self._readable is not None
        self._readable.stop()  # until the greenlet has read everything
        self._wake.set()

    def _end_events(self) -> None:
        if self._readable is not None:
            self._readable.stop()
            self._readable.close()
            self._readable = None
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._writing.clear()

    def _poll(self) -> None:
        self.polling = True
        self._end_events()
        self._sweep_at = monotonic()

    def _cannot_watch(self, error: OSError) -> None:
        limit = {errno.ENOSPC: "fs.inotify.max_user_watches", errno.EMFILE: "fs.inotify.max_user_instances"}
        remedy = limit.get(error.errno or 0)
        self._log.warning(
            "%s: no file events: %s%s: looking at every file each %g s",
            self.shown_root,
            error.strerror,
            f" (raise {remedy})" if remedy else "",
            self._interval,
        )
        self._poll()

    def _watch_folder(self, folder: str, *, outside: bool = False) -> None:
        inotify = self._inotify
        if inotify is None or folder in inotify:
            return
        from linkerd_tcp.net.inotify import CHANGES, COMINGS_AND_GOINGS

        try:
            if len(inotify) >= MAX_FOLDERS:
                raise OSError(errno.E2BIG, f"more than {MAX_FOLDERS} folders", folder)
            inotify.add(folder, COMINGS_AND_GOINGS if outside else CHANGES)
        except OSError as error:
            self._cannot_watch(error)

    def _watch_tree(self, folder: str) -> None:
        """Watch `folder` and the folders below it, hidden ones not, so that a writer is noticed before the file's name is."""
        todo = [folder]
        while todo and self._inotify is not None:
            folder = todo.pop()
            self._watch_folder(folder)
            try:
                with os.scandir(folder) as entries:
                    todo.extend(
                        entry.path for entry in entries if entry.name[0] != "." and entry.is_dir(follow_symlinks=False)
                    )
            except OSError:
                continue  # gone, or not ours to read: whoever looks for a name in it will see

    def _drain(self) -> None:
        while self._inotify is not None and (events := self._inotify.read()):
            for event in events:
                self._happened(event)
                if self._inotify is None:
                    return
            self._pause()
        if self._readable is not None:
            self._readable.start(self._is_readable)
        if self._root_touched:
            self._root_touched = False
            self._find_root()

    def _happened(self, event: "Event") -> None:
        now = monotonic()
        if event.overflow:
            self._writing.clear()
            self._root_identity = None  # look at everything
            self._root_touched = True
            return
        if event.folder == self.root and not event.name:
            self._root_touched = True
        pair = (event.folder, event.name)
        if pair in self._root_trail:
            self._root_touched = True
        if event.is_folder:
            self._folder_event(event)
        else:
            self._note_writer(event, pair, now)
        writing = self._writing.get(pair)
        for watched in self._by_pair.get(pair, ()):
            watched.missed = False
            watched.forced |= event.finished
            self.touch(watched, now if writing is None else writing + WRITER_SECS)

    def _folder_event(self, event: "Event") -> None:
        assert self._inotify is not None
        path = f"{event.folder.rstrip('/')}/{event.name}"
        if event.left and path != self.root:
            self._inotify.forget(path)
        elif (event.appeared or event.finished) and event.name[:1] != "." and event.folder in self._inotify:
            if event.folder == self.root or event.folder.startswith(self.root + "/"):
                self._watch_tree(path)

    def _note_writer(self, event: "Event", pair: tuple[str, str], now: float) -> None:
        """Keep who is being written to. A new file is, unless it was linked into place."""
        if event.finished or event.left:
            self._writing.pop(pair, None)
        elif event.written or (event.appeared and _is_being_written(pair)):
            if len(self._writing) >= MAX_WRITING:
                del self._writing[next(iter(self._writing))]
            self._writing.setdefault(pair, now)


def _is_being_written(pair: tuple[str, str]) -> bool:
    try:
        info = os.lstat("/".join(pair))
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and info.st_nlink == 1

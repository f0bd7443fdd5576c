"""Names below one folder, watched: who wants to know is told when a file is there to be read, changed, or gone.

One greenlet does it all. On Linux it reads the kernel's events itself; everywhere, or where those do not come, it looks
at each watched file's stat. It works in short turns and lets the loop run in between.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

import gevent
from gevent.event import Event as Wake

from linkerd_tcp.net.files import ABSENT, SUFFIXES, Sighting, State, look, look_exactly, resolve
from linkerd_tcp.net.turns import Turns

if TYPE_CHECKING:
    from linkerd_tcp.net.events import Change, FolderEvents, Pair

STILL_SECS: Final = 0.1
"""Without an event that says so, a file counts as finished, and as gone, once it was the same for this long."""

SWEEP_SECS: Final = 5.0
"""With events, each watched file is looked at this often, to notice that events do not come."""

Mode = Literal["auto", "poll"]

_LIMITS: Final = {errno.ENOSPC: "fs.inotify.max_user_watches", errno.EMFILE: "fs.inotify.max_user_instances"}


class Watched:
    """One name, until `close`. `on_change` is called by the watcher's greenlet."""

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
        self.trail: frozenset[Pair] = frozenset()

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
    `mode` "poll" never asks for events. `polling` says whether stat is what is relied on now. What an `on_change`
    raises is logged, and the others go on.

    Not `deep`: names are of files just so, links lead anywhere, and folders below are not watched. Else
    `suffixes` are what may follow a name in its file's name. `on_event` hears of every event, watched name or not, as
    the real folder and the name in it; of ("", "") when anything may have happened. Without events it hears nothing.
    """

    def __init__(
        self,
        root: str,
        *,
        mode: Mode = "auto",
        poll_interval_ms: int = 1000,
        sweep_secs: float = SWEEP_SECS,
        suffixes: Sequence[str] = SUFFIXES,
        on_event: "Callable[[Pair], None] | None" = None,
        log: logging.Logger | None = None,
        deep: bool = True,
    ) -> None:
        self.shown_root = root
        self._deep = deep
        self._suffixes = suffixes
        self._on_event = on_event
        self.root = os.path.realpath(root)
        self._absolute = os.path.abspath(root)
        self._log = log or logging.getLogger(__name__)
        wants_events = mode == "auto" and sys.platform == "linux"
        self.polling = not wants_events
        self._interval = poll_interval_ms / 1000
        if mode == "auto" and not wants_events:
            self._interval = min(self._interval, STILL_SECS)
        self._sweep_secs = sweep_secs
        self._sweep_at = monotonic() + (self._interval if self.polling else sweep_secs)
        self._events: FolderEvents | None = None
        self._root_identity: tuple[int, int] | None = None
        self._root_trail: set[Pair] = set()
        self._watched: dict[Watched, None] = {}
        self._by_pair: dict[Pair, dict[Watched, None]] = {}
        self._due: list[tuple[float, int, Watched]] = []
        self._counter = 0
        self._wake = Wake()
        self._greenlet: gevent.Greenlet | None = None
        self._turns = Turns()
        self._closed = False

    # -- for those who want to know

    def start(self) -> None:
        """Begin. Changes from here on are seen, whether or not the names are watched yet."""
        if not self.polling:
            from linkerd_tcp.net.events import FolderEvents

            try:
                self._events = FolderEvents(self._wake.set, deep=self._deep)
            except OSError as error:
                self._cannot_watch(error)
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
        until = self._must_wait_until(watched.applied)
        if until is not None and monotonic() < until:
            watched.forced = True
            self.touch(watched, until)
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
        if watched not in self._watched:
            return
        del self._watched[watched]
        self._index(watched, frozenset())
        watched.due = None
        if len(self._due) > 64 + 4 * len(self._watched):
            self._due = [entry for entry in self._due if entry[2].due == entry[0]]
            heapify(self._due)

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
            self._wake.wait(max(0.0, self._next_at() - monotonic()))
            self._wake.clear()
            self._turns = Turns()
            self._read_events()
            self._check_due()
            if monotonic() >= self._sweep_at:
                self._sweep()

    def _next_at(self) -> float:
        while self._due and self._due[0][2].due != self._due[0][0]:
            heappop(self._due)  # looked at earlier than that, or forgotten
        return min(self._due[0][0], self._sweep_at) if self._due else self._sweep_at

    def _check_due(self) -> None:
        while self._next_at() <= monotonic() and self._due and self._due[0][0] <= monotonic():
            self._check(heappop(self._due)[2], monotonic())
            self._turns.rest()

    def _check(self, watched: Watched, now: float) -> None:
        """Look, and tell if it is time to."""
        watched.due = None
        sighting = self._look(watched)
        until = self._must_wait_until(sighting)
        if until is not None and now < until:
            self.touch(watched, until)
            return
        if until is not None and self._events is not None:
            self._events.stop_waiting(sighting.path)
            watched.forced = True
        if sighting == watched.applied and not watched.forced:
            watched.seen, watched.missed = None, False
        elif self._at_once(watched, sighting) or self._is_still(watched, sighting, now):
            self._tell(watched, sighting)

    def _at_once(self, watched: Watched, sighting: Sighting) -> bool:
        """Whether an event vouches for what is there. A file that went away may be back in a moment: never at once."""
        if watched.forced:
            return sighting.state is State.FILE
        if self.polling or watched.missed or sighting.state in (State.PROBLEM, State.CONFLICT):
            return False
        return sighting.state is State.FILE or watched.applied.state is not State.FILE

    def _is_still(self, watched: Watched, sighting: Sighting, now: float) -> bool:
        """Whether it was like this for STILL_SECS; if not, it is looked at again then."""
        if sighting != watched.seen:
            watched.seen, watched.seen_at = sighting, now
        if now >= watched.seen_at + STILL_SECS:
            return True
        self.touch(watched, watched.seen_at + STILL_SECS)
        return False

    def _tell(self, watched: Watched, sighting: Sighting) -> None:
        if watched.missed and not self.polling:
            self._events_do_not_come(watched)
        watched.seen, watched.forced, watched.missed, watched.applied = None, False, False, sighting
        try:
            watched.on_change(sighting)
        except Exception:  # noqa: BLE001  one name's observer must not end the discovery of all the others
            self._log.exception("%s: %s: an observer failed", self.shown_root, "/".join(watched.names))

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
                watched.missed = True  # or its event is still in the queue: then that will clear it in time
                self.touch(watched, monotonic() + STILL_SECS)
            self._turns.rest()
        now = monotonic()
        self._sweep_at = now + (max(self._interval, 10 * (now - began)) if self.polling else self._sweep_secs)

    # -- what is there

    def _look(self, watched: Watched) -> Sighting:
        trail: set[Pair] = set()

        def seen(folder: str, name: str) -> None:
            self._watch_folder(folder)  # before the look: what changes after it makes an event
            trail.add((folder, name))

        at = (self.root, self.shown_root, watched.names, seen)
        sighting = look(*at, self._suffixes) if self._deep else look_exactly(*at)
        if trail != watched.trail and watched in self._watched:
            self._index(watched, frozenset(trail))
        return sighting

    def _must_wait_until(self, sighting: Sighting) -> float | None:
        if self._events is None or sighting.state is not State.FILE:
            return None
        return self._events.must_wait_until(sighting.path)

    def _index(self, watched: Watched, trail: "frozenset[Pair]") -> None:
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
        trail: list[Pair] = []
        identity = None
        try:
            root, info = resolve("/", "/", self._absolute.split("/"), lambda folder, name: trail.append((folder, name)))
            identity = (info.st_dev, info.st_ino)
        except OSError:
            # Away. Not where it was last: behind a link that was removed that folder may still be there.
            root = self._absolute
        # Only where the path may turn: watching all of it would mean hearing of everything in /tmp or /home.
        self._root_trail = {pair for pair in trail if pair == trail[-1] or os.path.islink(os.path.join(*pair))}
        for folder, _ in self._root_trail:
            self._watch_folder(folder, outside=True)
        if (root, identity) == (self.root, self._root_identity):
            return
        if self._events is not None:
            self._events.forget(self.root)
        self.root, self._root_identity = root, identity
        if identity is not None and self._events is not None:
            try:
                (self._events.watch_tree if self._deep else self._events.watch)(root)
            except OSError as error:
                self._cannot_watch(error)
        self._tell_event(("", ""))
        now = monotonic()
        for watched in self._watched:
            self.touch(watched, now)

    # -- events

    def _read_events(self) -> None:
        root_touched = False
        while self._events is not None:
            try:
                changes = self._events.read()
            except OSError as error:
                self._cannot_watch(error)
                return
            if not changes:
                break
            now = monotonic()
            for change in changes:
                root_touched |= self._changed(change, now)
            self._turns.rest()
        if root_touched:
            self._find_root()

    def _changed(self, change: "Change", now: float) -> bool:
        """Note what is to be looked at; whether the root is."""
        if change.all:
            self._root_identity = None
            return True
        self._tell_event(change.pair)
        for watched in self._by_pair.get(change.pair, ()):
            watched.missed = False
            watched.forced |= change.finished
            until = None if self._events is None else self._events.must_wait_until("/".join(change.pair))
            self.touch(watched, until or now)
        return change.pair in self._root_trail or change.pair == (self.root, "")

    def _tell_event(self, pair: "Pair") -> None:
        if self._on_event is not None:
            self._on_event(pair)

    def _watch_folder(self, folder: str, *, outside: bool = False) -> None:
        if self._events is None:
            return
        try:
            self._events.watch(folder, outside=outside)
        except OSError as error:
            self._cannot_watch(error)

    def _end_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()

    def _poll(self) -> None:
        self.polling = True
        self._end_events()
        self._sweep_at = monotonic()
        self._wake.set()

    def _events_do_not_come(self, watched: Watched) -> None:
        self._log.warning(
            "%s: %s changed and the kernel said nothing (a network mount?): looking at all files each %g s",
            self.shown_root,
            "/".join(watched.names),
            self._interval,
        )
        self._poll()

    def _cannot_watch(self, error: OSError) -> None:
        remedy = _LIMITS.get(error.errno or 0)
        self._log.warning(
            "%s: no file events: %s%s: every file is looked at each %g s",
            self.shown_root,
            error.strerror,
            f" (raise {remedy})" if remedy else "",
            self._interval,
        )
        self._poll()

"""`io.l5d.fs`: each file below a folder is a name, its lines or items are the endpoints; changes are followed live."""

import errno
import logging
from collections.abc import Callable, Iterator
from time import time
from typing import Annotated, Any, Final, Literal

import gevent
from gevent.pool import Group
from pydantic import Field

from linkerd_tcp.config.fields import FolderPath
from linkerd_tcp.config.namers import NamerOptions
from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import Failed
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import Hosts, NamerContext, NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.files import MAX_FILE_BYTES, Sighting, State, is_file_name, read
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.net.watch import FolderWatcher, Watched
from namers.endpoints import EndpointsError, read_file
from namers.live import LiveName
from namers.survey import names_in, problems

KIND: Final = "io.l5d.fs"
SMALL_BYTES: Final = 16 * 1024
"""A file up to this size is read where it is asked for; a larger one by a greenlet, in slices."""

MAX_SAID: Final = 1000
"""Names whose last complaint is kept in mind, so that it is logged once."""

_log: Final = logging.getLogger(__name__)
_ADDR_ROOT: Final = Path(("#",))


class FsConfig(NamerOptions):
    """Endpoints from the files below `rootDir`."""

    kind: Literal["io.l5d.fs"] = KIND
    root_dir: FolderPath
    """`/#/io.l5d.fs/web` is the file `web`, `web.yml` or `web.yaml` in this folder."""
    watch: Literal["auto", "poll"] = "auto"
    """`poll` never relies on the system's file events."""
    poll_interval_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 1000

    def build(self, context: NamerContext) -> "FsNamer":
        """The namer; it watches nothing before `start`."""
        watcher = FolderWatcher(str(self.root_dir), mode=self.watch, poll_interval_ms=self.poll_interval_ms, log=_log)
        return FsNamer(watcher, self.prefix, context.hosts)


class _Name:
    """One name, as long as somebody looks it up or observes its addresses: what it is now, and what was last known to
    be good.
    """

    def __init__(self, namer: "FsNamer", elements: tuple[str, ...]) -> None:
        self.namer = namer
        self.elements = elements
        self.lookups: dict[_Lookup, Callable[[], None]] = {}
        """Who is looking it up, and how each lets go."""
        self.live = LiveName(namer.hosts, lambda: namer.forget(self))
        self.bound_id = _ADDR_ROOT + namer.prefix + elements
        self.state = State.ABSENT
        """FILE: there is a file, or was until a moment ago; `live.addr` says what is known of it."""
        self.good = False
        self.error: str | None = None
        self.error_at: float | None = None
        self.last_good_at: float | None = None
        self.reading: gevent.Greenlet | None = None
        self.watched: Watched = namer.watcher.watch(elements, self.seen)
        sighting = self.watched.applied
        if sighting.state is State.FILE and not self.watched.settled:
            self.state = State.FILE  # being written: pending, until the writer is done
        elif sighting.size > SMALL_BYTES:
            self.state = State.FILE
            self.watched.again()
        else:
            self.seen(sighting)

    def join(self, lookup: "_Lookup") -> None:
        if lookup not in self.lookups:
            self.lookups[lookup] = self.live.hold()

    def leave(self, lookup: "_Lookup") -> None:
        release = self.lookups.pop(lookup, None)
        if release is not None:
            release()

    def seen(self, sighting: Sighting) -> None:
        """The watcher's word: what is there now."""
        if self.reading is not None:
            self.reading.kill(block=False)
            self.reading = None
        if sighting.state in (State.PROBLEM, State.CONFLICT):
            self._fail("conflict" if sighting.state is State.CONFLICT else "unreadable", sighting.problem)
        elif sighting.state is not State.FILE:
            self._gone(sighting)
        elif sighting.size > SMALL_BYTES:
            self.reading = self.namer.spawn(self._read_in_slices, sighting)
        else:
            for _ in self._read(sighting):
                pass
        self._tell()

    def _gone(self, sighting: Sighting) -> None:
        if self.state is State.FILE:
            self.namer.figures.updates += 1
            self.live.set(NEG_ADDR)
        self.state = sighting.state
        self.good = False
        self.error = self.error_at = None
        if sighting.problem:
            self._say("ignored", sighting.problem)

    def _read_in_slices(self, sighting: Sighting) -> None:
        turns = Turns()
        for _ in self._read(sighting):
            turns.rest()
        self.reading = None
        self._tell()

    def _read(self, sighting: Sighting) -> Any:
        """Read and parse the file; a generator that pauses."""
        try:
            data = read(self.namer.watcher.root, sighting.path)
            endpoints = yield from read_file(data, sighting.shown)
        except EndpointsError as error:
            more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
            self._fail("invalid", error.problems[0] + more)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return  # gone since it was seen; the watcher will say so
            cause = "too_large" if error.errno == errno.EFBIG else "unreadable"
            self._fail(cause, f"{sighting.shown}: {error.strerror}" + _remedy(error))
        else:
            self.state, self.good = State.FILE, True
            if self.namer.is_new(self.elements, ""):
                _log.info("%s is good again", sighting.shown)
            self.error = self.error_at = None
            self.last_good_at = self.namer.figures.last_good_at = time()
            self.namer.figures.updates += 1
            self.live.replace(endpoints)

    def _fail(self, cause: str, words: str) -> None:
        self.state = State.FILE
        self._say(cause, words)
        if not self.good:
            self.live.set(Failed(words))

    def _say(self, cause: str, words: str) -> None:
        self.namer.figures.error(cause)
        if self.namer.is_new(self.elements, words):
            _log.warning("%s%s", words, ": the last good endpoints are kept" if self.good else "")
        self.error, self.error_at = words, time()

    def _tell(self) -> None:
        for lookup in tuple(self.lookups):
            lookup.update()

    def found(self, residual: tuple[str, ...]) -> Found:
        """What a lookup that ends at this name answers."""
        return Leaf(BoundName(self.bound_id, self.live.addr, Path(residual)))

    def row(self) -> WatchState:
        value = self.live.addr.value if self.state is State.FILE else NEG_ADDR
        return watch_state(str(Path(self.elements)), value, self.last_good_at, self.error, self.error_at)

    def close(self) -> None:
        self.watched.close()
        self.live.close()
        if self.reading is not None:
            self.reading.kill(block=False)
            self.reading = None


def _remedy(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return " (this process may not read it)"
    return f" (split it: {MAX_FILE_BYTES} bytes at most)" if error.errno == errno.EFBIG else ""


class _Lookup:
    """One `lookup`: the names along its path, as far as they were folders."""

    def __init__(self, namer: "FsNamer", path: tuple[str, ...]) -> None:
        self.namer = namer
        self.path = path
        self.names: list[_Name] = []
        self.var: Var[Found] | None = None
        self.var = Var(self._walk(), on_close=self._close)

    def _walk(self) -> Found:
        """Down the path to the first file. Names not passed any more are let go."""
        passed: list[_Name] = []
        found: Found = NEG
        for depth, element in enumerate(self.path, 1):
            if not is_file_name(element):
                break
            name = self.namer.name(self.path[:depth])
            name.join(self)
            passed.append(name)
            if name.state is State.FILE:
                found = name.found(self.path[depth:])
            if name.state is not State.FOLDER:
                break
        before, self.names = self.names, passed
        for name in before:
            if name not in passed:
                name.leave(self)
        return found

    def update(self) -> None:
        if self.var is not None and not self.var.closed:
            self.var.set(self._walk())

    def _close(self) -> None:
        names, self.names = self.names, []
        for name in names:
            name.leave(self)


class FsNamer:
    """See the module. `/<prefix>/a/b` is the file `a/b`, `a/b.yml` or `a/b.yaml` below the root; what follows is
    residual.

    A name that is not there, is a folder, or is hidden is Neg. A file that was never good is a leaf whose addresses
    are Failed.
    """

    kind = KIND

    def __init__(self, watcher: FolderWatcher, prefix: Path, hosts: Hosts) -> None:
        self.watcher = watcher
        self.prefix = prefix
        self.hosts = hosts
        self.figures = NamerFigures()
        self._names: dict[tuple[str, ...], _Name] = {}
        self._said: dict[tuple[str, ...], str] = {}
        self._readers = Group()
        self._closed = False

    def start(self) -> None:
        self.watcher.start()

    def lookup(self, path: Path) -> Watch[Found]:
        if self._closed:
            return Var[Found](NEG)
        var = _Lookup(self, path).var
        assert var is not None
        return var

    def name(self, elements: tuple[str, ...]) -> _Name:
        """The one `_Name` of these elements."""
        name = self._names.get(elements)
        if name is None:
            name = self._names[elements] = _Name(self, elements)
        return name

    def forget(self, name: _Name) -> None:
        if self._names.get(name.elements) is name:
            del self._names[name.elements]
        name.close()

    def is_new(self, elements: tuple[str, ...], words: str) -> bool:
        """Whether `words` (none: all is well) differ from what was said of this name last, however often it was
        looked up.
        """
        if words == self._said.get(elements, ""):
            return False
        self._said.pop(elements, None)
        if words:
            self._said[elements] = words
        if len(self._said) > MAX_SAID:
            del self._said[next(iter(self._said))]
        return True

    def spawn(self, function: Callable[..., None], *args: Any) -> gevent.Greenlet:
        return self._readers.spawn(function, *args)

    def names(self) -> list[str]:
        """The names at the top, sorted: files and folders. At most 10 000."""
        return names_in(self.watcher.root)

    def check(self) -> list[str]:
        """What is wrong with any file below the root, as lines to print. Needs no `start`; reads everything, so it
        takes long.
        """
        return problems(self.watcher.shown_root)

    def watches(self) -> Iterator[WatchState]:
        return (name.row() for name in tuple(self._names.values()))

    def close(self) -> None:
        self._closed = True
        self.watcher.close()
        for name in tuple(self._names.values()):
            name.close()
        self._names.clear()
        self._readers.kill(block=gevent.getcurrent() is not gevent.get_hub())

"""`io.l5d.inMemory`: dtabs that end with the process. The configuration file says what they are at first."""

import logging
from collections.abc import Iterator, Mapping
from time import time
from typing import Any, Final

from linkerd_tcp.controller.storage import (
    PREFIX,
    Exists,
    Mismatch,
    Missing,
    State,
    StoreError,
    Versioned,
    check_name,
)
from linkerd_tcp.controller.table import Table
from linkerd_tcp.controller.text import to_bytes
from linkerd_tcp.errors import StartError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import NamerFigures, WatchState
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch

KIND: Final = "io.l5d.inMemory"

_log: Final = logging.getLogger(__name__)


class MemoryStore:
    """A `Store` of `namespaces`, those of the configuration file.

    A version is a number, eight bytes, big-endian; the first is 1 (`AAAAAAAAAAE=`), as namerd counts. In namerd a
    namespace that is deleted and created begins at 1 again, so that a client with an old version overwrites what it
    has never seen; here a namespace begins above every number that a deleted one has had. A new process begins at 1.
    """

    kind = KIND
    prefix = PREFIX

    def __init__(self, namespaces: Mapping[str, Dtab]) -> None:
        self.figures = NamerFigures()
        self._of_file = dict(namespaces)
        self._set_by_file: dict[str, bytes] = {}
        """The versions that the file's texts got: whether somebody changed them since."""
        self._used = 0
        """The highest number of a namespace that was deleted."""
        self._table = Table("the dtab store in memory")

    def start(self) -> None:
        for ns, dtab in self._of_file.items():
            try:
                self._set_from_file(ns, dtab)
            except StoreError as error:
                raise StartError(f"namerd.storage.namespaces: {error}") from None

    def namespaces(self) -> Watch[tuple[str, ...]]:
        return self._table.namespaces()

    def watch(self, ns: str) -> Watch[State]:
        return self._table.watch(ns)

    def get(self, ns: str) -> State:
        return self._table.get(ns)

    def create(self, ns: str, dtab: Dtab) -> None:
        size = len(to_bytes(dtab))  # may give way to others; from here on nothing does
        if self._table.get(ns) is not None:
            raise Exists(f"the namespace {ns!r} is there already")
        self._set(ns, dtab, size)

    def put(self, ns: str, dtab: Dtab, version: bytes | None = None) -> None:
        size = len(to_bytes(dtab))
        state = self._table.get(ns)
        if version is not None:
            if not isinstance(state, Versioned):
                raise Missing(f"there is no namespace {ns!r}")
            if state.version != version:
                raise Mismatch(f"the namespace {ns!r} was changed meanwhile: read it again")
        self._set(ns, dtab, size)

    def delete(self, ns: str) -> None:
        state = self._table.get(ns)
        if not isinstance(state, Versioned):
            raise Missing(f"there is no namespace {ns!r}")
        self._used = max(self._used, _number(state.version))
        self._table.set(ns, None)
        self._updated()

    def apply(self, config: Any) -> None:
        """`config.namespaces`: one whose text in the file is not what it was is set. One that the file names no more is
        deleted, unless it was changed through the API since. All others stay as they are.
        """
        before, self._of_file = self._of_file, dict(config.namespaces)
        for ns, dtab in self._of_file.items():
            if before.get(ns) != dtab:
                self._apply_one(ns, dtab)
        for ns in before:
            state = self._table.get(ns)
            if ns not in self._of_file and isinstance(state, Versioned):
                if state.version == self._set_by_file.pop(ns, None):
                    self.delete(ns)
                else:
                    _log.info("namespace %s: the file names it no more; it was changed since and is kept", ns)

    def check(self) -> list[str]:
        """What of the file's namespaces cannot be, as lines to print. Needs no `start`."""
        found = []
        for ns, dtab in self._of_file.items():
            try:
                check_name(ns)
                to_bytes(dtab)
            except StoreError as error:
                found.append(f"namerd.storage.namespaces: {error}")
        return found

    def watches(self) -> Iterator[WatchState]:
        for ns in self._table.names:
            state = self._table.get(ns) if not self._table.closed else None
            if isinstance(state, Versioned):
                yield WatchState(str(Path(ns.split("/"))), "bound", 0, self.figures.last_good_at, value=state.in_words)

    def close(self) -> None:
        self._table.close()

    def _apply_one(self, ns: str, dtab: Dtab) -> None:
        try:
            self._set_from_file(ns, dtab)
        except StoreError as error:
            self.figures.error("file")
            _log.warning("namespace %s of the configuration file is not applied: %s", ns, error)

    def _set_from_file(self, ns: str, dtab: Dtab) -> None:
        self.put(ns, dtab)
        state = self._table.get(ns)
        if isinstance(state, Versioned):
            self._set_by_file[ns] = state.version

    def _set(self, ns: str, dtab: Dtab, size: int) -> None:
        self._table.check_room(ns, size)
        before = self._table.get(ns)
        number = (_number(before.version) if isinstance(before, Versioned) else self._used) + 1
        self._table.set(ns, Versioned(dtab, number.to_bytes(8, "big")), size)
        self._updated()

    def _updated(self) -> None:
        self.figures.updates += 1
        self.figures.last_good_at = time()


def _number(version: bytes) -> int:
    return int.from_bytes(version, "big")

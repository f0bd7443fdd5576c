"""The namespaces of a store as they are now, in memory, and everybody who is told when they change."""

import logging
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any, Final, TypeVar

from linkerd_tcp.controller.storage import (
    MAX_NAMESPACES,
    MAX_TOTAL_BYTES,
    MAX_WATCHES,
    Full,
    State,
    StoreError,
    Versioned,
    check_name,
)
from linkerd_tcp.naming.watch import Var, Watch

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class Table:
    """Never blocks. `set` tells the holders of a namespace, and where names came or went those of `namespaces`."""

    def __init__(self, what: str) -> None:
        self._what = what
        """The store, as a person would call it."""
        self._states: dict[str, State] = {}
        self._names: list[str] = []
        self._sizes: dict[str, int] = {}
        self._total_bytes = 0
        self._holders: dict[str, dict[Var[State], None]] = {}
        self._listeners: dict[Var[tuple[str, ...]], None] = {}
        self._watches = 0
        self.closed = False

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(self._names)

    def namespaces(self) -> Watch[tuple[str, ...]]:
        self._enter()
        holder: Var[tuple[str, ...]] = Var(self.names, on_close=lambda: self._release(self._listeners, holder))
        self._listeners[holder] = None
        return holder

    def watch(self, ns: str) -> Watch[State]:
        check_name(ns)
        self._enter()
        holder: Var[State] = Var(self._states.get(ns), on_close=lambda: self._leave(ns, holder))
        self._holders.setdefault(ns, {})[holder] = None
        return holder

    def get(self, ns: str) -> State:
        check_name(ns)
        self.check_open()
        return self._states.get(ns)

    def check_open(self) -> None:
        """StoreError when closed."""
        if self.closed:
            raise StoreError(f"{self._what} is closed")

    def check_room(self, ns: str, size: int) -> None:
        """Full if `ns` with `size` bytes is beyond what a store holds."""
        if ns not in self._states and len(self._names) >= MAX_NAMESPACES:
            raise Full(
                f"{self._what} holds {MAX_NAMESPACES} namespaces and no more: delete one before {ns!r} is created"
            )
        if self._total_bytes - self._sizes.get(ns, 0) + size > MAX_TOTAL_BYTES:
            raise Full(f"{self._what} holds {MAX_TOTAL_BYTES} bytes of dtabs: with {ns!r} it would be more")

    def set(self, ns: str, state: State, size: int = 0) -> bool:
        """What `ns` is from now on, and the bytes that it takes; whether that is news."""
        before = self._states.get(ns)
        if _same(before, state) or self.closed:
            return False
        self._total_bytes += size - self._sizes.pop(ns, 0)
        if state is None:
            del self._states[ns]
            del self._names[bisect_left(self._names, ns)]
        else:
            self._states[ns] = state
            self._sizes[ns] = size
            if before is None:
                insort(self._names, ns)
        _tell(self._holders.get(ns, {}), state)
        if (before is None or state is None) and self._listeners:
            _tell(self._listeners, self.names)
        return True

    def close(self) -> None:
        self.closed = True
        self._holders.clear()
        self._listeners.clear()

    def _enter(self) -> None:
        self.check_open()
        if self._watches >= MAX_WATCHES:
            raise Full(f"{self._what} is watched {MAX_WATCHES} times: no more")
        self._watches += 1

    def _leave(self, ns: str, holder: Var[State]) -> None:
        holders = self._holders.get(ns, {})
        self._release(holders, holder)
        if not holders:
            self._holders.pop(ns, None)

    def _release(self, holders: dict[Var[Any], None], holder: Var[Any]) -> None:
        holders.pop(holder, None)
        self._watches -= 1


def _same(one: State, other: State) -> bool:
    """Versions are compared, not dtabs: those may be long."""
    if isinstance(one, Versioned) and isinstance(other, Versioned):
        return one.version == other.version
    return one == other


def _tell(holders: dict[Var[T], None], value: T) -> None:
    for holder in tuple(holders):
        _one(holder.tell, value)  # not `set`: it would compare two dtabs once for each of a thousand holders


def _one(tell: Callable[[T], None], value: T) -> None:
    try:
        tell(value)
    except Exception:  # noqa: BLE001  one observer must not keep the news from all the others
        _log.exception("an observer of dtabs failed")

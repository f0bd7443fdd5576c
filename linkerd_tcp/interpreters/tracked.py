"""A live value computed from other live values, without being told beforehand from which."""

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from linkerd_tcp.naming.watch import Read as Read  # where it was once, for who imports it from here
from linkerd_tcp.naming.watch import Var, Watch

T = TypeVar("T")
V = TypeVar("V")

MAX_ROUNDS: Final = 100
"""How often one change may bring about the next before it is let rest until something changes by itself."""


class _Source:
    """A watch that the value was computed from, and how to stop observing it."""

    __slots__ = ("cancel", "watch")

    def __init__(self, watch: Watch[Any], changed: Callable[[object], None]) -> None:
        self.watch = watch
        self.cancel = watch.observe(changed)

    def close(self) -> None:
        self.cancel()
        self.watch.close()


class Tracked(Generic[T]):
    """A `Watch` of what `compute` returns, computed again whenever a watch that it read changes.

    Watches no longer read are closed, but only once observers have been told the value that does without them; and
    while the value is not `settled`, those of the last settled one stay open, because its holders may live on it.
    A change that comes while computing or telling causes one more computation afterwards, never a nested one.
    `same` says whether a value need not be told after another.
    """

    __slots__ = (
        "_again",
        "_busy",
        "_compute",
        "_on_close",
        "_out",
        "_same",
        "_settled",
        "_settled_used",
        "_sources",
        "_used",
    )

    def __init__(
        self,
        compute: Callable[[Read], T],
        settled: Callable[[T], bool],
        same: Callable[[T, T], bool],
        on_close: Callable[["Tracked[T]"], None],
    ) -> None:
        self._compute = compute
        self._settled = settled
        self._same = same
        self._on_close = on_close
        self._sources: dict[Hashable, _Source] = {}
        self._used: set[Hashable] = set()
        self._settled_used: set[Hashable] = set()
        self._again = False
        self._busy = True
        try:
            self._out = Var(self._computed())
        except BaseException:
            self._close_but(set())
            raise
        self._release()
        self._busy = False

    @property
    def value(self) -> T:
        return self._out.value

    def observe(self, callback: Callable[[T], None]) -> Callable[[], None]:
        return self._out.observe(callback)

    def close(self) -> None:
        if self._out.closed:
            return
        self._out.close()
        self._close_but(set())
        self._on_close(self)

    def changed(self, _: object = None) -> None:
        """Something that the value depends on has changed."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        try:
            for _round in range(MAX_ROUNDS):
                if self._out.closed:
                    break
                value = self._computed()
                if not self._same(self._out.value, value):
                    self._out.tell(value)
                self._release()
                if not self._again:
                    break
        finally:
            self._busy = False
            if self._out.closed:  # by an observer; computing may have opened watches since
                self._close_but(set())

    def _computed(self) -> T:
        """The value from sources that did not change meanwhile, MAX_ROUNDS permitting."""
        for _round in range(MAX_ROUNDS):
            self._again = False
            self._used = set()
            value = self._compute(self._read)
            if not self._again:
                break
        return value

    def _read(self, key: Hashable, open_watch: Callable[[], Watch[V]]) -> V:
        self._used.add(key)
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = _Source(open_watch(), self.changed)
        value: V = source.watch.value
        return value

    def _release(self) -> None:
        if self._settled(self._out.value):
            self._settled_used = self._used
        self._close_but(self._used | self._settled_used)

    def _close_but(self, kept: set[Hashable]) -> None:
        for key in self._sources.keys() - kept:
            self._sources.pop(key).close()

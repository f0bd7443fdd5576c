"""Paths that led nowhere a moment ago, remembered longer than their routes: what says so must not come and go."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from linkerd_tcp.naming.name import Binding
from linkerd_tcp.naming.path import Path

LOST_KEPT: Final = 100
"""Beyond that the first ones are forgotten: strangers may ask for any number of names."""

LOST_SECS: Final = 60.0
"""Since a connection last asked for it."""


class LostPaths:
    """Of one router. `clock` is in seconds."""

    __slots__ = ("_clock", "_kept")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: dict[Path, tuple[float, Binding]] = {}

    def note(self, path: Path, binding: Binding) -> None:
        """A connection for `path` found that it is bound to nothing: `binding`."""
        self._kept[path] = (self._clock(), binding)  # in its old place, where it has one: a list of them must not turn
        if len(self._kept) > LOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def found(self, path: Path) -> None:
        """It leads somewhere now."""
        if self._kept:
            self._kept.pop(path, None)

    def recent(self) -> dict[Path, Binding]:
        """Those asked for in the last LOST_SECS, in the order in which they were lost."""
        oldest = self._clock() - LOST_SECS
        self._kept = {path: kept for path, kept in self._kept.items() if kept[0] >= oldest}
        return {path: binding for path, (_, binding) in self._kept.items()}

"""What only a connection that lasts needs, done once it has lasted: most are over before, and never pay for it.

A timer for an idle limit of an hour and four keepalive options cost a connection of two milliseconds as much as one of
two days.
"""

from functools import cache
from typing import Any, Final, Protocol

from gevent.hub import get_hub

GROWN_SECS: Final = 1.0
"""Whoever is still here after this is told, before twice as long is over."""

_SLICE: Final = 200
"""How many are told in one turn of the loop."""


class Child(Protocol):
    """Somebody who may be gone before anything of this is worth doing."""

    def grown(self) -> None:
        """It has lasted; called in the hub, once, and must not raise."""


class Nursery:
    """Children in two generations: `add`ed ones, and those that were there when the younger ones came."""

    __slots__ = ("_loop", "_older", "_timer", "_younger")

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._younger: dict[Child, None] = {}
        self._older: dict[Child, None] = {}
        self._timer: Any = None

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def add(self, child: Child) -> None:
        self._younger[child] = None
        if self._timer is None:
            # Runs while there is anybody: an idle process is not woken for nothing.
            self._again(GROWN_SECS)

    def remove(self, child: Child) -> None:
        """It will not be told; harmless when it is not here."""
        if self._younger.pop(child, self) is self:
            self._older.pop(child, None)

    def _tick(self) -> None:
        self._timer.close()
        for child in list(self._older)[:_SLICE]:
            # One that is told may end, or end others.
            if self._older.pop(child, self) is not self:
                child.grown()
        pause_secs = 0.0
        if not self._older:
            self._younger, self._older = self._older, self._younger
            pause_secs = GROWN_SECS
        self._timer = None
        if self._older:
            self._again(pause_secs)

    def _again(self, secs: float) -> None:
        self._timer = self._loop.timer(secs, ref=False)
        self._timer.start(self._tick)


@cache
def nursery() -> Nursery:
    """That of this process, whose loop it runs in."""
    return Nursery(get_hub().loop)

"""Long work in short turns, so that the connections of the loop wait no longer than a slice of it."""

from collections.abc import Iterable
from time import perf_counter
from typing import Final, TypeVar

from gevent.hub import get_hub

T = TypeVar("T")

SLICE_SECS: Final = 0.001


class Turns:
    """`rest()` between small steps of long work: once a slice is used up, the loop serves everybody else first."""

    __slots__ = ("_slice_secs", "_until")

    def __init__(self, slice_secs: float = SLICE_SECS) -> None:
        self._slice_secs = slice_secs
        self._until = perf_counter() + slice_secs

    def rest(self) -> None:
        """Go on at once, or after one full turn of the loop. Not to be called from the hub."""
        if perf_counter() >= self._until:
            turn_loop()
            self._until = perf_counter() + self._slice_secs


def in_turns(several: Iterable[T]) -> list[T]:
    """All of them, where each takes a moment to make."""
    turns = Turns()
    made = []
    for one in several:
        made.append(one)
        turns.rest()
    return made


def turn_loop() -> None:
    """Let the loop poll once and serve what is ready.

    A timer, not gevent.sleep(0): its callback runs in the same turn as the one that asked, up to five milliseconds
    of such callbacks one after another without a look at any socket.
    """
    hub = get_hub()
    with hub.loop.timer(0) as timer:
        hub.wait(timer)

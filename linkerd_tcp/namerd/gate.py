"""Work that comes all at once, let through a little in each turn of the loop.

A namerd that returns, or a dtab that changes, has something to do for each of a thousand names in the same turn; the
connections of the proxy are not to wait for all of it.
"""

from collections import deque
from time import perf_counter
from typing import Any, Final

from gevent.hub import Waiter, get_hub

SLICE_SECS: Final = 0.001


class Gate:
    """`enter` before each piece of work: at once while the turn's slice lasts, else in order, in one of the next turns.

    Not to be entered from the hub.
    """

    def __init__(self, slice_secs: float = SLICE_SECS) -> None:
        self._slice_secs = slice_secs
        self._until = 0.0
        self._waiting: deque[Waiter[None]] = deque()
        self._turn: Any = None
        """A timer of the loop, while its next turn means anything here."""

    def enter(self) -> None:
        """Return when it is this greenlet's turn."""
        if self._turn is None:
            self._begin()
        elif self._waiting or perf_counter() >= self._until:
            waiter: Waiter[None] = Waiter()
            self._waiting.append(waiter)
            try:
                waiter.get()
            finally:
                waiter.clear()  # killed while it waited: nothing switches to it any more

    def _begin(self) -> None:
        self._until = perf_counter() + self._slice_secs
        self._turn = get_hub().loop.timer(0)
        self._turn.start(self._turned)

    def _turned(self) -> None:
        """In the hub: the loop has polled once. Those who wait, as many as the slice has room for."""
        self._turn.close()
        self._turn = None
        if not self._waiting:
            return
        self._begin()
        while self._waiting:
            # Runs until that greenlet waits for something else; one that was killed is passed over.
            self._waiting.popleft().switch(None)
            if perf_counter() >= self._until:
                break

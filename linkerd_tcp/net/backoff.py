"""How long to wait before the next attempt at what keeps failing."""

import random
from collections.abc import Callable

_SPREAD = 0.5
"""How much of a wait is left to chance: those who failed together must not come back together."""


class Backoff:
    """Waits that double from `min_secs` to `max_secs`; each is drawn from the upper half of its step.

    ValueError unless 0 < min_secs <= max_secs. `draw` gives uniform numbers in [0, 1).
    """

    __slots__ = ("_draw", "_max_secs", "_min_secs", "_step_secs")

    def __init__(self, min_secs: float, max_secs: float, draw: Callable[[], float] = random.random) -> None:
        if not 0 < min_secs <= max_secs:
            raise ValueError(f"a backoff of {min_secs} to {max_secs} s")
        self._min_secs = min_secs
        self._max_secs = max_secs
        self._step_secs = min_secs
        self._draw = draw

    def next_secs(self) -> float:
        """The next wait, in seconds: never more than `max_secs`, never less than half of `min_secs`."""
        step = self._step_secs
        self._step_secs = min(2 * step, self._max_secs)
        return step * (1 - _SPREAD * self._draw())

    def reset(self) -> None:
        """It worked: the next wait is a first one again."""
        self._step_secs = self._min_secs

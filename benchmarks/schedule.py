"""Who goes when, and how long it still takes. Pure."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def order(contestants: Sequence[T], number: int) -> list[T]:
    """The order of round `number`, from 0.

    Rounds 0 and 1 are each other's reverse, so are 2 and 3, and so on: of any two, each goes first once in such a pair.
    Every pair of rounds begins with somebody else.
    """
    if not contestants:
        return []
    by = number // 2 % len(contestants)
    turned = [*contestants[by:], *contestants[:by]]
    return turned[::-1] if number % 2 else turned


class Progress:
    """Expected seconds against real ones: what is left is expected to be as much slower as what was done was."""

    def __init__(self, expected_secs: float) -> None:
        self.expected_secs = expected_secs
        self.done_secs = 0.0
        """Expected seconds of what has been done."""
        self.real_secs = 0.0

    def did(self, expected_secs: float, real_secs: float) -> None:
        self.done_secs += expected_secs
        self.real_secs += real_secs

    @property
    def percent(self) -> int:
        return min(100, int(100 * self.done_secs / self.expected_secs)) if self.expected_secs else 100

    @property
    def left_secs(self) -> float:
        slower = self.real_secs / self.done_secs if self.done_secs else 1.0
        return max(0.0, self.expected_secs - self.done_secs) * slower


def in_words(secs: float) -> str:
    """`about 18 min`, `about 40 s`."""
    return f"about {round(secs / 60)} min" if secs >= 90 else f"about {max(0, round(secs))} s"

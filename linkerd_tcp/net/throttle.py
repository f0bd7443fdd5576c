"""A failure that repeats is said once in a while, with how often it was left unsaid."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Final

INTERVAL_SECS: Final = 10.0
MAX_KEYS: Final = 1_000


class Throttle:
    """Says yes at most once per key in `interval_secs`; knows `max_keys` at most, the least recently asked goes first.

    if (unsaid := throttle.ask((bound, cause))) is not None:
        log.warning("%s: %s (%d more like this)", bound, error, unsaid)
    """

    __slots__ = ("_clock", "_interval_secs", "_max_keys", "_seen")

    def __init__(
        self,
        interval_secs: float = INTERVAL_SECS,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._interval_secs = interval_secs
        self._max_keys = max_keys
        self._clock = clock
        self._seen: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def ask(self, key: Hashable) -> int | None:
        """None: stay silent. Otherwise say it; the number is how often this key was left unsaid since the last time."""
        now = self._clock()
        said_at, unsaid = self._seen.pop(key, (now - self._interval_secs, 0))
        silent = now - said_at < self._interval_secs
        self._seen[key] = (said_at, unsaid + 1) if silent else (now, 0)
        if len(self._seen) > self._max_keys:
            self._seen.popitem(last=False)
        return None if silent else unsaid

    def forget(self, key: Hashable) -> None:
        """The trouble is over: the next one of this key is news again."""
        self._seen.pop(key, None)

"""How old what discovery knows is, what failed last and when it tries again, in words; and who has to hear of it.

A watch is stale when its last attempt failed. What it knew goes on being used (last good wins), so that nothing else
would show it.
"""

from collections.abc import Iterable
from math import floor
from time import time
from typing import Final

from linkerd_tcp.naming.namer import Discovery, WatchState, shown_prefix
from linkerd_tcp.net.turns import Turns

MOST_REMARKS: Final = 20
"""Stale watches that are named one by one."""


def remarks(discoveries: Iterable[Discovery], most: int = MOST_REMARKS) -> list[str]:
    """A line for each stale watch, `most` at most, and one for how many more there are. To be called in a greenlet."""
    turns = Turns()
    lines: list[str] = []
    more = 0
    for discovery in discoveries:
        prefix = shown_prefix(discovery)
        for watch in discovery.watches():
            turns.rest()
            if not watch.is_stale:
                continue
            if len(lines) < most:
                lines.append(f"namer {prefix}: {watch.name}: {watch.error} ({_known(watch)})")
            else:
                more += 1
    return [*lines, f"and {more} more"] if more else lines


def count_stale(discovery: Discovery, turns: Turns) -> int:
    """How many of its watches are stale."""
    count = 0
    for watch in discovery.watches():
        turns.rest()
        count += watch.is_stale
    return count


def said(watch: WatchState, heard: str = "") -> str:
    """`bound, last good 12 s ago; last attempt failed 3 s ago: no answer within 2 s; next attempt in 4 s`.

    The error is left out if it is in `heard`, which stands beside.
    """
    parts = [watch.state if watch.last_good_at is None else f"{watch.state}, last good {ago(watch.last_good_at)}"]
    if watch.error is not None:
        last = "last attempt failed" if watch.error_at is None else f"last attempt failed {ago(watch.error_at)}"
        parts.append(last if watch.error in heard else f"{last}: {watch.error}")
    if watch.next_attempt_at is not None:
        parts.append(f"next attempt {ahead(watch.next_attempt_at)}")
    return "; ".join(parts)


def _known(watch: WatchState) -> str:
    return "nothing known yet" if watch.last_good_at is None else f"last good {ago(watch.last_good_at)}"


def ago(at: float) -> str:
    """`12 s ago`, of a time in seconds since the epoch."""
    return f"{age(time() - at)} ago"


def ahead(at: float) -> str:
    """`in 12 s`, or `now`."""
    seconds = at - time()
    return "now" if seconds <= 0 else f"in {age(seconds)}"


def age(seconds: float) -> str:
    """`12 s`, `4 min`, `3 h`, `9 d`: the largest unit that there are two of."""
    seconds = max(seconds, 0.0)
    for unit_secs, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit_secs:
            return f"{floor(seconds / unit_secs)} {unit}"
    return f"{floor(seconds)} s"

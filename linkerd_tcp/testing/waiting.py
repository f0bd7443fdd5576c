"""Waiting for what comes by itself, with a deadline."""

from collections.abc import Callable
from time import monotonic
from typing import Final

import gevent

DEADLINE_SECS: Final = 5.0


def eventually(condition: Callable[[], object], secs: float = DEADLINE_SECS) -> None:
    """Return when `condition` is true, looking every few milliseconds; AssertionError when it is not so in time.

    With 0 it has to be true already.
    """
    until = monotonic() + secs
    while not condition():
        assert monotonic() < until, f"not so within {secs} s"
        gevent.sleep(0.002)

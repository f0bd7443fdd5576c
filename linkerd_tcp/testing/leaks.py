"""What a test must give back: descriptors, greenlets, native threads, watchers of the loop."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import gevent
import greenlet
import pytest
from gevent.threadpool import _WorkerGreenlet

DEADLINE_SECS = 10.0

Held = dict[str, Counter[str]]


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fails the test that ends with more of them than it began with."""
    with nothing_left():
        yield


@contextmanager
def nothing_left(deadline_secs: float = DEADLINE_SECS) -> Iterator[None]:
    """What is open, running or watched at the end was so at the beginning, at the deadline at the latest."""
    gevent.sleep(0)  # so that the loop is there, with all that it opens for itself
    before = _held()
    yield
    deadline = monotonic() + deadline_secs
    while left := _more(before, _held()):
        assert monotonic() < deadline, f"left behind: {left}"
        gevent.sleep(0.01)
        gc.collect()  # only where something is left: it takes long


def _held() -> Held:
    return {
        "descriptors": _descriptors(),
        "greenlets": _greenlets(),
        "threads": Counter(native=_threads()),
        "watchers": Counter(active=gevent.get_hub().loop.activecnt),
    }


def _more(before: Held, after: Held) -> dict[str, dict[str, int]]:
    return {what: dict(more) for what in after if (more := after[what] - before[what])}


def _descriptors() -> Counter[str]:
    """What is open, by what it leads to; sockets by their number, so that one for another is noticed too."""
    found: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # the listing's own
        # Pipes and event descriptors have no name of their own.
        found[target if target.startswith("socket:") else f"{fd} {target}"] += 1
    return found


def _greenlets() -> Counter[str]:
    current = gevent.getcurrent()
    return Counter(
        repr(each)
        for each in gc.get_objects()
        if isinstance(each, greenlet.greenlet)
        and _is_alive(each)
        and each is not current
        and each is not gevent.get_hub()
        and each.parent is not None  # the main one of a native thread, and threads are counted by themselves
        and not isinstance(each, _WorkerGreenlet)  # the loop keeps its own
    )


def _is_alive(each: greenlet.greenlet) -> bool:
    """Started and not ended, or waiting for its first turn."""
    if isinstance(each, gevent.Greenlet):
        return not each.dead and (each.started or bool(each))
    return bool(each)


def _threads() -> int:
    """Native threads, but for those that the loop keeps for itself."""
    if not os.path.isdir("/proc/self/task"):
        return 0
    kept: int = gevent.get_hub().threadpool.size
    return len(os.listdir("/proc/self/task")) - kept

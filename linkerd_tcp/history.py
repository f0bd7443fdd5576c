"""The last minutes in a few figures, kept in this process whether or not somebody looks.

A point is a step of the wall clock, so that those of several workers are of the same time and can be put together. It
is measured from one sample to the next and divided by the time between them on the monotonic clock: a clock that is
set, or a process that was stopped, makes a gap and no peak. What was not measured is a gap, never a zero.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from time import monotonic, time
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.book import Book
from linkerd_tcp.figures import DURATION_BOUNDS_SECS, Histogram
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.router import Router
from linkerd_tcp.server import Server

STEP_SECS: Final = 5
"""One point of a series."""

STEPS: Final = 72
"""Points kept: six minutes."""

MOST_DESTINATIONS: Final = 200
"""Over all routers, the first by name."""

LATENCY_STEPS: Final = 60 // STEP_SECS
"""A minute."""

FORGOTTEN_STEPS: Final = 24
"""After so long without it a destination's series end, and there is room for another's."""

_BUCKETS: Final = len(DURATION_BOUNDS_SECS) + 1
_NO_BUCKETS: Final = (0,) * _BUCKETS
_AT_ONCE: Final = 64
"""Open connections looked at between two looks at the clock."""

Points: TypeAlias = list[float | None]
Shape: TypeAlias = dict[str, Any]


class Source(Protocol):
    """What is measured."""

    @property
    def routers(self) -> Mapping[str, Router]: ...

    @property
    def servers(self) -> Sequence[Server]: ...

    @property
    def book(self) -> Book: ...


class _Counted(NamedTuple):
    """What is known at a sample: `open` now, and counters."""

    open: int
    counters: tuple[int, ...]
    """Each becomes a series of so many a second."""
    latency: Sequence[int]
    """By bucket."""


class _Ring:
    """One series."""

    __slots__ = ("_points",)

    def __init__(self) -> None:
        self._points = array("f", (nan,)) * STEPS

    def put(self, step: int, value: float) -> None:
        self._points[step % STEPS] = value

    def points(self, until: int) -> Points:
        """The newest last, from the first that is known."""
        start = until % STEPS
        ordered = (*self._points[start:], *self._points[:start])
        first = next((at for at, value in enumerate(ordered) if value == value), STEPS)
        return [None if value != value else round(value, 3) for value in ordered[first:]]


class _Series:
    """What is kept of one destination, or of everything."""

    __slots__ = ("_before", "_buckets", "_is_empty", "_latency", "_open", "_rates", "measured_at")

    def __init__(self, counters: int) -> None:
        self.measured_at = 0
        """The last step that has a point."""
        self._open = _Ring()
        self._rates = tuple(_Ring() for _ in range(counters))
        self._latency = array("I", _NO_BUCKETS) * LATENCY_STEPS
        self._is_empty = True
        """Whether the last minute's buckets are: then there is nothing to clear."""
        self._before = (0,) * counters
        self._buckets: Sequence[int] = _NO_BUCKETS

    def begin(self, now: _Counted) -> None:
        """Measure from here on."""
        self._before, self._buckets = now.counters, tuple(now.latency)

    def measure(self, step: int, now: _Counted, secs: float) -> None:
        """The point of this step, whose counters have grown for `secs`."""
        self.measured_at = step
        self._open.put(step, now.open)
        for ring, count, before in zip(self._rates, now.counters, self._before, strict=True):
            # Less than before: a part of what was counted is there no more, and nobody knows what came since.
            ring.put(step, (count - before) / secs if count >= before else nan)
        self._note_latency(step, now.latency)
        self.begin(now)

    def skip(self, step: int) -> None:
        """Nothing is known of this step."""
        for ring in (self._open, *self._rates):
            ring.put(step, nan)
        self._clear_latency(step)

    def _note_latency(self, step: int, buckets: Sequence[int]) -> None:
        self._clear_latency(step)
        if tuple(buckets) == self._buckets:
            return
        grown = [now - before for now, before in zip(buckets, self._buckets, strict=True)]
        if min(grown) < 0:  # its balancer was made anew
            grown = list(buckets)
        start = step % LATENCY_STEPS * _BUCKETS
        self._latency[start : start + _BUCKETS] = array("I", grown)
        self._is_empty = False

    def _clear_latency(self, step: int) -> None:
        if not self._is_empty:
            start = step % LATENCY_STEPS * _BUCKETS
            self._latency[start : start + _BUCKETS] = array("I", _NO_BUCKETS)
            self._is_empty = not any(self._latency)

    def shape(self, until: int) -> Shape:
        """With as many of the rates as there are."""
        rates = [ring.points(until) for ring in self._rates]
        names = ("accepts", "failures", "rx", "tx")
        return {
            "open": self._open.points(until),
            **{name: rates[at] if at < len(rates) else [] for at, name in enumerate(names)},
            "latency": [sum(self._latency[bucket::_BUCKETS]) for bucket in range(_BUCKETS)],
        }


class History:
    """`sample` every second or so, in a greenlet; `shape` whenever somebody asks. The clocks are those of `time`."""

    def __init__(self, clock: Callable[[], float] = monotonic, wall: Callable[[], float] = time) -> None:
        self._clock = clock
        self._wall = wall
        self._step: int | None = None
        """The one that runs; all before have their points."""
        self._at = 0.0
        """Of the last sample, on `clock`."""
        self._total = _Series(4)
        self._destinations: dict[str, _Series] = {}
        self._shape: Shape | None = None

    def sample(self, source: Source) -> None:
        """Make a point of each step that has ended since the last one was made; mostly there is none."""
        step, at = int(self._wall() // STEP_SECS), self._clock()
        before = self._step
        if before == step:
            return
        self._step, self._shape = step, None
        if before is None or not before < step <= before + STEPS:
            # The beginning, or a clock that was set: nothing is known of what was before.
            self._begin(source)
        else:
            for missed in range(before, step - 1):
                for series in (self._total, *self._destinations.values()):
                    series.skip(missed)
            self._measure(source, step - 1, at - self._at)
        self._at = at

    def shape(self) -> Shape:
        """As `dashboard.frame.History`; the same object until there is something new, so it is not to be changed. To be
        called in a greenlet.
        """
        shape = self._shape
        while shape is None:
            until = self._step or 0
            made = self._make_shape(until)
            if until == (self._step or 0):  # else a point has come while it rested, in the place of the oldest one
                shape = self._shape = made
        return shape

    def _make_shape(self, until: int) -> Shape:
        turns = Turns()
        destinations = {}
        for key, series in list(self._destinations.items()):
            turns.rest()
            destinations[key] = series.shape(until)
        return {"until": until, "total": self._total.shape(until), "destinations": destinations}

    def _begin(self, source: Source) -> None:
        turns = Turns()
        self._total = _Series(4)
        self._total.begin(_count_servers(source, turns))
        self._destinations = {}
        for key, balancers in _destinations(source.routers):
            turns.rest()
            series = self._destinations[key] = _Series(2)
            series.begin(_count_destination(balancers))

    def _measure(self, source: Source, step: int, secs: float) -> None:
        turns = Turns()
        self._total.measure(step, _count_servers(source, turns), secs)
        for key, balancers in _destinations(source.routers):
            turns.rest()
            series = self._destinations.get(key)
            if series is None:
                # It has come since the last sample, with counters that began at zero.
                series = self._destinations[key] = _Series(2)
            series.measure(step, _count_destination(balancers), secs)
        self._look_after_absent(step)

    def _look_after_absent(self, step: int) -> None:
        """Those that are not there now, or have no room any more."""
        for key, series in list(self._destinations.items()):
            if series.measured_at == step:
                continue
            if step - series.measured_at > FORGOTTEN_STEPS or len(self._destinations) > MOST_DESTINATIONS:
                del self._destinations[key]
            else:
                series.skip(step)


def _count_servers(source: Source, turns: Turns) -> _Counted:
    """The sums and the list of the open in one turn, and each record's bytes later, which it keeps when it ends: bytes
    that go from the one to the other meanwhile are counted once.
    """
    figures = [server.figures for server in source.servers]
    opened = sum(each.active for each in figures)
    accepts = sum(each.accepts for each in figures)
    failures = sum(sum(each.failures.values()) for each in figures)
    rx, tx = sum(each.rx_bytes for each in figures), sum(each.tx_bytes for each in figures)
    latency = _added(each.connect_latency for each in figures)
    for number, record in enumerate(list(source.book.open.values())):
        if not number % _AT_ONCE:
            turns.rest()
        flow = record.flow
        if flow is None:
            rx += record.rx_bytes
            tx += record.tx_bytes
        else:
            rx += flow.rx_bytes
            tx += flow.tx_bytes
    return _Counted(opened, (accepts, failures, rx, tx), latency)


def _destinations(routers: Mapping[str, Router]) -> list[tuple[str, list[Balancer]]]:
    """By `router bound`. Different client settings make several balancers of one name."""
    found: list[tuple[str, list[Balancer]]] = []
    for label, router in list(routers.items()):
        named: dict[str, list[Balancer]] = {}
        for balancer in router.balancers():
            named.setdefault(f"{label} {balancer.bound}", []).append(balancer)
        found += sorted(named.items())
        if len(found) >= MOST_DESTINATIONS:
            break
    return found[:MOST_DESTINATIONS]


def _count_destination(balancers: Sequence[Balancer]) -> _Counted:
    figures = [balancer.figures for balancer in balancers]
    connects = sum(each.connects for each in figures)
    failures = sum(sum(each.connect_failures.values()) for each in figures)
    opened = sum(balancer.opened for balancer in balancers)
    return _Counted(opened, (connects, failures), _added(each.connect_latency for each in figures))


def _added(histograms: Iterable[Histogram]) -> Sequence[int]:
    several = [histogram.counts for histogram in histograms]
    return (
        tuple(several[0]) if len(several) == 1 else [sum(bucket) for bucket in zip(_NO_BUCKETS, *several, strict=True)]
    )

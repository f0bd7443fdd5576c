"""Metrics of several workers as if they were one process's.

Counters and histograms add up and never go back: what a worker had counted when it was last asked stays counted when
it is replaced, does not answer, or lets go of a series that another still has. Gauges are those of who answers now.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeAlias

from gevent.lock import BoundedSemaphore
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from linkerd_tcp.figures import Histogram
from linkerd_tcp.metrics import FAMILIES, Family
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.workers.fleet import WorkerRow

KEPT_SECS: Final = 600.0
"""How long series of a replaced worker are shown that no other has: as long as a binding that nobody uses."""

MOST_KEPT: Final = 50_000
"""Of those series; beyond it the oldest go."""

Labels: TypeAlias = tuple[str, ...]
Value: TypeAlias = float | list[float]
"""A number; or of a histogram, how many in each bucket (not cumulative), and then the sum of seconds."""

Figures: TypeAlias = dict[str, dict[Labels, Value]]
"""By family and labels."""

Rest: TypeAlias = Callable[[], None]


@dataclass
class Snapshot:
    """What one process said. `started_at` tells it from the one before it, `at` orders its own answers."""

    started_at: float
    at: float
    figures: Figures = field(default_factory=dict)
    process: list[dict[str, Any]] = field(default_factory=list)
    """`process_*` and `python_*`, each with name, help, type and samples."""


_BY_NAME: Final = {family.name: family for family in FAMILIES}


def read_snapshot(values: Iterable[Any]) -> Snapshot:
    """Of `admin.private.figure_lines`, each line read as JSON."""
    lines = iter(values)
    head = next(lines)
    snapshot = Snapshot(head["startedAt"], head["at"])
    for line in lines:
        if isinstance(line, dict):
            snapshot.process.append(line)
            continue
        name, part = line
        found = snapshot.figures.setdefault(name, {})
        for labels, value in part:
            add(_BY_NAME[name], found, tuple(labels), value)
    return snapshot


def add(family: Family, found: dict[Labels, Value], labels: Labels, value: Value) -> None:
    """Put `value` to what is found of its series so far."""
    before = found.get(labels)
    if before is None:
        found[labels] = value
    elif isinstance(before, list) and isinstance(value, list):
        found[labels] = [one + other for one, other in zip(before, value, strict=True)]
    elif not isinstance(before, list) and not isinstance(value, list):
        found[labels] = {"sum": before + value, "min": min(before, value), "max": max(before, value)}[family.together]


def _size(value: Value) -> float:
    """What can only grow in one series of one process."""
    return sum(value[:-1]) if isinstance(value, list) else value


class Ledger:
    """What has been counted, over workers that come and go. One for the life of the admin process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._last: dict[str, Snapshot] = {}
        self._gone: Figures = {family.name: {} for family in FAMILIES}
        """Of what is counted no more: processes that were replaced, series that were let go of."""
        self._until: dict[tuple[str, Labels], float] = {}
        """Those of `_gone` that are shown for a while although no worker has them; the oldest first."""
        # Each step of adding up rests, and two scrapes at once would see each other's halves.
        self._lock = BoundedSemaphore()

    def add(self, heard: Mapping[str, Snapshot]) -> Figures:
        """Take these answers, by worker, and say what all workers make together. To be called in a greenlet."""
        turns = Turns()
        with self._lock:
            answered: set[str] = set()
            for worker, snapshot in heard.items():
                if self._take(worker, snapshot, turns.rest):
                    answered.add(worker)
            return self._sums(answered, turns.rest)

    def _take(self, worker: str, new: Snapshot, rest: Rest) -> bool:
        """False if this is of a process that has been replaced since."""
        old = self._last.get(worker)
        if old is not None and (new.started_at < old.started_at):
            return False
        if old is not None and new.started_at == old.started_at and new.at <= old.at:
            return True  # overtaken by a newer answer of the same process, which counted as much or more
        if old is not None:
            self._keep(old, new, rest)
        self._last[worker] = new
        return True

    def _keep(self, old: Snapshot, new: Snapshot, rest: Rest) -> None:
        """What `old` had counted and `new` no longer does."""
        is_other = new.started_at > old.started_at
        until = self._clock() + KEPT_SECS
        for name, series in old.figures.items():
            family = _BY_NAME[name]
            if family.is_gauge:
                continue
            now = new.figures.get(name, {})
            for labels, value in series.items():
                rest()
                counted = now.get(labels)
                if not is_other and counted is not None and _size(counted) >= _size(value):
                    continue
                add(family, self._gone[name], labels, value)
                if is_other:
                    self._until.pop((name, labels), None)
                    self._until[name, labels] = until
        while len(self._until) > MOST_KEPT:
            del self._until[next(iter(self._until))]

    def _sums(self, answered: Collection[str], rest: Rest) -> Figures:
        total: Figures = {}
        for family in FAMILIES:
            found = total[family.name] = {}
            for worker, snapshot in self._last.items():
                if family.is_gauge and worker not in answered:
                    continue
                for labels, value in snapshot.figures.get(family.name, {}).items():
                    add(family, found, labels, value)
                    rest()
            self._add_gone(family, found, rest)
        return total

    def _add_gone(self, family: Family, found: dict[Labels, Value], rest: Rest) -> None:
        gone = self._gone[family.name]
        now = self._clock()
        for labels, value in list(gone.items()):
            rest()
            key = (family.name, labels)
            if labels not in found and self._until.get(key, 0.0) <= now:
                # As in one process: a series goes with what it was of.
                del gone[labels]
                self._until.pop(key, None)
            else:
                add(family, found, labels, value)


class Summed(Collector):
    """To be written by `linkerd_tcp.metrics.exposition`."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            series = self._figures.get(family.name, {})
            for part in family.slices((labels, _number(value)) for labels, value in series.items()):
                yield family.metric(part)


def _number(value: Value) -> float | Histogram:
    if not isinstance(value, list):
        return value
    histogram = Histogram()
    histogram.counts, histogram.total = [int(count) for count in value[:-1]], value[-1]
    return histogram


class Processes(Collector):
    """What processes say of themselves, each with the label `worker`: a number, `admin` or `supervisor`."""

    def __init__(self, processes: Mapping[str, Iterable[dict[str, Any]]]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for worker, shapes in self._processes.items():
            for shape in shapes:
                name = shape["name"]
                metric = found.setdefault(name, Metric(name, shape["help"], shape["type"]))
                for sample, labels, value in shape["samples"]:
                    metric.add_sample(sample, {**labels, "worker": worker}, value)
        yield from found.values()


class Workers(Collector):
    """Which workers have answered, and how often each was replaced."""

    def __init__(self, rows: Iterable[WorkerRow], answered: Collection[int]) -> None:
        self._rows = list(rows)
        self._answered = answered

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("l5d_worker_up", "1 if the worker has answered this scrape.", labels=("worker",))
        restarts = CounterMetricFamily(
            "l5d_worker_restarts_total", "How often a worker was replaced.", labels=("worker",)
        )
        for row in self._rows:
            up.add_metric((str(row.number),), float(row.number in self._answered))
            restarts.add_metric((str(row.number),), row.restarts)
        yield from (up, restarts)

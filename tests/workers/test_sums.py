"""Metrics of several workers are those of one, and no counter goes back when one of them is replaced."""

import os
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from linkerd_tcp.admin.process import OtherCollector
from linkerd_tcp.figures import DURATION_BOUNDS_SECS, Histogram
from linkerd_tcp.metrics import FAMILIES, exposition
from linkerd_tcp.workers.fleet import WorkerRow
from linkerd_tcp.workers.sums import (
    KEPT_SECS,
    Ledger,
    Processes,
    Snapshot,
    Summed,
    Value,
    Workers,
    read_snapshot,
)

ACCEPTS, ACTIVE = "l5d_srv_accepts_total", "l5d_srv_active"
CONNECTS, LATENCY = "l5d_balancer_connects_total", "l5d_balancer_connect_latency_seconds"
SRV, DST = ("default", "127.0.0.1:1"), ("default", "/#/x")


def snapshot(at: float, *, started_at: float = 1.0, **series: Value) -> Snapshot:
    """`accepts`, `active`, `connects` and `latency` of the one server and name there are."""
    found = Snapshot(started_at, at)
    names = {"accepts": (ACCEPTS, SRV), "active": (ACTIVE, SRV), "connects": (CONNECTS, DST), "latency": (LATENCY, DST)}
    for key, value in series.items():
        name, labels = names[key]
        found.figures[name] = {labels: value}
    return found


def histogram(*seconds: float) -> list[float]:
    made = Histogram()
    for each in seconds:
        made.observe(each)
    return [*made.counts, made.total]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_counters_gauges_and_histograms_add_up(ledger: Ledger) -> None:
    sums = ledger.add(
        {
            "0": snapshot(1, accepts=3, active=2, latency=histogram(0.1, 0.2)),
            "1": snapshot(1, accepts=4, active=1, latency=histogram(0.1)),
        }
    )
    assert (sums[ACCEPTS][SRV], sums[ACTIVE][SRV]) == (7, 3)
    assert sums[LATENCY][DST] == pytest.approx(histogram(0.1, 0.2, 0.1))


def test_times_and_success_are_the_worst_and_what_runs_here_stays_one(ledger: Ledger) -> None:
    a, b = Snapshot(1, 1), Snapshot(1, 1)
    for found, good_at, ok in ((a, 10.0, 1.0), (b, 5.0, 0.0)):
        found.figures = {
            "l5d_namer_last_good_timestamp_seconds": {("/io.l5d.fs",): good_at},
            "l5d_tls_certificate_not_after_timestamp_seconds": {("default",): good_at},
            "l5d_config_last_reload_success": {(): ok},
            "l5d_build_info": {("1", "2", "3"): 1.0},
        }
    sums = ledger.add({"0": a, "1": b})
    assert [list(sums[name].values()) for name in a.figures] == [[5.0], [5.0], [0.0], [1.0]]


def test_what_a_replaced_worker_had_counted_stays_and_its_gauges_go(ledger: Ledger) -> None:
    ledger.add(
        {"0": snapshot(9, accepts=100, active=7, latency=histogram(0.1)), "1": snapshot(1, accepts=10, active=1)}
    )
    sums = ledger.add({"0": snapshot(1, started_at=2.0, accepts=1, active=1), "1": snapshot(2, accepts=11, active=2)})
    assert (sums[ACCEPTS][SRV], sums[ACTIVE][SRV]) == (112, 3)
    assert sums[LATENCY][DST] == histogram(0.1)


def test_a_worker_that_does_not_answer_keeps_what_it_had_counted_and_has_no_gauge(ledger: Ledger) -> None:
    ledger.add({"0": snapshot(1, accepts=5, active=5), "1": snapshot(1, accepts=2, active=1)})
    sums = ledger.add({"1": snapshot(2, accepts=3, active=1)})
    assert (sums[ACCEPTS][SRV], sums[ACTIVE][SRV]) == (8, 1)
    assert ledger.add({"0": snapshot(2, accepts=6, active=0)})[ACCEPTS][SRV] == 9


def test_a_series_that_a_worker_lets_go_of_stays_counted_while_another_has_it(ledger: Ledger) -> None:
    ledger.add({"0": snapshot(1, connects=5), "1": snapshot(1, connects=2)})
    assert ledger.add({"0": snapshot(2), "1": snapshot(2, connects=2)})[CONNECTS] == {DST: 7}
    assert ledger.add({"0": snapshot(3, connects=1)})[CONNECTS] == {DST: 8}  # bound again
    assert ledger.add({"0": snapshot(4), "1": snapshot(4)})[CONNECTS] == {}


def test_a_series_that_began_anew_between_two_scrapes_goes_on(ledger: Ledger) -> None:
    ledger.add({"0": snapshot(1, connects=5, latency=histogram(0.1, 0.1))})
    sums = ledger.add({"0": snapshot(2, connects=2, latency=histogram(9.0))})
    assert sums[CONNECTS][DST] == 7
    assert sums[LATENCY][DST] == pytest.approx(histogram(0.1, 0.1, 9.0))


def test_a_series_that_only_a_replaced_worker_had_goes_after_a_while() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    ledger.add({"0": snapshot(1, connects=5)})
    assert ledger.add({"0": snapshot(1, started_at=2.0)})[CONNECTS] == {DST: 5}
    clock.now = KEPT_SECS - 1
    assert ledger.add({})[CONNECTS] == {DST: 5}
    clock.now = KEPT_SECS
    assert ledger.add({})[CONNECTS] == {}
    assert ledger.add({"0": snapshot(2, started_at=2.0, connects=1)})[CONNECTS] == {DST: 1}


def test_of_series_that_nobody_has_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.workers.sums.MOST_KEPT", 3)
    ledger = Ledger()
    for number in range(10):
        found = Snapshot(number, 1)
        found.figures = {CONNECTS: {("default", f"/#/{number}"): 1}}
        sums = ledger.add({"0": found})
    assert list(sums[CONNECTS]) == [("default", f"/#/{number}") for number in (9, 6, 7, 8)]


def test_an_answer_that_was_overtaken_or_is_of_a_replaced_process_takes_nothing_back(ledger: Ledger) -> None:
    ledger.add({"0": snapshot(5, accepts=50)})
    assert ledger.add({"0": snapshot(4, accepts=40)})[ACCEPTS][SRV] == 50
    ledger.add({"0": snapshot(1, started_at=2.0, accepts=1)})
    assert ledger.add({"0": snapshot(6, accepts=60, active=6)})[ACCEPTS][SRV] == 51
    assert ledger.add({"0": snapshot(6, accepts=60, active=6)})[ACTIVE] == {}


def test_two_scrapes_at_once_see_no_halves(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    class Restless:
        def rest(self) -> None:
            gevent.sleep(0)

    monkeypatch.setattr("linkerd_tcp.workers.sums.Turns", Restless)
    ledger.add({"0": snapshot(1, accepts=1, connects=1), "1": snapshot(1, accepts=1, connects=1)})
    scrapes = [
        gevent.spawn(ledger.add, {"0": snapshot(at, started_at=at, accepts=1, connects=1)}) for at in range(2, 6)
    ]
    gevent.joinall(scrapes, raise_error=True)
    assert sorted(scrape.value[ACCEPTS][SRV] for scrape in scrapes) == [3, 4, 5, 6]


EVENTS = st.lists(
    st.tuples(st.sampled_from(["count", "observe", "kill", "evict", "scrape", "hang"]), st.integers(0, 2)), max_size=60
)


@given(EVENTS)
def test_no_counter_goes_back_whatever_happens_to_workers(events: list[tuple[str, int]]) -> None:
    """A series that nobody has any more may go; but not to begin with less again, unless it was away."""
    ledger, workers, clock = Ledger(), [[1.0, 0, []] for _ in range(3)], 0.0
    last: dict[Any, float] = {}
    hanging: set[int] = set()
    for what, number in [*events, ("scrape", 0)]:
        worker: list[Any] = workers[number]
        clock += 1
        if what == "count":
            worker[1] += 1
        elif what == "observe":
            worker[2].append(0.1)
        elif what == "kill":
            workers[number] = [clock + 1, 0, []]
        elif what == "evict":
            worker[2].clear()
        elif what == "hang":
            hanging ^= {number}
        else:
            heard = {
                str(number): snapshot(
                    clock, started_at=began, accepts=counted, **({"latency": histogram(*seen)} if seen else {})
                )
                for number, (began, counted, seen) in enumerate(workers)
                if number not in hanging
            }
            sums = ledger.add(heard)
            now = {("accepts", SRV): sums[ACCEPTS].get(SRV, 0)} | {
                ("latency", labels): sum(value[:-1])  # type: ignore[index]
                for labels, value in sums[LATENCY].items()
            }
            assert all(now[key] >= before for key, before in last.items() if key in now)
            last = now


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100)), max_size=50))
def test_the_sum_over_workers_is_what_one_would_have_counted(observed: list[tuple[int, float]]) -> None:
    whole, parts = Histogram(), [Histogram() for _ in range(4)]
    for worker, seconds in observed:
        whole.observe(seconds)
        parts[worker].observe(seconds)
    sums = Ledger().add(
        {
            str(number): snapshot(1, accepts=part.count, latency=[*part.counts, part.total])
            for number, part in enumerate(parts)
        }
    )
    assert sums[ACCEPTS][SRV] == whole.count
    value = sums[LATENCY][DST]
    assert isinstance(value, list)
    assert value[:-1] == whole.counts
    assert value[-1] == pytest.approx(whole.total)


# -- writing


def text_of(*collectors: Any) -> dict[str, Any]:
    text = b"".join(exposition(collectors)).decode()
    families = list(text_string_to_metric_families(text))
    named = {family.name: family for family in families}
    assert len(named) == len(families)
    return named


def test_sums_are_written_as_one_process_writes_its_own(ledger: Ledger) -> None:
    found = text_of(Summed(ledger.add({"0": snapshot(1, accepts=3, latency=histogram(0.3))})))
    assert set(found) == {family.name.removesuffix("_total") for family in FAMILIES}
    samples = found[LATENCY].samples
    buckets = {float(each.labels["le"]): each.value for each in samples if each.name.endswith("_bucket")}
    assert list(buckets) == [*DURATION_BOUNDS_SECS, float("inf")]
    assert (buckets[0.25], buckets[0.5]) == (0, 1)


def test_what_a_process_says_of_itself_has_the_worker_as_a_label() -> None:
    shape = {"name": "python_info", "help": "x", "type": "gauge", "samples": [["python_info", {"version": "3"}, 1.0]]}
    found = text_of(Processes({"0": [shape], "admin": [shape]}))["python_info"]
    assert [each.labels for each in found.samples] == [
        {"version": "3", "worker": "0"},
        {"version": "3", "worker": "admin"},
    ]


def test_who_has_answered_and_who_was_replaced_is_said() -> None:
    rows = [WorkerRow(number, 1, 1.0, "serving", 3 * number, "") for number in range(2)]
    found = text_of(Workers(rows, {0}))
    assert [each.value for each in found["l5d_worker_up"].samples] == [1, 0]
    assert [each.value for each in found["l5d_worker_restarts"].samples] == [0, 3]


def test_a_snapshot_is_read_from_its_lines() -> None:
    process = {"name": "process_open_fds", "help": "x", "type": "gauge", "samples": []}
    found = read_snapshot(
        [
            {"startedAt": 1.5, "at": 7.0},
            [ACCEPTS, [[list(SRV), 3]]],
            [ACCEPTS, [[["default", "127.0.0.1:2"], 4]]],
            ["l5d_namer_updates_total", [[["/x"], 1], [["/x"], 2]]],  # two of one prefix
            process,
        ]
    )
    assert (found.started_at, found.at, found.process) == (1.5, 7.0, [process])
    assert found.figures == {
        ACCEPTS: {SRV: 3, ("default", "127.0.0.1:2"): 4},
        "l5d_namer_updates_total": {("/x",): 3},
    }


def test_another_process_is_measured_and_one_that_has_gone_is_not() -> None:
    found = {metric.name: metric.samples[0].value for metric in OtherCollector(os.getpid()).collect()}
    assert found["process_cpu_seconds"] > 0
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert found["process_start_time_seconds"] > 1e9
    assert list(OtherCollector(2**30).collect()) == []

import time
from math import inf
from types import SimpleNamespace

import pytest

from linkerd_tcp.balancers.endpoints import Endpoint, EndpointSet, State
from linkerd_tcp.balancers.failfast import FailFast
from linkerd_tcp.figures import BalancerFigures
from linkerd_tcp.naming.addr import Address


class Bench:
    """Three endpoints, a clock to be set by hand, three failures to eject and a penalty of 60 s."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sets = EndpointSet()
        self.addresses = [Address("10.0.0.1", port) for port in (1, 2, 3)]
        self.sets.update(self.addresses)
        self.a, self.b, self.c = self.sets
        self.figures = BalancerFigures()
        settings = SimpleNamespace(max_consecutive_failures=3, failure_penalty_secs=60)
        self.fail_fast = FailFast(settings, self.sets, self.figures, lambda: self.now, "/#/x/web")

    def eject(self, endpoint: Endpoint) -> None:
        for _ in range(3):
            self.fail_fast.failed(endpoint)

    def due(self) -> Endpoint | None:
        return self.fail_fast.due(self.now) if self.now >= self.fail_fast.next_probe_at else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_only_failures_in_a_row_eject(bench: Bench) -> None:
    for _ in range(2):
        bench.fail_fast.failed(bench.a)
    bench.fail_fast.succeeded(bench.a)
    for _ in range(2):
        bench.fail_fast.failed(bench.a)
    assert bench.a.state is State.AVAILABLE
    bench.fail_fast.failed(bench.a)
    assert (bench.a.state, bench.figures.ejections, bench.a.ejections) == (State.FAILED, 1, 1)
    assert bench.a.failed_since == pytest.approx(time.time(), abs=5)


def test_nobody_is_due_before_the_penalty_is_over(bench: Bench) -> None:
    assert bench.fail_fast.next_probe_at == inf
    bench.eject(bench.a)
    bench.now += 59.9
    assert bench.due() is None
    bench.now += 0.1
    assert bench.due() is bench.a


def test_one_connection_alone_tries_a_failed_endpoint(bench: Bench) -> None:
    bench.eject(bench.a)
    bench.now += 60
    assert [bench.due() for _ in range(3)] == [bench.a, None, None]
    bench.now += 600
    assert bench.due() is None, "it is still being tried"


def test_a_trial_that_fails_is_another_penalty_and_no_second_ejection(bench: Bench) -> None:
    bench.eject(bench.a)
    bench.now += 60
    bench.due()
    bench.now += 1
    bench.fail_fast.failed(bench.a)
    bench.now += 59
    assert bench.due() is None
    bench.now += 1
    assert bench.due() is bench.a
    assert bench.figures.ejections == 1


def test_a_trial_that_connects_revives(bench: Bench) -> None:
    bench.eject(bench.a)
    bench.now += 60
    bench.due()
    bench.fail_fast.succeeded(bench.a)
    assert (bench.a.state, bench.a.consecutive_failures, bench.a.failed_since) == (State.AVAILABLE, 0, None)
    assert (bench.figures.revivals, bench.a.probing) == (1, False)
    bench.now += 600
    assert bench.due() is None


def test_a_trial_without_an_answer_is_left_to_the_next_connection(bench: Bench) -> None:
    bench.eject(bench.a)
    bench.eject(bench.b)
    bench.now += 60
    assert bench.due() is bench.a
    bench.fail_fast.undecided(bench.a)
    assert [bench.due(), bench.due(), bench.due()] == [bench.a, bench.b, None]


def test_those_whose_penalty_ends_first_are_tried_first(bench: Bench) -> None:
    bench.eject(bench.b)
    bench.now += 1
    bench.eject(bench.a)
    bench.now += 1
    bench.fail_fast.failed(bench.b)  # Renewed: now it is the last.
    bench.now += 100
    assert [bench.due(), bench.due(), bench.due()] == [bench.a, bench.b, None]


def test_removed_while_in_its_penalty_is_never_due(bench: Bench) -> None:
    bench.eject(bench.a)
    bench.sets.update(bench.addresses[1:])
    bench.now += 600
    assert bench.due() is None


def test_a_drained_or_weightless_endpoint_is_not_tried_and_does_not_hide_others(bench: Bench) -> None:
    for endpoint in (bench.a, bench.b, bench.c):
        bench.eject(endpoint)
    bench.sets.drain("10.0.0.1:1")
    bench.b.weight = 0.0
    bench.now += 60
    assert [bench.due(), bench.due()] == [bench.c, None]
    assert bench.fail_fast.next_probe_at > bench.now, "the next connection need not look again"


def test_undrained_is_tried_at_once(bench: Bench) -> None:
    bench.eject(bench.a)
    bench.sets.drain("10.0.0.1:1")
    bench.now += 60
    assert bench.due() is None
    bench.sets.undrain("10.0.0.1:1")
    bench.fail_fast.pardon(bench.a)
    assert bench.due() is bench.a


def test_what_is_said_of_an_endpoint_that_is_gone_changes_nothing(bench: Bench) -> None:
    bench.sets.update(bench.addresses[1:])
    for said in (bench.fail_fast.undecided, bench.fail_fast.pardon, bench.fail_fast.succeeded):
        said(bench.a)
    bench.eject(bench.a)
    assert bench.a.state is State.GONE
    assert (bench.figures.ejections, bench.figures.revivals) == (0, 0)


def test_the_log_says_who_is_taken_out_and_who_is_back_and_not_of_each_of_many(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench.a.last_error = "10.0.0.1:1: connection refused"
    for endpoint in (bench.a, bench.b, bench.c):
        bench.eject(endpoint)
    for endpoint in (bench.a, bench.b):
        bench.fail_fast.succeeded(endpoint)
    assert [record.getMessage() for record in caplog.records] == [
        "/#/x/web: taken out after 3 failures in a row: 10.0.0.1:1: connection refused",
        "/#/x/web: back: 10.0.0.1:1",
    ]

"""What the last minutes were like is what happened in them, and what is not known is a gap."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.errors import Cause
from linkerd_tcp.figures import count
from linkerd_tcp.history import FORGOTTEN_STEPS, LATENCY_STEPS, MOST_DESTINATIONS, STEP_SECS, STEPS, History
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from tests.rig import BOUND, WEB, Endpoint, Rig, addresses, leaf
from tests.sockets import eventually

KEY = f"test {BOUND}"


class Clocks:
    """Time as a test says; `wall` may be set, `clock` only goes on."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.clock = 500.0

    def wait(self, secs: float) -> None:
        self.wall += secs
        self.clock += secs


class Watched:
    """A rig whose history is sampled by hand. Its address refuses: nothing listens there."""

    def __init__(self, rig: Rig) -> None:
        self.clocks = Clocks()
        self.history = History(lambda: self.clocks.clock, lambda: self.clocks.wall)
        self.rig = rig
        self.book = rig.book

    @property
    def routers(self) -> dict[str, Any]:
        return {"test": self.rig.router}

    @property
    def servers(self) -> list[Any]:
        return [self.rig.server]

    def sample(self, secs: float = STEP_SECS) -> None:
        self.clocks.wait(secs)
        self.history.sample(self)

    @property
    def total(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.history.shape()["total"]
        return shown

    @property
    def destinations(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.history.shape()["destinations"]
        return shown

    def balancer(self) -> Balancer:
        self.rig.router._find_or_bind(WEB)
        (balancer,) = self.rig.router.balancers()
        return balancer


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def watched(endpoint: Endpoint) -> Iterator[Watched]:
    rig = Rig(addresses(endpoint.port))
    yield Watched(rig)
    rig.close()


def test_rates_are_what_was_counted_by_the_time_that_really_passed(watched: Watched) -> None:
    watched.sample()
    figures = watched.rig.server.figures
    figures.accepts += 60
    figures.closes += 20
    figures.failures[Cause.REFUSED] = 6
    figures.rx_bytes, figures.tx_bytes = 600, 1200
    watched.sample(6)
    shown = watched.total
    assert (shown["open"], shown["accepts"], shown["failures"]) == ([40], [10], [1])
    assert (shown["rx"], shown["tx"]) == ([100], [200])
    figures.closes += 40


def test_the_first_sample_is_no_peak_of_all_that_was_counted_before(watched: Watched) -> None:
    watched.rig.server.figures.rx_bytes = 10**9
    watched.sample()
    assert watched.total["rx"] == []
    watched.sample()
    assert watched.total["rx"] == [0]


def test_a_point_is_made_when_its_step_of_the_wall_clock_is_over_and_not_before(watched: Watched) -> None:
    watched.clocks.wall = 1_000 * STEP_SECS + 2
    for points in [*[0] * (STEP_SECS - 2), *[1] * STEP_SECS, *[2] * STEP_SECS]:
        assert len(watched.total["open"]) == points
        assert watched.history.shape()["until"] in (0, 1_000 + points)
        watched.sample(1)


def test_bytes_count_while_they_flow_and_not_again_when_the_connection_ends(watched: Watched) -> None:
    watched.sample()
    with watched.rig.connect() as client:
        client.sendall(bytes(5_000))
        got = 0
        while got < 5_000:
            got += len(client.recv(65536))
        watched.sample()
        assert (watched.total["rx"], watched.total["tx"], watched.total["open"]) == ([1_000], [1_000], [1])
    watched.rig.ended()
    watched.sample()
    assert (watched.total["rx"], watched.total["open"]) == ([1_000, 0], [1, 0])


def test_a_destination_has_its_connections_failures_and_how_long_connecting_took(watched: Watched) -> None:
    watched.sample()
    with watched.rig.connect():
        eventually(lambda: watched.rig.server.figures.connect_latency.count)
        count(watched.balancer().figures.connect_failures, Cause.REFUSED)
        watched.sample()
        shown = watched.destinations[KEY]
        assert (shown["open"], shown["accepts"], shown["failures"]) == ([1], [0.2], [0.2])
        assert (shown["rx"], shown["tx"]) == ([], [])
        assert sum(shown["latency"]) == sum(watched.total["latency"]) == 1


def test_latency_is_that_of_the_last_minute(watched: Watched) -> None:
    watched.sample()
    watched.balancer().figures.connect_latency.observe(0.02)
    for _ in range(LATENCY_STEPS):
        watched.sample()
        assert sum(watched.destinations[KEY]["latency"]) == 1
    watched.sample()
    assert sum(watched.destinations[KEY]["latency"]) == 0


def test_a_process_that_was_stopped_leaves_a_gap(watched: Watched) -> None:
    watched.sample()
    watched.sample()
    watched.rig.server.figures.rx_bytes = 4_000
    watched.sample(4 * STEP_SECS)
    assert watched.total["rx"] == [0, None, None, None, 200]


@pytest.mark.parametrize("set_by", [-3_600.0, 3_600.0])
def test_a_clock_that_was_set_begins_anew(watched: Watched, set_by: float) -> None:
    watched.sample()
    watched.sample()
    watched.clocks.wall += set_by
    watched.rig.server.figures.rx_bytes = 4_000
    watched.sample()
    assert watched.total["rx"] == []
    watched.sample()
    assert watched.total["rx"] == [0]


def test_a_counter_that_has_lost_a_part_is_a_gap_and_no_negative_rate(watched: Watched) -> None:
    watched.rig.server.figures.rx_bytes = 5_000
    watched.sample()
    watched.sample()
    watched.rig.server.figures.rx_bytes = 0
    watched.sample()
    watched.sample()
    assert watched.total["rx"] == [0, None, 0]


def test_no_more_is_kept_than_six_minutes(watched: Watched) -> None:
    for _ in range(STEPS + 10):
        watched.sample()
    assert len(watched.total["open"]) == STEPS
    assert STEPS * STEP_SECS == 360


def test_a_destination_that_went_and_came_back_has_a_gap_and_one_that_stays_away_is_forgotten(
    watched: Watched,
) -> None:
    watched.balancer()
    watched.sample()
    watched.sample()
    watched.rig.interpreter.set(WEB, leaf(Var(Bound(())), Path.read("/#/test/other")))
    watched.sample()
    assert set(watched.destinations) == {KEY, "test /#/test/other"}
    watched.rig.interpreter.set(WEB, leaf(watched.rig.addr))
    watched.sample()
    assert watched.destinations[KEY]["open"] == [0, None, 0]
    for _ in range(FORGOTTEN_STEPS):
        watched.sample()
    assert set(watched.destinations) == {KEY}


@pytest.fixture
def many(watched: Watched) -> Callable[[int, int], None]:
    """Destinations named by these numbers."""

    def bind(first: int, last: int) -> None:
        for number in range(first, last):
            addr = Var(Bound((Address("10.0.0.1", 80),)))
            name = Path(("#", "test", f"n{number:05}"))
            watched.rig.interpreter.set(Path(("svc", f"n{number}")), leaf(addr, name))
            watched.rig.router._find_or_bind(Path(("svc", f"n{number}")))

    return bind


def test_many_destinations_are_kept_to_the_first_by_name(watched: Watched, many: Callable[[int, int], None]) -> None:
    watched.sample()
    many(100, 100 + 2 * MOST_DESTINATIONS)
    watched.sample()
    assert len(watched.destinations) == MOST_DESTINATIONS
    many(0, 50)
    watched.sample()
    assert list(watched.destinations) != []
    assert set(watched.destinations) == {f"test /#/test/n{n:05}" for n in [*range(50), *range(100, 250)]}


def test_what_is_kept_is_bounded_and_small(watched: Watched, many: Callable[[int, int], None]) -> None:
    many(0, MOST_DESTINATIONS)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(2 * STEPS):
            watched.sample()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_500_000


def test_the_shape_is_made_once_for_all_who_look(watched: Watched) -> None:
    watched.sample()
    watched.sample()
    shape = watched.history.shape()
    watched.sample(0.0)
    assert watched.history.shape() is shape
    watched.sample()
    assert watched.history.shape() is not shape

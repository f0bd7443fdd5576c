"""Rates are of the last few seconds and of the same thing; what is not known is not zero."""

import pytest

from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.dashboard.rates import (
    KEPT_SECS,
    MOST_KEPT,
    WINDOW_SECS,
    PerSecond,
    Rates,
    at_most,
    bound_of,
    destination_key,
    endpoint_key,
    server_key,
    spread,
)
from tests.dashboard.frames import WEB, destination, endpoint, frame, router, server

SERVER = server_key("default", "127.0.0.1:7474")
ENDPOINT = endpoint_key("default", WEB, "10.0.0.1:8080")


def counted(number: int) -> Frame:
    """Ten connections, 1 000 bytes in and 2 000 out, a refusal and two time-outs for each of `number`."""
    one = endpoint(connects=10 * number, failures=3 * number, rxBytes=1_000 * number, txBytes=2_000 * number)
    causes = {"refused": number, "timeout": 2 * number}
    return frame(
        router(
            destination(one, failures=causes, rxBytes=1_000 * number, txBytes=2_000 * number),
            servers=[server(accepts=10 * number, failures=causes, rxBytes=1_000 * number, txBytes=2_000 * number)],
        )
    )


def test_they_are_what_two_frames_differ_by() -> None:
    rates = Rates()
    rates.add(counted(1), 100.0)
    rates.add(counted(3), 102.0)
    expected = PerSecond(10.0, 3.0, 1_000.0, 2_000.0, {"refused": 2, "timeout": 4})
    assert rates.secs == 2.0
    assert rates.of(SERVER) == rates.of(destination_key("default", WEB)) == expected
    assert rates.of(ENDPOINT) == expected._replace(causes={})


def test_one_frame_says_nothing() -> None:
    rates = Rates()
    assert rates.of(SERVER) is None
    rates.add(counted(1), 100.0)
    assert rates.of(SERVER) is None
    rates.add(counted(1), 100.01)
    assert rates.of(SERVER) is None


def test_they_are_of_the_last_few_seconds() -> None:
    rates = Rates()
    for second in range(60):
        rates.add(counted(0 if second < 50 else second - 49), 100.0 + second)
        assert rates.secs <= WINDOW_SECS + 1
    of_server = rates.of(SERVER)
    assert of_server is not None
    assert of_server.new == 10.0


def test_what_was_looked_at_long_ago_does_not_count() -> None:
    rates = Rates()
    rates.add(counted(1), 100.0)
    rates.add(counted(3_600), 100.0 + KEPT_SECS + 1)
    assert rates.of(SERVER) is None


def test_what_is_kept_is_bounded_however_often_one_asks() -> None:
    rates = Rates()
    for number in range(1_000):
        rates.add(counted(number), 100.0 + number / 1_000)
    assert len(rates._kept) <= MOST_KEPT


def test_counters_that_began_anew_and_newcomers_are_unknown() -> None:
    rates = Rates()
    rates.add(counted(5), 100.0)
    rates.add(counted(1), 101.0)
    assert rates.of(SERVER) is None
    assert rates.of(endpoint_key("default", WEB, "10.0.0.9:8080")) is None


@pytest.mark.parametrize(
    ("counts", "p50", "p99", "text"),
    [
        ([0] * 17, None, None, "—"),
        ([99, 0, 1] + [0] * 14, 0.0005, 0.0005, "≤ 0.5 ms, ≤ 0.5 ms"),
        ([98, 0, 2] + [0] * 14, 0.0005, 0.0025, "≤ 0.5 ms, ≤ 2.5 ms"),
        ([0] * 10 + [1] + [0] * 6, 1.0, 1.0, "≤ 1 s, ≤ 1 s"),
        ([1] + [0] * 15 + [1], 0.0005, float("inf"), "≤ 0.5 ms, > 60 s"),
        ([0] * 16 + [1], float("inf"), float("inf"), "> 60 s"),
    ],
)
def test_percentiles_are_bounds(counts: list[int], p50: float | None, p99: float | None, text: str) -> None:
    assert (bound_of(counts, 0.5), bound_of(counts, 0.99)) == (p50, p99)
    cell = spread(counts)
    assert (cell if isinstance(cell, str) else cell["text"]) == text


def test_a_percentile_has_its_bound_as_exact_value() -> None:
    assert at_most([0, 0, 1] + [0] * 14, 0.5) == {"text": "≤ 2.5 ms", "value": 0.0025}


def test_a_series_that_is_empty_has_no_percentile() -> None:
    assert spread([]) == "—"

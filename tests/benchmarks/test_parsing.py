"""What wrk and h2load really printed, and what is made of it."""

from pathlib import Path

import pytest

from benchmarks import parsing

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def test_wrk_is_read_with_its_percentiles_in_milliseconds() -> None:
    figures = parsing.wrk(recorded("wrk.txt"))
    assert figures == {
        "requests": 80918,
        "per_second": pytest.approx(73_562, abs=1),
        "failed": 0,
        "p50_ms": pytest.approx(0.098),
        "p90_ms": pytest.approx(0.115),
        "p99_ms": pytest.approx(1.19),
    }


def test_resets_and_bad_answers_are_failed_requests() -> None:
    assert parsing.wrk(recorded("wrk-errors.txt"))["failed"] == 559 + 1118


def test_who_refuses_every_connection_is_no_measurement() -> None:
    with pytest.raises(parsing.ParseError, match="Connection refused"):
        parsing.wrk(recorded("wrk-nothing.txt"))


def test_h2load_is_read_with_percentiles_of_its_log() -> None:
    log = recorded("h2load.log").splitlines()
    figures = parsing.h2load(recorded("h2load.txt"), log, 1)
    ranked = sorted(int(line.split("\t")[2]) for line in log)
    assert (figures["requests"], figures["failed"], figures["lasted_secs"], figures["per_second"]) == (100, 0, 2.0, 100)
    assert (figures["p50_ms"], figures["p99_ms"], figures["p999_ms"]) == (
        ranked[49] / 1000,
        ranked[98] / 1000,
        ranked[99] / 1000,
    )


def test_answers_of_h2load_that_are_errors_are_failed_requests() -> None:
    figures = parsing.h2load(recorded("h2load-errors.txt"), ["1795267434719416\t200\t279"], 1)
    assert (figures["requests"], figures["failed"]) == (4, 4)


def test_h2load_without_an_answer_is_no_measurement() -> None:
    with pytest.raises(parsing.ParseError, match="printed nothing"):
        parsing.h2load("", [], 1)
    with pytest.raises(parsing.ParseError, match="no latencies"):
        parsing.h2load(recorded("h2load.txt"), [], 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], (7.0, 7.0, 7.0)),
        ([2.0, 1.0], (1.0, 2.0, 2.0)),
        ([float(number) for number in range(1, 1001)], (500.0, 990.0, 999.0)),
        ([float(number) for number in range(1, 1002)], (501.0, 991.0, 1000.0)),
    ],
    ids=["one", "two", "a thousand", "one more"],
)
def test_a_percentile_is_the_value_that_so_many_are_not_above(
    values: list[float], expected: tuple[float, float, float]
) -> None:
    assert tuple(parsing.percentiles(values).values()) == expected


def test_metrics_are_summed_over_labels_and_buckets_are_left_out() -> None:
    text = """\
# HELP l5d_srv_active Open now.
l5d_srv_active{rt="a",srv="127.0.0.1:1"} 2.0
l5d_srv_active{rt="b {}",srv="127.0.0.1:2"} 3.0
l5d_seconds_bucket{le="0.5"} 9.0
process_open_fds 10
"""
    assert parsing.metrics(text) == {"l5d_srv_active": 5.0, "process_open_fds": 10.0}

"""From rounds to verdicts."""

import random
from typing import Any

import pytest

from benchmarks.judge import Judged, Spread, Verdict, growth, judge, judge_row, ratios, slope
from benchmarks.model import Better, Row, Run

CPU = Row("load", "cpu", "cpu_us", "us", "ours", "haproxy", first=1.15, goal=0.95)


def runs(contestant: str, *values: float, figure: str = "cpu_us") -> list[Run]:
    return [Run("load", contestant, at, 0, 0.0, 1.0, {figure: value}) for at, value in enumerate(values)]


def judged(ours: list[float], theirs: list[float], **row: Any) -> Judged:
    changed = Row(**{**CPU.__dict__, **row})
    return judge_row(changed, runs("ours", *ours) + runs("haproxy", *theirs))


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(9.0, Verdict.GOAL), (9.54, Verdict.GOAL), (9.56, Verdict.FIRST), (11.54, Verdict.FIRST), (11.6, Verdict.MISSES)],
)
def test_a_row_reaches_what_its_ratio_as_shown_reaches(ours: float, verdict: Verdict) -> None:
    assert judged([ours], [10.0]).verdict is verdict


@pytest.mark.parametrize(
    ("ours", "verdict"), [(25.0, Verdict.GOAL), (17.0, Verdict.FIRST), (16.9, Verdict.MISSES)], ids=str
)
def test_where_more_is_better_targets_are_the_least(ours: float, verdict: Verdict) -> None:
    assert judged([ours], [10.0], better=Better.MORE, first=1.7, goal=2.2).verdict is verdict


def test_a_ratio_is_of_two_measurements_of_one_round() -> None:
    """The machine became twice as slow for both: the medians of the absolute values would say otherwise."""
    row = judged([10, 10, 20, 20, 20], [10, 10, 10, 20, 20])
    assert row.ratio == Spread(median=1.0, low=1.0, high=2.0, lower_quartile=1.0, upper_quartile=1.0)


def test_one_bad_round_is_shown_and_decides_nothing() -> None:
    row = judged([9, 9, 90, 9, 9, 9, 9], [10] * 7)
    assert row.verdict is Verdict.GOAL
    assert row.ratio is not None
    assert (row.ratio.high, row.rounds) == (9.0, 7)


def test_a_round_that_lacks_one_of_the_two_has_no_ratio() -> None:
    assert ratios({0: 1.0, 1: 4.0, 3: 5.0}, {1: 2.0, 2: 9.0, 3: 0.0}) == [2.0]


def test_a_row_without_first_target_reaches_its_goal_or_not() -> None:
    assert [judged([value], [10.0], first=None).verdict for value in (9.0, 9.9)] == [Verdict.GOAL, Verdict.BELOW_GOAL]


def test_a_row_without_targets_is_shown_and_may_lose_all_the_same() -> None:
    row = judged([11.0], [10.0], first=None, goal=None)
    assert (row.verdict, row.loses) == (Verdict.SHOWN, True)
    assert not judged([10.0], [10.0], first=None, goal=None).loses


def test_an_absolute_target_is_held_against_the_median_and_haproxys_is_beside_it() -> None:
    row = judged([0.3, 0.5, 0.39], [0.03, 0.03, 0.03], by="value", first=1.0, goal=0.4)
    assert (row.verdict, row.loses) == (Verdict.GOAL, True)
    assert row.theirs is not None
    assert row.theirs.median == 0.03


def test_one_failed_request_in_any_round_misses_a_target_of_none() -> None:
    assert judged([0, 0, 0], [0, 0, 0], by="sum", first=0, goal=0).verdict is Verdict.GOAL
    assert judged([0, 1, 0], [0, 0, 0], by="sum", first=0, goal=0).verdict is Verdict.MISSES


def test_a_contestant_that_could_not_start_is_a_row_with_its_reason() -> None:
    failed = Run("load", "ours", 0, 0, 0.0, 1.0, error="workers are not built yet")
    row = judge_row(CPU, [failed, *runs("haproxy", 10.0)])
    assert (row.verdict, row.reason) == (Verdict.ABSENT, "ours: workers are not built yet")
    assert judge_row(CPU, []).reason == "ours: not measured; haproxy: not measured"


def test_figures_of_another_workload_do_not_count() -> None:
    other = [Run("other", name, 0, 0, 0.0, 1.0, {"cpu_us": 1.0}) for name in ("ours", "haproxy")]
    assert judge_row(CPU, other).verdict is Verdict.ABSENT


def test_what_is_lost_comes_first_and_what_is_missing_last() -> None:
    values = {"even": 10.0, "absent": None, "behind": 11.0, "missed": 20.0, "ahead": 9.0, "missed too": 30.0}
    rows = [Row(name, name, "cpu_us", "us", "ours", "haproxy", first=1.15, goal=0.95) for name in values]
    measured = [
        Run(name, contestant, 0, 0, 0.0, 1.0, {"cpu_us": value})
        for name, ours in values.items()
        if ours
        for contestant, value in (("ours", ours), ("haproxy", 10.0))
    ]
    assert [each.row.title for each in judge(rows, measured)] == [
        "missed",
        "missed too",
        "behind",
        "even",
        "ahead",
        "absent",
    ]


def test_haproxys_own_ratio_is_shown_beside_one_of_ours_against_itself() -> None:
    row = Row("load", "many", "cpu_us", "us", "ours", "few", beside=("many", "haproxy"))
    measured = runs("ours", 12.0) + runs("few", 10.0) + runs("many", 15.0) + runs("haproxy", 10.0)
    beside = judge_row(row, measured).beside
    assert beside is not None
    assert beside.median == 1.5


# What must not grow

FLAT = Row("load", "memory", "rss_mib", "MiB", "ours", "haproxy", by="flat")


def series(contestant: str, values: list[float]) -> Run:
    at = [float(second) for second in range(len(values))]
    return Run("load", contestant, 0, 0, 0.0, 1.0, {}, {"at": at, "rss_mib": values})


def noisy(count: int, per_second: float) -> list[float]:
    """60 MiB with noise, growing; a peak now and then."""
    rng = random.Random(5)
    return [60 + at * per_second + rng.uniform(-0.3, 0.3) + (20 if at % 37 == 5 else 0) for at in range(count)]


def test_a_line_with_noise_and_peaks_is_flat() -> None:
    row = judge_row(FLAT, [series("ours", noisy(300, 0.0)), series("haproxy", [15.0] * 300)])
    assert row.verdict is Verdict.GOAL
    assert "HAProxy +0.00" in row.reason


def test_a_leak_of_a_mebibyte_in_a_minute_is_none() -> None:
    assert judge_row(FLAT, [series("ours", noisy(300, 1 / 60))]).verdict is Verdict.MISSES


def test_the_warm_up_may_grow() -> None:
    warming = [40 + min(at, 50) / 2 for at in range(300)]
    assert judge_row(FLAT, [series("ours", warming)]).verdict is Verdict.GOAL


def test_what_shrinks_is_flat() -> None:
    assert growth([0.0, 1.0, 2.0, 3.0], [9.0, 6.0, 3.0, 0.0]) == (-9.0, True)


def test_a_slope_is_that_of_the_line() -> None:
    at = [float(second) for second in range(10)]
    assert slope(at, [3 * second + 1 for second in at]) == pytest.approx(3)


def test_a_series_that_is_missing_is_said() -> None:
    assert judge_row(FLAT, []).reason == "ours: not measured"

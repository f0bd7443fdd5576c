"""From rounds to rows to verdicts. Pure.

A ratio is made of two measurements of one round, which were close in time, so what disturbed the machine for longer
than that disturbed both. A row's verdict is that of the median of its rounds' ratios: outliers stay, are seen in the
spread, and move a median little. What is compared with a target is the number as shown, rounded to two decimals.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks.model import Better, Row, Run

WARM_UP_SHARE: Final = 0.2
"""Of a series over time, so much of the beginning is not judged."""
FLAT_SHARE: Final = 0.02
"""What grows by less than this share of its level, over all that is judged, is flat ..."""
FLAT_LEAST: Final = {"rss_mib": 1.0, "descriptors": 8.0, "threads": 1.0, "open": 8.0}
"""... or by less than this many of its unit: a sample finds a few connections more or fewer."""


class Verdict(StrEnum):
    MISSES = "misses first"
    FIRST = "first"
    BELOW_GOAL = "misses goal"
    """Where there is no first target."""
    GOAL = "goal"
    SHOWN = "shown"
    """There is no target."""
    ABSENT = "not available"


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float
    lower_quartile: float
    upper_quartile: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        ranked = sorted(values)
        lower, median, upper = statistics.quantiles(ranked, n=4, method="inclusive") if len(ranked) > 1 else ranked * 3
        return Spread(median, ranked[0], ranked[-1], lower, upper)


@dataclass(frozen=True)
class Judged:
    """A row with what came of it. `ratio` is None of series, and where theirs is 0 or there is none."""

    row: Row
    verdict: Verdict
    ratio: Spread | None = None
    ours: Spread | None = None
    theirs: Spread | None = None
    beside: Spread | None = None
    rounds: int = 0
    reason: str = ""
    """Why it is not available; or how much a series grows."""

    @property
    def loses(self) -> bool:
        """Whether this proxy does worse than what it is beside, be the target met or not."""
        if self.verdict is Verdict.MISSES:
            return True
        if self.ratio is None:
            return False
        shown = round(self.ratio.median, 2)
        return shown > 1 if self.row.better is Better.LESS else shown < 1


def judge(rows: Iterable[Row], runs: Sequence[Run]) -> list[Judged]:
    """Every row, those first where this proxy loses: misses of a target, other losses, the rest, what is missing."""
    judged = [judge_row(row, runs) for row in rows]
    return sorted(judged, key=lambda each: _RANK[each.verdict] if not each.loses else _RANK[each.verdict] - 10)


_RANK: Final = {
    Verdict.MISSES: 0,
    Verdict.BELOW_GOAL: 1,
    Verdict.FIRST: 1,
    Verdict.GOAL: 1,
    Verdict.SHOWN: 1,
    Verdict.ABSENT: 2,
}


def judge_row(row: Row, runs: Sequence[Run]) -> Judged:
    if row.by == "flat":
        return _judge_series(row, runs)
    ours = by_round(runs, row.workload, row.ours, row.figure)
    theirs = by_round(runs, row.workload, row.theirs, row.figure) if row.theirs else {}
    missing = [name for name, found in ((row.ours, ours), (row.theirs, theirs)) if name and not found]
    if missing and (row.by == "ratio" or row.ours in missing):
        return Judged(row, Verdict.ABSENT, reason="; ".join(_why(row, name, runs) for name in missing))
    pairs = ratios(ours, theirs)
    if row.by == "ratio" and not pairs:
        return Judged(row, Verdict.ABSENT, reason="no round has both")
    values = list(ours.values())
    value = sum(values) if row.by == "sum" else statistics.median(pairs if row.by == "ratio" else values)
    return Judged(
        row,
        verdict_of(value, row),
        Spread.of(pairs) if pairs else None,
        Spread.of(values),
        Spread.of(list(theirs.values())) if theirs else None,
        _beside(row, runs),
        len(pairs) or len(values),
    )


def by_round(runs: Iterable[Run], workload: str, contestant: str, figure: str) -> dict[int, float]:
    """Round -> the figure, of the rounds that have it."""
    return {
        run.round: run.figures[figure]
        for run in runs
        if run.workload == workload and run.contestant == contestant and figure in run.figures
    }


def ratios(ours: dict[int, float], theirs: dict[int, float]) -> list[float]:
    """Ours / theirs of each round that has both, where theirs is not 0."""
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]


def verdict_of(value: float, row: Row) -> Verdict:
    """What the value, rounded as it is shown, reaches."""
    shown = round(value, 2)

    def meets(target: float | None) -> bool:
        if target is None:
            return False
        return shown <= target if row.better is Better.LESS else shown >= target

    if row.first is None and row.goal is None:
        return Verdict.SHOWN
    if meets(row.goal):
        return Verdict.GOAL
    if row.first is None:
        return Verdict.BELOW_GOAL
    return Verdict.FIRST if meets(row.first) else Verdict.MISSES


def _beside(row: Row, runs: Sequence[Run]) -> Spread | None:
    if row.beside is None:
        return None
    pairs = ratios(*(by_round(runs, row.workload, name, row.figure) for name in row.beside))
    return Spread.of(pairs) if pairs else None


def _why(row: Row, contestant: str, runs: Iterable[Run]) -> str:
    errors = [run.error for run in runs if (run.workload, run.contestant) == (row.workload, contestant) and run.error]
    return f"{contestant}: {errors[-1] if errors else 'not measured'}"


# What must not grow


def _judge_series(row: Row, runs: Sequence[Run]) -> Judged:
    mine = _series(row, row.ours, runs)
    other = _series(row, row.theirs, runs) if row.theirs else None
    if mine is None:
        return Judged(row, Verdict.ABSENT, reason=_why(row, row.ours, runs))
    at, values = mine
    grown, is_flat = growth(at, values, least=FLAT_LEAST.get(row.figure, 0.0))
    said = f"{grown:+.2f}{' ' * bool(row.unit)}{row.unit} in the {at[-1] - at[0]:.0f} s after warm-up"
    if other:
        said += f" (HAProxy {growth(*other)[0]:+.2f})"
    return Judged(
        row,
        Verdict.GOAL if is_flat else Verdict.MISSES,
        ours=Spread.of(values),
        theirs=Spread.of(other[1]) if other else None,
        rounds=1,
        reason=said,
    )


def _series(row: Row, contestant: str, runs: Iterable[Run]) -> tuple[list[float], list[float]] | None:
    """Times and values of the last run that has them, without the warm-up."""
    for run in reversed(list(runs)):
        if (run.workload, run.contestant) == (row.workload, contestant) and len(run.series.get(row.figure, ())) > 4:
            at, values = run.series["at"], run.series[row.figure]
            begin = int(len(at) * WARM_UP_SHARE)
            return at[begin:], values[begin:]
    return None


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Theil and Sen's: the median of the slopes between points half the series apart. Peaks do not tilt it."""
    half = len(at) // 2
    between = [
        (values[index + half] - values[index]) / (at[index + half] - at[index]) for index in range(len(at) - half)
    ]
    return statistics.median(between)


def growth(at: Sequence[float], values: Sequence[float], *, least: float = 0.0) -> tuple[float, bool]:
    """By how much it grows from the first point to the last, along its slope; and whether that counts as flat."""
    grown = slope(at, values) * (at[-1] - at[0])
    return grown, grown <= max(least, FLAT_SHARE * abs(statistics.median(values)))

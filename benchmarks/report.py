"""What came of it, told: the Markdown report, raw.json, and raw.json read again."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.judge import Judged, Spread, Verdict, judge
from benchmarks.model import Better, Options, Run
from benchmarks.workloads import Workload

FORMAT: Final = 1
HEAD: Final = ("row", "ours / theirs: median (least - most; quartiles)", "ours", "theirs", "first", "goal", "verdict")
UNITS: Final = {
    "per_second": "per s",
    "cpu_us": "cpu us each",
    "cpu_s_per_gib": "cpu s/GiB",
    "mb_per_second": "MB/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "failed": "failed",
    "kib_per_connection": "KiB each",
    "first_byte_secs": "s to first byte",
    "rss_mb": "resident MB",
    "pick_ns": "ns",
}
"""Figure -> its heading; others are in raw.json only."""


def judged_rows(workloads: Sequence[Workload], runs: Sequence[Run]) -> list[Judged]:
    """Every row of these workloads, those first where this proxy loses."""
    return judge((row for workload in workloads for row in workload.rows), runs)


def table(judged: Sequence[Judged]) -> str:
    """The rows in their order, and how many reach what."""
    counts = {verdict: sum(each.verdict is verdict for each in judged) for verdict in Verdict}
    said = "; ".join(f"{verdict}: {count}" for verdict, count in counts.items() if count)
    return f"{_markdown(HEAD, map(_cells, judged))}\n\nRows: {said}."


def report(
    about: dict[str, str],
    options: Options,
    workloads: Sequence[Workload],
    runs: Sequence[Run],
    plots: Sequence[tuple[str, str]],
) -> str:
    """All of it. `plots` are file names and what they show."""
    lines = ["# Benchmark", "", *(f"* {name}: {value}" for name, value in about.items())]
    lines += [f"* run with: {_in_words(options)}", "", HOW_TO_READ, "", table(judged_rows(workloads, runs)), ""]
    lines += [f"![{title}]({name})\n" for name, title in plots]
    lines += ["## Everyone who took part", "", "Medians over the rounds, with the least and the most.", ""]
    for workload in workloads:
        lines += [f"### {workload.name}", "", f"{workload.title}.", "", _everyone(workload, runs), ""]
    failed = [run for run in runs if run.error]
    if failed:
        lines += ["## What failed", ""]
        lines += [f"* {run.workload}, round {run.round + 1}, {run.contestant or 'all'}: {run.error}" for run in failed]
        lines += [""]
    return "\n".join(lines)


HOW_TO_READ: Final = """\
Everything ran on this one machine, over loopback, in turns: a ratio is of two measurements of one round, the row's is
the median of its rounds' ratios, the spread is `least - most; quartiles`. No outlier is left out. "first" is what must
be reached, "goal" what is aimed at. Rows where this proxy loses come first; "behind" is a row that reaches its target,
or has none, and does worse than what it is beside. cpu is user and system time of the proxy. docs/performance.md says
how it works and how to tune."""


def _cells(judged: Judged) -> tuple[str, ...]:
    row = judged.row
    if judged.verdict is Verdict.ABSENT:
        return (
            row.title,
            "",
            "",
            "",
            _target(judged, row.first),
            _target(judged, row.goal),
            f"not available: {judged.reason}",
        )
    ratio = "" if judged.ratio is None else _spread(judged.ratio)
    if row.by == "flat":
        ratio = judged.reason
    if judged.beside:
        ratio += f"; HAProxy's own {judged.beside.median:.2f}"
    verdict = f"**{judged.verdict}**" if judged.verdict in (Verdict.MISSES, Verdict.GOAL) else str(judged.verdict)
    if judged.loses and judged.verdict is not Verdict.MISSES:
        verdict += ", behind"
    flat = "flat" if row.by == "flat" else ""
    return (
        row.title,
        ratio,
        _amount(judged.ours, row.unit),
        _amount(judged.theirs, row.unit),
        flat or _target(judged, row.first),
        flat or _target(judged, row.goal),
        verdict,
    )


def _target(judged: Judged, target: float | None) -> str:
    if target is None:
        return ""
    sign = "" if target == 0 else ("≤ " if judged.row.better is Better.LESS else "≥ ")
    unit = f" {judged.row.unit}".rstrip() if judged.row.by == "value" else ""
    return f"{sign}{target:g}{unit}"


def _spread(spread: Spread) -> str:
    return (
        f"{spread.median:.2f} ({spread.low:.2f} - {spread.high:.2f}; "
        f"{spread.lower_quartile:.2f} - {spread.upper_quartile:.2f})"
    )


def _amount(spread: Spread | None, unit: str) -> str:
    return "" if spread is None else f"{number(spread.median)} {unit}".rstrip()


def number(value: float) -> str:
    """Three significant digits at least, none that says nothing."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def _everyone(workload: Workload, runs: Sequence[Run]) -> str:
    mine = [run for run in runs if run.workload == workload.name]
    figures = [name for name in UNITS if any(name in run.figures for run in mine)]
    rows = []
    for contestant in workload.contestants:
        cells = [contestant.name]
        for figure in figures:
            values = [
                run.figures[figure] for run in mine if run.contestant == contestant.name and figure in run.figures
            ]
            cells.append(_median_and_range(values))
        rows.append(tuple(cells))
    return _markdown(("", *(UNITS[name] for name in figures)), rows)


def _median_and_range(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = Spread.of(values)
    if spread.low == spread.high:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)} - {number(spread.high)})"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _in_words(options: Options) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(options).items())


# raw.json


def raw(about: dict[str, str], options: Options, names: Sequence[str], runs: Sequence[Run]) -> str:
    """Every run, one a line."""
    head = {"format": FORMAT, "about": about, "options": asdict(options), "workloads": list(names)}
    lines = ",\n".join(f"  {json.dumps(run.as_json())}" for run in runs)
    return json.dumps(head, indent=1)[:-2] + f',\n "runs": [\n{lines}\n ]\n}}\n'


def read_raw(path: Path) -> tuple[dict[str, str], Options, list[str], list[Run]]:
    """What `raw` wrote. ValueError, TypeError or KeyError if it did not."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if found.get("format") != FORMAT:
        raise ValueError(f"{path} is not a raw.json of this benchmark")
    return found["about"], Options(**found["options"]), found["workloads"], [Run(**run) for run in found["runs"]]

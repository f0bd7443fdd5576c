"""Plots of a run, as SVG that follows the reader's choice of light or dark.

Everybody has one colour everywhere. What is drawn is the median of the rounds, with a line from the least to the most.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.judge import WARM_UP_SHARE, Judged, Spread, Verdict
from benchmarks.model import Better, Contestant, Family, Run
from benchmarks.report import judged_rows, number
from benchmarks.workloads import Workload

COLOURS: Final = {
    Family.OURS: "#2f81f7",
    Family.HAPROXY: "#e5832b",
    Family.NGINX: "#3fa45b",
    Family.DIRECT: "#8b949e",
}
INK, PAPER, GRID = "#24292f", "#ffffff", "#d0d7de"
DARK: Final = {INK: "#e6edf3", PAPER: "#0d1117", GRID: "#3d444d"}
STYLE: Final[Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.hashsalt": "linkerd-tcp",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.edgecolor": GRID,
    "grid.color": GRID,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK),
}

Panel = tuple[str, str, str]
"""Workload, figure, title with its unit."""

BARS: Final[dict[str, tuple[str, int, list[Panel]]]] = {
    "cpu.svg": (
        "What one request costs the proxy: cpu, microseconds (less is better)",
        2,
        [
            ("keep-alive", "cpu_us", "request on a kept connection, us"),
            ("new-connection", "cpu_us", "new connection with a request, us"),
            ("tls-keep-alive", "cpu_us", "request on a kept TLS connection, us"),
            ("tls-handshake", "cpu_us", "TLS handshake with a request, us"),
        ],
    ),
    "rates.svg": (
        "How many a second, generator and backend on the same cores (more is better)",
        2,
        [
            ("keep-alive", "per_second", "requests/s on kept connections"),
            ("new-connection", "per_second", "new connections/s, one request each"),
        ],
    ),
    "bulk.svg": (
        "Bulk: speed (above; more is better) and what it costs (below; less is better)",
        3,
        [
            ("download", "mb_per_second", "download, MB/s"),
            ("upload", "mb_per_second", "upload, MB/s"),
            ("tls-download", "mb_per_second", "TLS download, MB/s"),
            ("download", "cpu_s_per_gib", "download, cpu s per GiB"),
            ("upload", "cpu_s_per_gib", "upload, cpu s per GiB"),
            ("tls-download", "cpu_s_per_gib", "TLS download, cpu s per GiB"),
        ],
    ),
    "latency.svg": (
        "Latency (less is better); -idle: thousands of silent connections are open through it, too",
        2,
        [
            ("fixed-rate", "p50_ms", "fixed rate, p50, ms"),
            ("fixed-rate", "p99_ms", "fixed rate, p99, ms"),
            ("fixed-rate", "p999_ms", "fixed rate, p99.9, ms"),
            ("fairness", "p99_ms", "new connections beside a firehose, p99, ms"),
        ],
    ),
    "size.svg": (
        "Memory and start (less is better)",
        3,
        [
            ("start", "rss_mb", "resident when idle, MB"),
            ("idle-memory", "kib_per_connection", "one more idle connection, KiB"),
            ("start", "first_byte_secs", "start to first byte, s"),
        ],
    ),
}


def draw(workloads: Sequence[Workload], runs: Sequence[Run], folder: Path) -> list[tuple[str, str]]:
    """File name and title of each plot written; what was not measured is left out."""
    drawn = []
    with mpl.rc_context(STYLE):
        title = "This proxy / HAProxy: each row's ratio, its spread and its targets"
        if _ratios(judged_rows(workloads, runs), title, folder / "ratios.svg"):
            drawn.append(("ratios.svg", title))
        for name, (title, columns, panels) in BARS.items():
            if _bars(workloads, runs, title, columns, panels, folder / name):
                drawn.append((name, title))
        title = "Churn: what is held while connections come and go"
        if _churn(runs, title, folder / "churn.svg"):
            drawn.append(("churn.svg", title))
    return drawn


def _ratios(judged: Sequence[Judged], title: str, path: Path) -> bool:
    shown = [each for each in judged if each.ratio and each.row.by == "ratio" and each.ratio.low > 0]
    words = {Better.LESS: "less is better: cpu, latency, memory", Better.MORE: "more is better: rates, bytes/s"}
    panels = [(said, [each for each in shown if each.row.better is better]) for better, said in words.items()]
    panels = [(said, group) for said, group in panels if group]
    if not panels:
        return False
    heights = [len(group) + 1.2 for _, group in panels]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(9.5, 0.3 * sum(heights) + 1.2),
        squeeze=False,
        sharex=True,
        height_ratios=heights,
        layout="constrained",
    )
    figure.suptitle(title, fontweight="bold")
    for axis, (said, group) in zip(axes[:, 0], panels, strict=True):
        _ratio_panel(axis, group, said)
    low, high = axes[0, 0].get_xlim()  # of both: they share it
    axes[0, 0].set_xticks([value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= value <= high])
    found: dict[str, Any] = {}
    for axis in axes[:, 0]:
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)
    return True


def _ratio_panel(axis: Any, group: Sequence[Judged], title: str) -> None:
    blue = COLOURS[Family.OURS]
    for at, each in enumerate(group):
        assert each.ratio is not None
        axis.plot([each.ratio.low, each.ratio.high], [at, at], color=blue, lw=1.5, label="least to most")
        misses = each.verdict is Verdict.MISSES
        face, said = (PAPER, "median, first target missed") if misses else (blue, "median")
        axis.plot([each.ratio.median], [at], "o", color=blue, mfc=face, mew=1.8, ms=7, ls="", label=said, zorder=3)
        for target, marker, name in ((each.row.first, "|", "first target"), (each.row.goal, "d", "goal")):
            if target:
                axis.plot(
                    [target],
                    [at],
                    marker,
                    color=INK,
                    ms=12 if marker == "|" else 5,
                    mew=2,
                    mfc="none",
                    ls="",
                    label=name,
                )
    axis.axvline(1, color=COLOURS[Family.HAPROXY], lw=1.5, zorder=0, label="level with HAProxy, or with what is named")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_yticks(range(len(group)), [each.row.title for each in group])
    axis.set_ylim(len(group) - 0.4, -0.6)
    axis.grid(axis="x", lw=0.5)
    axis.set_title(title)
    _bare(axis)


def _bars(
    workloads: Sequence[Workload], runs: Sequence[Run], title: str, columns: int, panels: Sequence[Panel], path: Path
) -> bool:
    by_name = {each.name: each for each in workloads}
    found = []
    for name, measured, words in panels:
        bars = _spreads(by_name[name].contestants, runs, name, measured) if name in by_name else []
        if bars:
            found.append((words, bars))
    if not found:
        return False
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    most = max(len(bars) for _, bars in found)
    size = (4.9 * columns if columns < 3 else 12.0, rows * (0.34 * most + 0.7) + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    figure.suptitle(title, fontweight="bold")
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    for axis, (words, bars) in zip(axes.flat, found, strict=False):
        _bar_panel(axis, words, bars)
    _save(figure, path)
    return True


def _spreads(
    contestants: Iterable[Contestant], runs: Sequence[Run], workload: str, figure: str
) -> list[tuple[Contestant, Spread]]:
    found = []
    for contestant in contestants:
        values = [
            run.figures[figure]
            for run in runs
            if (run.workload, run.contestant) == (workload, contestant.name) and figure in run.figures
        ]
        if values:
            found.append((contestant, Spread.of(values)))
    return found


def _bar_panel(axis: Any, title: str, bars: Sequence[tuple[Contestant, Spread]]) -> None:
    most = max(spread.high for _, spread in bars)
    for at, (contestant, spread) in enumerate(bars):
        axis.barh(at, spread.median, 0.66, color=COLOURS[contestant.family])
        axis.plot([spread.low, spread.high], [at, at], color=INK, lw=1.2, solid_capstyle="butt")
        axis.text(max(spread.high, spread.median) + most * 0.02, at, number(spread.median), va="center", fontsize=9)
    axis.set_yticks(range(len(bars)), [contestant.name for contestant, _ in bars])
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xlim(0, most * 1.2)
    axis.grid(axis="x", lw=0.5)
    axis.set_axisbelow(True)
    axis.locator_params(axis="x", nbins=5)
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}")
    )
    axis.set_title(title)
    _bare(axis)


def _churn(runs: Sequence[Run], title: str, path: Path) -> bool:
    found = {run.contestant: run for run in runs if run.workload == "churn" and len(run.series.get("at", ())) > 1}
    if not found:
        return False
    figure, axes = plt.subplots(2, 1, figsize=(9.5, 5), sharex=True, layout="constrained")
    figure.suptitle(title, fontweight="bold")
    for axis, (name, words) in zip(
        axes, (("rss_mib", "resident memory, MiB"), ("descriptors", "descriptors")), strict=True
    ):
        for contestant, run in found.items():
            family = Family.OURS if contestant == Family.OURS else Family.HAPROXY
            axis.plot(run.series["at"], run.series[name], color=COLOURS[family], lw=1.6, label=contestant)
        axis.axvspan(
            0, max(run.series["at"][-1] for run in found.values()) * WARM_UP_SHARE, color=GRID, alpha=0.35, lw=0
        )
        axis.set_ylim(bottom=0)
        axis.set_title(words)
        axis.grid(lw=0.5)
        _bare(axis)
    axes[1].set_xlabel("seconds (shaded: warm-up, not judged)")
    axes[0].legend(frameon=False, loc="center right")
    _save(figure, path)
    return True


def _bare(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(length=0)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    path.write_text(_follows_the_reader(path.read_text(encoding="utf-8")), encoding="utf-8")


def _follows_the_reader(svg: str) -> str:
    """The same with a style sheet that turns ink and paper around where the reader prefers dark."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    sheet = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    before, tag, after = svg.partition("<defs>")
    return f"{before}{sheet}{tag}{after}"

"""`python -m benchmarks`: run workloads, judge them, write the report, raw results and plots."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import machines, report
from benchmarks.model import Options, Run
from benchmarks.runner import expected_secs, run_all
from benchmarks.schedule import in_words
from benchmarks.workloads import Workload, by_options

HERE: Final = Path(__file__).resolve().parent
RESULTS: Final = HERE / "results"
PARTIAL: Final = RESULTS / "partial"
"""For whatever is not the full form: it does not overwrite the results of one."""
DESCRIPTION: Final = """\
This proxy beside HAProxy and nginx on this machine: cpu, rates, latency, memory, in interleaved rounds.
Results go to benchmarks/results/ (report.md, raw.json, *.svg); those of anything less than the full form to
benchmarks/results/partial/."""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    full = Options()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--list", action="store_true", help="say what the workloads are, and how long they take")
    add("--only", action="append", metavar="WORKLOAD", default=[], help="only this one; can be given several times")
    add("--quick", action="store_true", help="a smoke form of 2 to 3 minutes: see that it works, not how fast it is")
    add("--rounds", type=_positive, metavar="N", help=f"of each row (default {full.rounds})")
    add("--seconds", type=_positive, metavar="S", help=f"that a round lasts (default {full.seconds})")
    add("--churn-seconds", type=_positive, metavar="S", help=f"(default {full.churn_seconds}; 1800 is the long form)")
    add("--workers", type=_positive, metavar="N", help=f"where there are several (default {full.workers})")
    add("--json", type=Path, metavar="FILE", help="write the raw results here as well")
    add("--out", type=Path, metavar="FOLDER", help="where all results go")
    add("--again", type=Path, metavar="RAW_JSON", help="run nothing: judge and draw what an earlier run wrote")
    return parser.parse_args(given)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return number


def options_of(given: argparse.Namespace, limit: int) -> Options:
    """`limit` descriptors bound how many are idle: each takes two of a proxy."""
    options = Options()
    if given.quick:
        options = replace(options, rounds=1, seconds=1, bulk_mib=512, idle=1000, churn_seconds=10, small=200)
    for name in ("rounds", "seconds", "churn_seconds", "workers"):
        if (value := getattr(given, name)) is not None:
            options = replace(options, **{name: value})
    return replace(options, idle=max(100, min(options.idle, (limit - 2000) // 2)))


def chosen(names: list[str], options: Options) -> list[Workload]:
    """Those of these names, all if there are none. SystemExit of a name that is none."""
    workloads = by_options(options)
    known = [workload.name for workload in workloads]
    for name in names:
        if name not in known:
            sys.exit(f"there is no workload {name!r}; there are {', '.join(known)}")
    return [workload for workload in workloads if not names or workload.name in names]


def main(given: list[str] | None = None) -> int:
    asked = arguments(given)
    if asked.again:
        return _tell_again(asked.again, asked.out or asked.again.parent)
    limit = machines.raise_descriptor_limit()
    options = options_of(asked, limit)
    workloads = chosen(asked.only, options)
    total = sum(expected_secs(each, options) for each in workloads)
    if asked.list:
        for each in workloads:
            print(f"{each.name:16} {in_words(expected_secs(each, options)):14} {each.title}")
        print(f"{'all':16} {in_words(total)}")
        return 0
    try:
        machines.require_programs()
    except machines.Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    about = machines.surroundings()
    _say(f"{len(workloads)} workloads, {options.rounds} rounds; {in_words(total)}")
    runs: list[Run] = []
    status = _run(workloads, options, limit, runs)
    is_full = options == options_of(arguments([]), limit) and not asked.only and not status
    folder = asked.out or (RESULTS if is_full else PARTIAL)
    print(write(about, options, workloads, runs, folder))
    if asked.json:
        asked.json.write_text(report.raw(about, options, [each.name for each in workloads], runs), encoding="utf-8")
    return status


def _tell_again(raw: Path, folder: Path) -> int:
    about, options, names, runs = report.read_raw(raw)
    print(write(about, options, chosen(names, options), runs, folder))
    return 0


def _run(workloads: list[Workload], options: Options, limit: int, runs: list[Run]) -> int:
    """Exit status; `runs` has what was measured, also if that was interrupted."""
    try:
        run_all(workloads, options, limit, _say, runs)
    except KeyboardInterrupt:
        _say("interrupted; what there is follows")
        return 130
    return 0


def write(about: dict[str, str], options: Options, workloads: list[Workload], runs: list[Run], folder: Path) -> str:
    """report.md, raw.json and the plots in `folder`; gives the table."""
    from benchmarks import plots  # late: matplotlib takes a second, and --list needs none

    folder.mkdir(parents=True, exist_ok=True)
    drawn = plots.draw(workloads, runs, folder)
    names = [each.name for each in workloads]
    (folder / "raw.json").write_text(report.raw(about, options, names, runs), encoding="utf-8")
    text = report.report(about, options, workloads, runs, drawn)
    (folder / "report.md").write_text(text, encoding="utf-8")
    _say(f"written to {folder}")
    return report.table(report.judged_rows(workloads, runs))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

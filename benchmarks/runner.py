"""Through all workloads, round after round, telling where it is. What fails is noted, and the rest goes on."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from benchmarks.model import Contestant, Options, Run
from benchmarks.processes import Failed
from benchmarks.proxies import House, Target, house, started
from benchmarks.schedule import Progress, in_words, order
from benchmarks.workloads import Workload

START_SECS: Final = 1.0
IDLE_PER_SEC: Final = 2500
"""Idle connections opened in a second, about."""
FAILURES: Final = (Failed, OSError, subprocess.SubprocessError, psutil.Error, ValueError)
"""What may go wrong with one measurement. The others are worth no less for it."""

Say = Callable[[str], None]


def expected_secs(workload: Workload, options: Options) -> float:
    """How long all of it takes, about."""
    each = sum(_each_secs(workload, one, options) for one in workload.contestants)
    if workload.runs == "together":
        return each / len(workload.contestants) + START_SECS
    first = sum(_first_secs(workload, one, options) for one in workload.contestants)
    return first + each * options.rounds


def _each_secs(workload: Workload, contestant: Contestant, options: Options) -> float:
    return workload.secs(options) + (START_SECS if workload.runs == "fresh" else 0)


def _first_secs(workload: Workload, contestant: Contestant, options: Options) -> float:
    idle = options.idle / IDLE_PER_SEC if contestant.holds_idle else 0
    return START_SECS + idle + workload.secs(warm(options))


def warm(options: Options) -> Options:
    """What each does once before the rounds, not counted."""
    return replace(options, seconds=1, bulk_mib=512, small=100, idle=100)


def run_all(workloads: Sequence[Workload], options: Options, limit: int, say: Say, runs: list[Run]) -> None:
    """Every measurement of every workload goes to `runs` as soon as it is made, those that failed included.

    `limit` is how many descriptors a process may have.
    """
    with tempfile.TemporaryDirectory(prefix="linkerd-tcp-bench-") as folder, house(Path(folder), limit) as here:
        runner = _Runner(options, here, say, runs, sum(expected_secs(each, options) for each in workloads))
        for workload in workloads:
            runner.run(workload)


class _Runner:
    def __init__(self, options: Options, here: House, say: Say, runs: list[Run], secs: float) -> None:
        self._options = options
        self._house = here
        self._say = say
        self._runs = runs
        self._began = time.monotonic()
        self._progress = Progress(secs)

    def run(self, workload: Workload) -> None:
        self._say(f"{workload.name}: {workload.title}")
        contestants = list(workload.contestants)
        try:
            with ExitStack() as stack:
                targets = self._first(workload, stack)
                if workload.runs == "together":
                    self._together(workload, targets)
                    return
                for number in range(self._options.rounds):
                    for turn, contestant in enumerate(order(contestants, number)):
                        self._measure(workload, contestant, number, turn, targets)
        except FAILURES as failure:  # from what ends with the workload: idle connections that were closed
            self._note(workload, "", 0, 0, self._now(), {"error": _in_words(failure)})

    def _first(self, workload: Workload, stack: ExitStack) -> dict[str, Target]:
        """Name -> target, warmed up, of those who run through all rounds. Of one that cannot, a failed run is noted."""
        targets: dict[str, Target] = {}
        for contestant in workload.contestants:
            began = self._now()
            try:
                if workload.runs == "fresh":
                    with started(contestant, self._house, warm(self._options)) as target:
                        workload.measure(target, warm(self._options))
                elif workload.runs != "alone":
                    target = stack.enter_context(started(contestant, self._house, self._options))
                    if workload.runs == "kept":
                        workload.measure(target, warm(self._options))
                    targets[contestant.name] = target
            except FAILURES as failure:
                self._note(workload, contestant.name, 0, 0, began, {"error": _in_words(failure)})
            self._progress.did(_first_secs(workload, contestant, self._options), self._now() - began)
        return targets

    def _measure(
        self, workload: Workload, contestant: Contestant, number: int, turn: int, targets: dict[str, Target]
    ) -> None:
        began = self._now()
        try:
            with self._target(workload, contestant, targets) as target:
                if target is not None:
                    measured = workload.measure(target, self._options)
                    self._note(workload, contestant.name, number, turn, began, {"figures": measured.figures})
        except FAILURES as failure:
            self._note(workload, contestant.name, number, turn, began, {"error": _in_words(failure)})
        self._progress.did(_each_secs(workload, contestant, self._options), self._now() - began)

    @contextmanager
    def _target(
        self, workload: Workload, contestant: Contestant, targets: dict[str, Target]
    ) -> Iterator[Target | None]:
        """None for one that could not be started before, which has been noted."""
        if workload.runs == "fresh":
            with started(contestant, self._house, self._options) as target:
                yield target
        elif workload.runs == "alone":
            yield Target(contestant, 0, 0, 0, None, None)
        else:
            yield targets.get(contestant.name)

    def _together(self, workload: Workload, targets: dict[str, Target]) -> None:
        """All at once: they share the machine, and none is compared for speed."""

        def measure(turn: int, target: Target) -> None:
            name, began = target.contestant.name, self._now()
            try:
                measured = workload.measure(target, self._options)
            except FAILURES as failure:
                self._note(workload, name, 0, turn, began, {"error": _in_words(failure)})
            else:
                self._note(workload, name, 0, turn, began, {"figures": measured.figures, "series": measured.series})

        self._say(f"{', '.join(targets)} at once; {in_words(workload.secs(self._options))}")
        with ThreadPoolExecutor(max(1, len(targets))) as pool:
            list(pool.map(measure, range(len(targets)), targets.values()))
        self._progress.did(workload.secs(self._options), workload.secs(self._options))

    def _note(
        self, workload: Workload, contestant: str, number: int, turn: int, began: float, result: dict[str, object]
    ) -> None:
        run = Run(workload.name, contestant, number, turn, began, self._now() - began, **result)  # type: ignore[arg-type]
        self._runs.append(run)
        is_one = workload.runs == "together"
        where = workload.name if is_one else f"{workload.name}, round {number + 1} of {self._options.rounds}"
        came = run.error or ", ".join(f"{name} {value:,.4g}" for name, value in list(run.figures.items())[:6])
        left = in_words(self._progress.left_secs)
        self._say(f"[{self._progress.percent:2d} %, {left} left] {where}: {contestant or 'all'}: {came}")

    def _now(self) -> float:
        return time.monotonic() - self._began


def _in_words(failure: BaseException) -> str:
    said = str(failure).strip().splitlines()
    return said[-1][:300] if said and isinstance(failure, Failed) else f"{type(failure).__name__}: {failure}"[:300]

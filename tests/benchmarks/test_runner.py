"""Going through workloads: who goes when, what failures cost, what is told on the way."""

from pathlib import Path

import pytest

from benchmarks.__main__ import arguments, chosen, options_of
from benchmarks.model import Contestant, Family, Measured, Options, Run
from benchmarks.processes import Failed
from benchmarks.proxies import House, Target
from benchmarks.runner import _Runner, expected_secs
from benchmarks.workloads import Workload, by_options

OURS, THEIRS = Contestant("ours", Family.OURS), Contestant("theirs", Family.HAPROXY)
NOWHERE = House(Path("/nonexistent"), 1, 2, 1000)


class Rounds:
    """A workload in which nothing is started: `fails` says at which measurements, from 0, who fails."""

    def __init__(self, fails: dict[int, Exception] | None = None) -> None:
        self.fails = fails or {}
        self.who: list[str] = []
        self.runs: list[Run] = []
        self.said: list[str] = []

    def measure(self, target: Target, options: Options) -> Measured:
        self.who.append(target.contestant.name)
        if failure := self.fails.get(len(self.who) - 1):
            raise failure
        return Measured({"cpu_us": float(len(self.who))})

    def go(self, rounds: int) -> None:
        workload = Workload("load", "A load", (OURS, THEIRS), self.measure, lambda _: 1.0, (), runs="alone")
        _Runner(Options(rounds=rounds), NOWHERE, self.said.append, self.runs, 4.0).run(workload)


def test_who_goes_first_takes_turns() -> None:
    rounds = Rounds()
    rounds.go(4)
    assert rounds.who == ["ours", "theirs", "theirs", "ours", "theirs", "ours", "ours", "theirs"]
    assert [(run.contestant, run.round, run.turn) for run in rounds.runs[2:4]] == [("theirs", 1, 0), ("ours", 1, 1)]


@pytest.mark.parametrize(
    ("failure", "said"),
    [(Failed("two lines\nits last words"), "its last words"), (ConnectionResetError(104, "gone"), "[Errno 104] gone")],
    ids=["told", "of the system"],
)
def test_what_fails_is_noted_and_the_rest_goes_on(failure: Exception, said: str) -> None:
    rounds = Rounds({1: failure})
    rounds.go(2)
    assert [run.error is None for run in rounds.runs] == [True, False, True, True]
    assert said in str(rounds.runs[1].error)


def test_an_error_of_this_program_is_not_taken_for_a_result() -> None:
    with pytest.raises(ZeroDivisionError):
        Rounds({0: ZeroDivisionError()}).go(1)


def test_it_says_what_is_done_which_round_it_is_and_the_time_left() -> None:
    rounds = Rounds()
    rounds.go(2)
    assert rounds.said[0] == "load: A load"
    assert "load, round 1 of 2: ours: cpu_us 1" in rounds.said[1]
    assert "s left]" in rounds.said[1]


# The command line


def test_the_full_form_is_done_in_forty_five_minutes_and_the_quick_one_in_five() -> None:
    for words, minutes in (([], 45), (["--quick"], 5)):
        options = options_of(arguments(words), 20_000)
        assert sum(expected_secs(each, options) for each in by_options(options)) < minutes * 60


def test_the_full_form_has_seven_rounds_and_eight_thousand_idle_connections() -> None:
    options = options_of(arguments([]), 20_000)
    assert (options.rounds, options.idle, options.churn_seconds) == (7, 8000, 300)


def test_what_is_given_wins_over_the_quick_form() -> None:
    options = options_of(arguments(["--quick", "--rounds", "3", "--churn-seconds", "1800"]), 20_000)
    assert (options.rounds, options.seconds, options.churn_seconds) == (3, 1, 1800)


def test_a_low_limit_on_descriptors_means_fewer_idle_connections() -> None:
    assert [options_of(arguments([]), limit).idle for limit in (1 << 20, 4096, 1024)] == [8000, 1048, 100]


def test_workloads_are_chosen_by_name() -> None:
    assert [each.name for each in chosen(["churn", "keep-alive"], Options())] == ["keep-alive", "churn"]
    assert len(chosen([], Options())) == len(by_options(Options()))
    with pytest.raises(SystemExit, match="no workload 'kep-alive'; there are keep-alive, "):
        chosen(["kep-alive"], Options())


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--seconds", "-1"], ["--workers", "x"]])
def test_a_count_is_at_least_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        arguments(words)
    assert words[0] in capsys.readouterr().err

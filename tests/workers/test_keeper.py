"""Places are filled again, whoever is in them; and what holds for one holds for those that come later."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from linkerd_tcp.errors import StartError
from linkerd_tcp.workers import keeper as keeper_module
from linkerd_tcp.workers import spread as spread_module
from linkerd_tcp.workers.keeper import Question
from linkerd_tcp.workers.spread import Spread
from tests.leaks import no_leaks
from tests.workers.fakes import Fakes, fakes

assert no_leaks


@pytest.fixture
def made(no_leaks: None) -> Iterator[Fakes]:
    with fakes() as each:
        yield each


def test_one_that_ends_is_replaced_and_said(made: Fakes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "linkerd_tcp"):
        made.workers[0].die(9)
        made.until(lambda: len(made.made) == 4)
        made.admin.die(3 << 8)
        made.until(lambda: len(made.made) == 5)
    assert "worker 0 (pid 100) was killed by SIGKILL: replaced by pid 103" in caplog.text
    assert "the admin process (pid 102) ended with status 3: replaced by pid 104" in caplog.text
    made.start(*made.made[3:])
    assert [made.keeper.places[place].restarts for place in (0, 1, -1)] == [1, 0, 1]
    made.until(lambda: made.made[3].heard == ["begin"])


def test_why_one_could_not_start_is_said_and_it_is_tried_again_later(
    made: Fakes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "linkerd_tcp"):
        made.workers[0].die(9)
        made.until(lambda: len(made.made) == 4)
        made.made[3].end.send({"say": "failed", "error": "no such folder"})
        made.made[3].die(1 << 8)
        made.until(lambda: len(made.made) == 5)
    assert "worker 0 (pid 103) ended with status 1: no such folder; worker 0 is replaced in 0.1 s" in caplog.text


def test_one_that_is_told_to_end_goes_on_until_its_replacement_serves(made: Fakes) -> None:
    old = made.workers[1]
    old.say("leaving")
    old.say("leaving")
    made.until(lambda: len(made.made) == 4)
    new = made.made[3]
    assert "hand_over" not in old.heard
    assert old in made.keeper.serving, "a reload meanwhile is for it too"
    new.die()  # its first replacement fails
    made.until(lambda: len(made.made) == 5)
    assert "hand_over" not in old.heard
    made.start(made.made[4])
    made.until(lambda: old.heard[-1] == "hand_over")
    old.die(0)
    made.until(lambda: len(made.keeper.children) == 3)
    assert len(made.made) == 5, "and is not replaced again"


def test_one_that_does_not_start_in_time_is_replaced(made: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "START_SECS", 0.05)
    made.workers[0].die()
    made.until(lambda: len(made.made) >= 5)


def test_at_the_stop_nobody_is_replaced(made: Fakes) -> None:
    made.keeper.replacing = False
    made.workers[0].say("leaving")
    made.workers[1].die()
    made.until(lambda: len(made.keeper.children) == 2)
    made.keeper.replace()
    assert len(made.made) == 3


def test_one_that_talks_nonsense_is_ended_and_replaced(made: Fakes) -> None:
    made.workers[0].end._sock.sendall(b"\xff" * 100)
    made.until(lambda: len(made.made) == 4)


def test_a_late_answer_is_taken_for_none_to_another_question(made: Fakes) -> None:
    child = made.workers[0]
    tokens: list[int] = []
    child.answers_by["first"] = lambda frame: tokens.append(frame.message["token"])
    assert made.keeper.ask({child: Question({"do": "first"})}, 0.05) == {}
    child.answers_by["second"] = lambda _: child.end.send({"token": tokens[0], "known": False}) or {"known": True}
    answers = made.keeper.ask({child: Question({"do": "second"})}, 5)
    assert answers[child]["known"] is True
    assert child.answers == {}


def test_a_drain_that_one_worker_knows_holds_in_all_and_in_those_that_come(made: Fakes) -> None:
    spread = Spread(made.keeper)
    request = {"bound": "/#/a", "address": "127.0.0.1:1", "on": True, "by": "10.0.0.9"}
    heard: list[dict[str, Any]] = []
    made.workers[0].answers_by["keep_drained"] = lambda frame: heard.append(frame.message)
    for child in made.workers:
        child.answers_by["drain"] = lambda _: {"known": False}
    assert not spread.drain(request)
    assert not spread.drains
    made.workers[1].answers_by["drain"] = lambda _: {"known": True}
    assert spread.drain(request)
    ((which, drain),) = spread.drains.items()
    assert (which, drain.by) == (("/#/a", "127.0.0.1:1"), "10.0.0.9")
    made.until(lambda: made.workers[0].heard[-1] == "keep_drained")
    assert (heard[0]["since"], heard[0]["by"]) == drain
    assert "keep_drained" not in made.workers[1].heard
    assert "drain" not in made.admin.heard
    made.workers[1].answers_by["drain"] = lambda _: {"known": False}
    assert spread.drain({**request, "on": False}), "it was drained"
    assert not spread.drain({**request, "on": False})


def test_a_level_is_set_where_the_logger_is_and_kept_for_those_that_come(made: Fakes) -> None:
    spread = Spread(made.keeper)
    logger = logging.getLogger("linkerd_tcp.of_this_test")
    request = {"logger": logger.name, "level": "debug"}
    for child in made.made:
        child.answers_by["level"] = lambda _: {"known": False}
    assert not spread.set_level(request)
    assert logger.level == logging.NOTSET
    made.admin.answers_by["level"] = lambda _: {"known": True}
    assert spread.set_level(request)
    assert spread.levels.changed == [logger.name]
    assert logger.level == logging.DEBUG


def test_one_that_does_not_answer_is_named(made: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_module, "ANSWER_SECS", 0.05)
    made.workers[0].answers_by["drain"] = lambda _: None
    made.workers[1].answers_by["drain"] = lambda _: {"known": True}
    with pytest.raises(StartError, match=r"worker 0 \(pid 100\) did not answer"):
        Spread(made.keeper).drain({"bound": "/#/a", "address": "127.0.0.1:1", "on": True, "by": None})

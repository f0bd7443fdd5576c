"""All processes switch, or none does."""

import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.errors import StartError
from linkerd_tcp.workers import reload
from linkerd_tcp.workers.channel import Frame, Message
from linkerd_tcp.workers.listeners import Listeners
from linkerd_tcp.workers.reload import Reload
from linkerd_tcp.workers.settings import read_config
from tests.leaks import no_leaks
from tests.system.fleet import listening
from tests.system.harness import free_port
from tests.workers.fakes import Fakes, fakes

assert no_leaks


def configured(*ports: int, more: str = "") -> AppConfig:
    servers = "".join(f"  - {{port: {port}, dstName: /svc/web}}\n" for port in ports)
    text = f"admin: {{port: 0}}\nworkers: 2\n{more}routers:\n- label: r\n  servers:\n{servers}"
    return parse_config(text, "c.yml", Path("/"))


class Program:
    """Workers that have `old`."""

    def __init__(self, made: Fakes) -> None:
        self.first, self.second = free_port(), free_port()
        self.old = configured(self.first)
        self.fakes = made
        self.stopping = False
        self.listeners = Listeners(2)
        self.listeners.open(self.old)

    def reload(self) -> Reload:
        return Reload(self.fakes.keeper, self.listeners, lambda: self.stopping)

    def heard(self) -> list[list[str]]:
        return [[what for what in child.heard if what != "begin"] for child in self.fakes.made[:3]]

    def is_as_before(self) -> bool:
        """Nothing is left of a reload, in no process and no port."""
        self.fakes.until(lambda: all(said[-1:] == ["undo"] for said in self.heard()))
        return not listening(self.second) and set(self.listeners.addresses(self.old)) == {
            ("r", ("127.0.0.1", self.first))
        }


@pytest.fixture
def program(no_leaks: None) -> Iterator[Program]:
    with fakes() as made:
        program = Program(made)
        yield program
        program.listeners.close()


def test_all_prepare_and_then_all_switch_with_listeners_of_their_own(program: Program) -> None:
    given: list[Message] = []
    seen: list[AppConfig] = []

    def prepare(frame: Frame) -> Message:
        given.append(frame.message)
        seen.append(read_config(frame.attached))
        return {"changes": ["server added"]}

    for child in program.fakes.made:
        child.answers_by["prepare"] = prepare
    new = configured(program.first, program.second, more="bufferSizeBytes: 4096\n")
    one = program.reload()
    assert one.prepare(program.old, new) == ["server added", "bufferSizeBytes"]
    assert program.heard() == [["prepare"]] * 3, "nobody switches before all are ready"
    one.switch()
    assert program.heard() == [["prepare", "switch"]] * 3
    assert one.config.buffer_size_bytes == program.old.buffer_size_bytes
    assert seen == [one.config] * 3
    assert [each.get("listeners") for each in given].count([["127.0.0.1", program.second, "", 0]]) == 2
    sockets = [child.sockets for child in program.fakes.workers]
    assert [each.getsockname()[1] for (each,) in sockets] == [program.second] * 2
    assert program.fakes.admin.sockets == []
    assert len({each.fileno() for (each,) in sockets}) == 2


def test_one_that_refuses_is_enough_for_none_to_switch(program: Program) -> None:
    program.fakes.workers[1].answers_by["prepare"] = lambda _: {"error": "the log cannot be opened"}
    with pytest.raises(StartError, match=r"^the log cannot be opened$"):
        program.reload().prepare(program.old, configured(program.first, program.second))
    assert program.is_as_before()


def test_what_all_refuse_is_said_once(program: Program) -> None:
    for child in program.fakes.made:
        child.answers_by["prepare"] = lambda _: {"error": "no"}
    with pytest.raises(StartError, match=r"^no$"):
        program.reload().prepare(program.old, configured(program.second))
    assert program.is_as_before()


def test_one_that_ends_meanwhile_is_enough_for_none_to_switch(program: Program) -> None:
    dying = program.fakes.workers[0]

    def die(_: Frame) -> None:
        dying.die()

    dying.answers_by["prepare"] = die
    with pytest.raises(StartError, match=r"worker 0 \(pid 100\) was killed by SIGKILL"):
        program.reload().prepare(program.old, configured(program.first, program.second))
    program.fakes.until(lambda: [child.heard[-1] for child in program.fakes.made[1:3]] == ["undo", "undo"])
    assert not listening(program.second)
    program.fakes.until(lambda: len(program.fakes.made) == 4)
    assert program.fakes.made[3].place == 0


def test_one_that_does_not_answer_is_enough_for_none_to_switch(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "PREPARE_SECS", 0.1)
    program.fakes.admin.answers_by["prepare"] = lambda _: None
    with pytest.raises(StartError, match=r"the admin process \(pid 102\) did not answer within 0\.1 s"):
        program.reload().prepare(program.old, configured(program.first, program.second))
    assert program.is_as_before()


def test_a_taken_port_is_refused_before_anybody_is_asked(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            StartError, match=rf"routers\[0\]\.servers\[2\]\.port: cannot listen on 127\.0\.0\.1:{port}"
        ):
            program.reload().prepare(program.old, configured(program.first, program.second, port))
    assert program.heard() == [[], [], []]
    assert not listening(program.second)


def test_a_stop_is_not_held_up_by_one_that_does_not_answer(program: Program) -> None:
    def stop(_: Frame) -> None:
        program.stopping = True

    program.fakes.workers[0].answers_by["prepare"] = stop
    with pytest.raises(StartError, match="the program is stopping"):
        program.reload().prepare(program.old, configured(program.second))
    assert program.is_as_before()


def test_one_that_is_only_starting_begins_again_with_what_comes_out(program: Program) -> None:
    made = program.fakes.made
    made[0].die()
    program.fakes.until(lambda: len(made) == 4)
    one = program.reload()
    one.prepare(program.old, configured(program.second))
    one.switch()
    program.fakes.until(lambda: len(made) == 5)
    assert made[3].unwanted
    assert "prepare" not in made[3].heard
    assert made[1].heard[-1] == "switch"


@pytest.mark.parametrize("how", ["dies", "fails", "sticks"])
def test_one_that_does_not_switch_is_replaced_and_the_others_have_switched(
    program: Program, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reload, "SWITCH_SECS", 0.1)
    bad = program.fakes.workers[1]
    ways: dict[str, Callable[[Frame], Message | None]] = {
        "dies": lambda _: bad.die(),
        "fails": lambda _: {"error": "a mistake"},
        "sticks": lambda _: None,
    }
    bad.answers_by["switch"] = ways[how]
    one = program.reload()
    one.prepare(program.old, configured(program.second))
    with caplog.at_level(logging.WARNING, "linkerd_tcp"):
        one.switch()
        program.fakes.until(lambda: len(program.fakes.made) == 4)
    assert program.fakes.made[3].place == 1
    assert "worker 1 (pid 101) was killed by SIGKILL: replaced by pid 103" in caplog.text
    assert [program.fakes.made[at].heard[-1] for at in (0, 2)] == ["switch", "switch"]
    assert not listening(program.first)
    assert listening(program.second)

"""Workers are asked all at once; one that does not answer is named, and holds up nobody."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent.event import Event

from linkerd_tcp.workers import gather
from linkerd_tcp.workers.fleet import WorkerRow
from linkerd_tcp.workers.gather import Answer, Asker, Question, Reply, Silence, bodies, lines, values
from tests.leaks import nothing_left
from tests.sockets import DEADLINE_SECS, eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
SHORT_SECS = 0.2


class Standin:
    """Plays a worker: `answer` gets each connection, once a request's headers have come."""

    def __init__(self, number: int, folder: Path, answer: Callable[[socket.socket], Any]) -> None:
        self.row = WorkerRow(number, os.getpid(), 1.0, "serving", 0, str(folder / f"standin-{number}"))
        self.asked: list[bytes] = []
        self._answer = answer
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(self.row.admin_path)
        self.listening.listen(8)
        self._serving = gevent.spawn(self._serve)

    def _serve(self) -> None:
        while True:
            client, _ = self.listening.accept()
            with client, suppress(OSError):  # who asked may have gone
                request = b""
                while b"\r\n\r\n" not in request:
                    request += client.recv(65536) or b"\r\n\r\n"
                self.asked.append(request)
                self._answer(client)

    def close(self) -> None:
        self._serving.kill()
        self.listening.close()


Make = Callable[..., Standin]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Standin] = []

    def one(answer: Callable[[socket.socket], Any] = lambda client: client.sendall(OK)) -> Standin:
        made.append(Standin(len(made), tmp_path, answer))
        return made[-1]

    yield one
    for standin in made:
        standin.close()


PLAIN = Question("/x")


def ask(*standins: Standin, question: Question = PLAIN, secs: float = DEADLINE_SECS) -> dict[int, Reply]:
    return Asker().ask([standin.row for standin in standins], question, secs)


def test_each_worker_answers_under_its_number(make: Make) -> None:
    standins = make(), make()
    with nothing_left():
        assert ask(*standins) == {0: Answer(200, "text/plain", b"hello"), 1: Answer(200, "text/plain", b"hello")}


def test_a_request_has_what_it_is_given_and_no_sign_of_a_browser(make: Make) -> None:
    one = make()
    ask(one, question=Question("/a?b=c", "POST", b"{}", "application/json"))
    (request,) = one.asked
    assert request.startswith(b"POST /a?b=c HTTP/1.1\r\nHost: localhost\r\n")
    assert b"Content-Type: application/json\r\n" in request
    assert request.endswith(b"\r\n\r\n{}")
    assert b"Origin" not in request
    assert b"Cookie" not in request


def test_one_that_does_not_answer_is_named_after_the_deadline_and_the_others_have_answered(make: Make) -> None:
    standins = make(), make(lambda client: gevent.sleep(DEADLINE_SECS)), make()
    began = monotonic()
    replies = ask(*standins, secs=SHORT_SECS)
    assert monotonic() - began < DEADLINE_SECS
    assert replies[1] == Silence("no answer within 0.2 s")
    assert bodies(replies) == ({0: b"hello", 2: b"hello"}, {1: "no answer within 0.2 s"})


def test_who_has_just_let_a_deadline_pass_gets_less_time_until_it_answers(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "AGAIN_SECS", 0.05)
    hanging = Event()
    one = make(lambda client: hanging.wait() and client.sendall(OK))
    asker = Asker()

    def said(secs: float) -> Reply:
        return asker.ask([one.row], PLAIN, secs)[0]

    assert said(SHORT_SECS) == Silence("no answer within 0.2 s")
    assert said(SHORT_SECS) == Silence("no answer within 0.05 s")
    monkeypatch.setattr(gather, "SHORT_SECS", 0.0)
    assert said(SHORT_SECS) == Silence("no answer within 0.2 s")
    hanging.set()
    assert isinstance(said(DEADLINE_SECS), Answer)
    monkeypatch.setattr(gather, "SHORT_SECS", 5.0)
    hanging.clear()
    assert said(SHORT_SECS) == Silence("no answer within 0.2 s")


def test_they_are_asked_at_the_same_time(make: Make) -> None:
    """Each answers only when all have been asked."""
    standins: list[Standin] = []

    def answer(client: socket.socket) -> None:
        eventually(lambda: all(standin.asked for standin in standins))
        client.sendall(OK)

    standins.extend(make(answer) for _ in range(4))
    assert [type(reply) for reply in ask(*standins).values()] == [Answer] * 4


def test_an_answer_that_is_too_long_is_not_read_to_its_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MOST_BYTES", 1 << 20)

    def endless(client: socket.socket) -> None:
        try:
            client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                client.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            return

    assert ask(make(endless)) == {0: Silence("its answer is longer than 1 MiB")}


def test_an_answer_of_another_status_is_none(make: Make) -> None:
    replies = ask(make(lambda client: client.sendall(OK.replace(b"200 OK", b"503 No"))))
    assert bodies(replies) == ({}, {0: "it answered with status 503"})


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", OK[:-1]], ids=["nothing", "no http", "cut off"])
def test_what_is_no_answer_is_said(make: Make, answer: bytes) -> None:
    (reply,) = ask(make(lambda client: client.sendall(answer))).values()
    assert isinstance(reply, Silence)
    assert reply.why


def test_one_that_is_not_there_is_said_at_once(make: Make) -> None:
    gone = make()
    row = gone.row._replace(admin_path=gone.row.admin_path + "-not")
    assert Asker().ask([row], Question("/"), DEADLINE_SECS) == {0: Silence("[Errno 2] No such file or directory")}


def test_a_full_queue_is_said_at_once_and_costs_no_turning_in_place(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(0)
        row = WorkerRow(0, 1, 1.0, "serving", 0, path)
        replies = [Asker().ask([row], Question("/"), 0.01)[0] for _ in range(3)]
    assert replies[-1] == Silence("it accepts nothing, and its queue is full")


def test_one_that_dies_in_the_middle_is_asked_again_for_its_replacement_answers(make: Make) -> None:
    one = make(lambda client: client.sendall(OK if len(one.asked) > 1 else OK[:-1]))
    assert ask(one) == {0: Answer(200, "text/plain", b"hello")}


def test_what_changes_something_is_asked_once(make: Make) -> None:
    one = make(lambda client: None)
    (reply,) = ask(one, question=Question("/connections/0-1/close", "POST")).values()
    assert isinstance(reply, Silence)
    assert len(one.asked) == 1


def test_there_is_a_bound_on_questions_at_once(make: Make) -> None:
    silent = make(lambda client: gevent.sleep(DEADLINE_SECS))
    asker = Asker()
    asking = [gevent.spawn(asker.ask, [silent.row], Question("/"), 1.0) for _ in range(gather.AT_ONCE)]
    eventually(lambda: silent.asked)
    assert asker.ask([silent.row], Question("/"), 0.01) == {0: Silence("too much else is being asked")}
    gevent.killall(asking)


def test_who_runs_out_of_time_leaves_nothing_behind(tmp_path: Path) -> None:
    row = WorkerRow(0, 1, 1.0, "serving", 0, str(tmp_path / "deaf"))
    asker = Asker()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(row.admin_path)
        listening.listen(64)
        with nothing_left():
            for _ in range(gather.AT_ONCE + 1):  # and the room is given back
                with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
                    asker.ask([row], PLAIN, DEADLINE_SECS)


def test_lines_are_whole() -> None:
    assert list(lines(b"a\n\nb\n")) == [b"a", b"", b"b"]
    assert list(values(b'{"a": 1}\n[2]\n')) == [{"a": 1}, [2]]
    with pytest.raises(ValueError, match="in the middle of a line"):
        list(lines(b"a\nb"))

"""The log says what happened in one line each, and a stranger's bytes stay within their line."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import monkey
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.book import Book
from linkerd_tcp.config.admin import AccessLogConfig
from linkerd_tcp.errors import Cause, StartError
from linkerd_tcp.last_lines import MOST_CHARS, MOST_LINES, MOST_WARNINGS, printable
from linkerd_tcp.levels import OFF, TRACE, Change, Changes, parse_directives
from linkerd_tcp.logs import AccessLog, Logs, access_json, access_text
from linkerd_tcp.naming.path import Path as Name
from linkerd_tcp.record import Record, as_json
from tests.leaks import no_leaks

assert no_leaks

DEADLINE_SECS = 5.0
EVIL = "up\x1b[2J\r\nFORGED line\u2028\u202e \x7f\x9b\udc80"


class Lines:
    """A log that goes to a file, and what is in it after closing it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.logs: Logs | None = None

    def configure(self, **environ: str) -> Logs:
        self.logs = Logs(environ, fd=self._fd)
        return self.logs

    def adopt(self, changes: Changes) -> Logs:
        self.logs = Logs({}, fd=self._fd, worker="1", changes=changes)
        return self.logs

    def close(self) -> list[str]:
        if self.logs is not None:
            assert self.logs.close(DEADLINE_SECS)
        return self._path.read_text().split("\n")[:-1]

    def end(self) -> None:
        self.close()
        monkey.get_original("os", "close")(self._fd)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    names = (None, "linkerd_tcp", "namers", "linkerd_tcp.router")
    before = [logging.getLogger(name).level for name in names]
    written = Lines(tmp_path / "log")
    yield written
    written.end()
    for name, level in zip(names, before, strict=True):
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def record() -> Record:
    book = Book()
    made = book.begin("default", "127.0.0.1:7474", ("127.0.0.1", 50112))
    made.path = Name(("svc", "web"))
    made.attempt("127.0.0.1:8081", Cause.REFUSED, 0.0004)
    made.attempt("127.0.0.1:8080", None, 0.0002)
    made.endpoint = "127.0.0.1:8080"
    made.rx_bytes, made.tx_bytes = 10, 20
    made.end(Cause.CLIENT_CLOSED, None)
    book.end(made)
    return made


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECS
    while not condition():
        assert time.monotonic() < deadline, what
        gevent.sleep(0.005)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("", {}),
        ("debug", {"": logging.DEBUG}),
        ("linkerd_tcp=info", {"linkerd_tcp": logging.INFO}),
        ("linkerd_tcp=info,namers=trace", {"linkerd_tcp": logging.INFO, "namers": TRACE}),
        (" WARN , linkerd_tcp::router = debug,", {"": logging.WARNING, "linkerd_tcp.router": logging.DEBUG}),
        ("off", {"": OFF}),
        ("namers", {"namers": TRACE}),
        ("info,error", {"": logging.ERROR}),
    ],
)
def test_levels_are_read_as_rust_log_reads_them(text: str, levels: dict[str, int]) -> None:
    assert parse_directives(text) == (levels, [])


@pytest.mark.parametrize("part", ["namers=loud", "a[span]=info", "/regex", "=", "=info", "a..b=info"])
def test_a_part_that_is_not_understood_is_named_and_the_others_hold(part: str) -> None:
    levels, complaints = parse_directives(f"debug,{part},namers=error")
    assert levels == {"": logging.DEBUG, "namers": logging.ERROR}
    assert len(complaints) == 1


@given(st.text())
def test_any_text_gives_levels_and_complaints_and_no_error(text: str) -> None:
    levels, complaints = parse_directives(text)
    assert all(isinstance(level, int) for level in levels.values())
    assert all(complaint.isprintable() for complaint in complaints)


def test_nothing_said_means_info_for_ours_and_warning_for_libraries(lines: Lines) -> None:
    lines.configure()
    for name in ("linkerd_tcp.a", "namers.a", "library"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(level, "%s", name)
    said = [line.split(" ")[1:3] for line in lines.close()]
    assert said == [
        ["INFO", "linkerd_tcp.a"],
        ["WARNING", "linkerd_tcp.a"],
        ["INFO", "namers.a"],
        ["WARNING", "namers.a"],
        ["WARNING", "library"],
    ]


def test_rust_log_is_read_where_our_own_variable_is_unset(lines: Lines) -> None:
    lines.configure(RUST_LOG="linkerd_tcp=error")
    assert logging.getLogger("linkerd_tcp").level == logging.ERROR
    lines.close()
    lines.configure(RUST_LOG="linkerd_tcp=error", LINKERD_TCP_LOG="debug")
    assert logging.getLogger("linkerd_tcp").level == logging.DEBUG


def test_off_says_nothing_at_all(lines: Lines) -> None:
    logs = lines.configure(LINKERD_TCP_LOG="off,what?")
    logging.getLogger("linkerd_tcp").critical("one")
    logging.getLogger("library").critical("two")
    logs.say("three")
    assert lines.close() == []


def test_what_is_not_understood_in_the_environment_is_warned_of(lines: Lines) -> None:
    lines.configure(LINKERD_TCP_LOG="loud=very", LINKERD_TCP_LOG_FORMAT="xml")
    first, second = lines.close()
    assert "WARNING linkerd_tcp.logs LINKERD_TCP_LOG: 'very' is no log level: trace, debug, info" in first
    assert "LINKERD_TCP_LOG_FORMAT: 'xml' is neither text nor json; text is used" in second


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_message_can_break_its_line_or_speak_to_the_terminal(lines: Lines, form: str) -> None:
    lines.configure(LINKERD_TCP_LOG_FORMAT=form)
    logging.getLogger("linkerd_tcp.a").warning("from %s", EVIL)
    (line,) = lines.close()
    assert line.isprintable()
    assert "FORGED" in line
    if form == "json":
        assert json.loads(line)["message"] == f"from {EVIL}"


@given(st.text())
def test_printable_text_is_left_as_it_is_and_other_text_becomes_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert not text.isprintable() or printable(text) == text


def test_a_traceback_stays_in_the_line_of_its_record(lines: Lines) -> None:
    lines.configure()
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("linkerd_tcp.a").exception("it broke")
    (line,) = lines.close()
    assert "it broke\\nTraceback" in line
    assert line.endswith("KeyError: 'gone'")


def test_a_record_that_cannot_be_filled_in_is_said_and_ends_nothing(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own raises
    lines.configure()
    logging.getLogger("linkerd_tcp.a").warning("%d endpoints", "three")
    (line,) = lines.close()
    assert "'%d endpoints' could not be filled in: TypeError" in line


def test_levels_are_listed_and_changed_while_it_runs(lines: Lines) -> None:
    logs = lines.configure()
    log = logging.getLogger("linkerd_tcp.router")
    levels = {row["logger"]: (row["level"], row["from"]) for row in logs.levels()}
    assert levels["linkerd_tcp.router"] == ("info", "linkerd_tcp")
    assert levels["namers"] == ("info", "namers")
    logs.set_level("linkerd_tcp", "debug")
    assert {"logger": "linkerd_tcp.router", "level": "debug", "from": "linkerd_tcp"} in logs.levels()
    log.debug("heard")
    logs.set_level("linkerd_tcp.router", "OFF")
    log.critical("not heard")
    assert {"linkerd_tcp.router": "off"}.items() <= {row["logger"]: row["level"] for row in logs.levels()}.items()
    assert [line.split(" ", 2)[2] for line in lines.close()] == ["linkerd_tcp.router heard"]


def test_a_level_or_logger_that_does_not_exist_is_refused_and_none_is_made(lines: Lines) -> None:
    logs = lines.configure()
    with pytest.raises(ValueError, match="'loud' is no log level: trace, debug"):
        logs.set_level("linkerd_tcp", "loud")
    with pytest.raises(LookupError, match=r"there is no logger 'linkerd_tcp\.nowhere'"):
        logs.set_level("linkerd_tcp.nowhere", "debug")
    assert "linkerd_tcp.nowhere" not in logging.Logger.manager.loggerDict


def test_what_is_printed_on_standard_error_becomes_lines_of_the_log(lines: Lines) -> None:
    before = sys.stderr
    lines.configure().capture_stderr()
    failing = gevent.spawn(lambda: 1 / 0)
    failing.join()  # gevent's hub prints the traceback
    print("a\x1b", "b", file=sys.stderr)
    said = lines.close()
    assert sys.stderr is before
    assert any("ERROR stderr ZeroDivisionError: division by zero" in line for line in said)
    assert said[-1].endswith("ERROR stderr a\\x1b b")


def test_a_stopped_terminal_costs_the_log_lines_and_no_time() -> None:
    """A real pseudo-terminal whose other end is not read; it takes some 4 KiB."""
    near, far = os.openpty()
    logs = Logs({}, fd=far)
    log = logging.getLogger("linkerd_tcp.a")
    try:
        deadline = time.monotonic() + DEADLINE_SECS
        for _ in range(12_000):
            log.warning("the endpoint refused %s", "x" * 50)
        assert time.monotonic() < deadline
        assert logs.dropped["stalled"] > 0
        assert not logs.close(0.05)
    finally:
        native_close = monkey.get_original("os", "close")
        native_close(near)  # hangs the terminal up, which frees the writer
        assert logs.close(DEADLINE_SECS)
        native_close(far)
        for name in (None, "linkerd_tcp", "namers"):
            logging.getLogger(name).setLevel(logging.NOTSET if name else logging.WARNING)


def test_the_json_access_log_has_the_keys_of_a_closed_connection_less_its_steps(record: Record) -> None:
    line = json.loads(access_json(record))
    assert line == as_json(record, with_steps=False)
    assert "steps" not in line
    assert line["cause"] == "client_closed"
    assert line["state"] == "closed"


def test_the_text_access_log_says_the_same_in_words(record: Record) -> None:
    record.accepted_at, record.duration = 0.5, 0.25
    assert access_text(record) == (
        "1970-01-01T00:00:00.500Z 0-1 router=default server=127.0.0.1:7474 source=127.0.0.1:50112 path=/svc/web"
        " endpoint=127.0.0.1:8080 secs=0.25 rx=10 tx=20 cause=client_closed failed=127.0.0.1:8081:refused"
    )


@pytest.mark.parametrize("form", [access_text, access_json])
def test_no_connection_can_forge_a_line_of_the_access_log(record: Record, form: Callable[[Record], str]) -> None:
    record.detail = f'{EVIL} "quoted" cause=none'
    record.explanation = {"path": EVIL}
    line = form(record)
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_connection_is_one_line_in_the_file(tmp_path: Path, record: Record, form: Any) -> None:
    log = AccessLog(AccessLogConfig(path=str(tmp_path / "access.log"), format=form))
    for _ in range(10):
        log.log(record)
    assert log.close(DEADLINE_SECS)
    said = (tmp_path / "access.log").read_text().splitlines()
    assert said == [(access_text if form == "text" else access_json)(record)] * 10


def test_a_rotated_access_log_goes_on_in_a_new_file(tmp_path: Path, record: Record) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(AccessLogConfig(path=str(path)))
    log.log(record)
    until(path.read_text, "nothing was written")
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log.log(record)
    assert log.close(DEADLINE_SECS)
    assert path.read_text() == (tmp_path / "access.log.1").read_text()


def test_an_access_log_that_cannot_be_opened_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^accessLog\.path .*/no/access\.log cannot be opened .*create its folder"):
        AccessLog(AccessLogConfig(path=str(tmp_path / "no" / "access.log")))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_access_log_is_said_once_and_the_loss_at_the_end(lines: Lines, record: Record) -> None:
    logs = lines.configure()
    log = AccessLog(AccessLogConfig(path="/dev/full"), say=logs.say)
    for lost in (1, 2, 3):
        log.log(record)
        until(lambda lost=lost: log.dropped["disk_full"] == lost, "the lost line was not counted")
    assert log.close(DEADLINE_SECS)
    began, ended = lines.close()
    assert "WARNING linkerd_tcp.logs accessLog.path /dev/full: No space left on device; lines are dropped" in began
    assert ended.endswith("accessLog.path /dev/full: closed; 3 lines were lost")


# -- changes of levels


def level_of(logs: Logs, name: str) -> str:
    return next(row["level"] for row in logs.levels() if row["logger"] == name)


def test_a_change_says_by_whom_and_since_when_and_start_undoes_it(lines: Lines) -> None:
    logs = lines.configure(LINKERD_TCP_LOG="namers=error")
    logging.getLogger("linkerd_tcp.router")
    before = logs.levels()
    began = time.time()
    logs.set_level("namers", "trace", "127.0.0.9")
    logs.set_level("linkerd_tcp.router", "debug")
    rows = {row["logger"]: row for row in logs.levels()}
    assert (rows["namers"]["level"], rows["namers"]["changedBy"], rows["namers"]["endsAt"]) == (
        "trace",
        "127.0.0.9",
        None,
    )
    assert began <= rows["namers"]["changedAt"] <= time.time()
    assert rows["linkerd_tcp.router"]["changedBy"] is None
    assert rows["linkerd_tcp.router"]["from"] == "linkerd_tcp.router"
    logs.set_level("namers", "start")
    logs.set_level("linkerd_tcp.router", "START")
    assert logs.levels() == before


def test_a_level_for_a_time_goes_back_to_the_one_that_lasts_and_says_so(lines: Lines) -> None:
    logs = lines.configure()
    logs.set_level("linkerd_tcp", "warning")
    logs.set_level("linkerd_tcp", "debug", for_secs=60)
    logs.set_level("linkerd_tcp", "trace", for_secs=0.02)
    row = next(row for row in logs.levels() if row["logger"] == "linkerd_tcp")
    assert row["level"] == "trace"
    assert abs(row["endsAt"] - time.time()) < 1
    until(lambda: level_of(logs, "linkerd_tcp") == "warning", "the level never went back")
    assert logs.levels()[0].get("endsAt") is None
    assert [line.split(" ", 3)[3] for line in lines.close()] == [
        "the level of linkerd_tcp was for a time, and is as before"
    ]


def test_a_level_that_is_set_for_good_meanwhile_stays(lines: Lines) -> None:
    logs = lines.configure()
    logs.set_level("linkerd_tcp", "debug", for_secs=0.02)
    logs.set_level("namers", "debug", for_secs=0.03)
    logs.set_level("linkerd_tcp", "error")
    until(lambda: level_of(logs, "namers") == "info", "the level never went back")
    assert level_of(logs, "linkerd_tcp") == "error"


def test_closing_the_log_ends_its_timer(lines: Lines, no_leaks: None) -> None:
    lines.configure().set_level("linkerd_tcp", "debug", for_secs=3600)
    lines.close()


def test_a_process_that_is_forked_later_has_the_levels_and_the_way_back(lines: Lines) -> None:
    changes = Changes()
    changes.set("linkerd_tcp", Change(logging.DEBUG, 1.5, "127.0.0.9", time.monotonic() + 0.05))
    logs = lines.adopt(changes)
    row = next(row for row in logs.levels() if row["logger"] == "linkerd_tcp")
    assert (row["level"], row["changedAt"], row["changedBy"]) == ("debug", 1.5, "127.0.0.9")
    until(lambda: level_of(logs, "linkerd_tcp") != "debug", "the level never went back")


# -- the last lines


def test_the_last_lines_are_remembered_and_warnings_for_longer(lines: Lines) -> None:
    logs = lines.configure()
    for number in range(300):
        logs.line(logging.WARNING, "linkerd_tcp", f"w{number}", at=float(number))
    for number in range(MOST_LINES):
        logs.line(logging.DEBUG, "linkerd_tcp", f"d{number}", at=1000.0 + number)
    found = list(logs.last_lines())
    assert [line.message for line in found[:2]] == ["w100", "w101"]
    assert found[MOST_WARNINGS - 1].message == "w299"
    assert [line.message for line in found[MOST_WARNINGS:]] == [f"d{number}" for number in range(MOST_LINES)]
    assert [line.message for line in logs.last_lines(1000.0 + MOST_LINES - 3)] == [
        f"d{MOST_LINES - 2}",
        f"d{MOST_LINES - 1}",
    ]


def test_a_line_that_is_in_both_memories_is_shown_once(lines: Lines) -> None:
    logs = lines.configure()
    logs.line(logging.INFO, "linkerd_tcp", "a")
    logs.line(logging.ERROR, "linkerd_tcp", "b")
    assert [(line.level, line.message) for line in logs.last_lines()] == [("info", "a"), ("error", "b")]


def test_a_remembered_line_is_cut_and_escaped_but_for_its_breaks(lines: Lines) -> None:
    logs = lines.configure()
    logs.line(logging.INFO, EVIL, EVIL)
    logs.line(logging.INFO, "linkerd_tcp", "x" * 1_000_000)
    evil, long = logs.last_lines()
    assert evil.message.replace("\n", "").isprintable()
    assert "\\x1b[2J\\r\nFORGED" in evil.message
    assert evil.logger.isprintable()
    assert len(long.message) == MOST_CHARS


def test_lines_are_said_by_a_thread_while_they_are_read(lines: Lines) -> None:
    logs = lines.configure()
    done: list[bool] = []

    def say() -> None:
        for number in range(20_000):
            logs.line(logging.WARNING, "linkerd_tcp", str(number))
        done.append(True)

    monkey.get_original("_thread", "start_new_thread")(say, ())
    while not done:
        numbers = [int(line.message) for line in logs.last_lines() if line.message.isdecimal()]
        assert numbers == sorted(numbers)
        gevent.sleep(0)

"""Lines reach their file whole, and a target that takes nothing costs lines, never time."""

import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import monkey

from linkerd_tcp.errors import StartError
from linkerd_tcp.net.lines import LineWriter

DEADLINE_SECS = 5.0
close = monkey.get_original("os", "close")  # at once; gevent's own puts it off to the loop
LONG_LINE = "x" * 1000


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECS
    while not condition():
        assert time.monotonic() < deadline, what
        gevent.sleep(0.005)


class StoppedReader:
    """A blocking pipe with nobody reading: what a stopped terminal is to its writer."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self._writers: list[LineWriter] = []

    def writer(self, **options: Any) -> LineWriter:
        self._writers.append(LineWriter("-", fd=self.writing, **options))
        return self._writers[-1]

    def end(self) -> None:
        close(self.reading)  # frees a writer that is blocked; only then may its descriptor's number be given away
        for writer in self._writers:
            assert writer.close(DEADLINE_SECS)
        close(self.writing)


@pytest.fixture
def pipe() -> Iterator[StoppedReader]:
    stopped = StoppedReader()
    yield stopped
    stopped.end()


def run(code: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    patched = "from gevent import monkey; monkey.patch_all(queue=False)\n"
    return subprocess.run(
        [sys.executable, "-c", patched + code], text=True, timeout=20, stderr=subprocess.PIPE, **options
    )


def test_every_line_is_written_in_order(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "a.log")
    lines = [f"line {number}" for number in range(3000)]
    assert all(writer.write(line) for line in lines)
    assert writer.close(DEADLINE_SECS)
    assert (tmp_path / "a.log").read_text().splitlines() == lines
    assert writer.lost == 0


def test_lines_are_written_without_waiting_for_close(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "a.log")
    writer.write("one")
    until(lambda: (tmp_path / "a.log").read_text() == "one\n", "the line never came")
    assert writer.close(DEADLINE_SECS)


def test_a_file_is_appended_to_and_made_for_owner_and_group_only(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for line in ("first", "second"):
        writer = LineWriter(path)
        writer.write(line)
        assert writer.close(DEADLINE_SECS)
    assert path.read_text() == "first\nsecond\n"
    assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0


def test_text_that_is_no_utf8_is_written_escaped(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "a.log")
    writer.write("lone \udcff surrogate")
    assert writer.close(DEADLINE_SECS)
    assert (tmp_path / "a.log").read_text() == "lone \\udcff surrogate\n"


def test_a_stopped_reader_costs_counted_lines_and_no_time(pipe: StoppedReader) -> None:
    said: list[str] = []
    writer = pipe.writer(what="standard output", say=said.append, max_lines=100)
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            gevent.sleep(0.001)

    ticker = gevent.spawn(tick)
    for _ in range(500):
        writer.write(LONG_LINE)
        gevent.sleep(0.001)
    ticker.kill()
    assert ticks > 250, "the loop stood still while the pipe was full"
    # 64 KiB are in the pipe, one batch is in the thread's hands, 100 lines wait.
    until(lambda: writer.dropped["stalled"] > 0, "nothing was dropped")
    assert said == [
        "standard output: takes no more for now; lines are dropped and counted until it can be written again"
    ]
    assert not writer.close(0.05), "a blocked writer cannot have finished"


def test_a_reader_that_comes_back_gets_whole_lines_and_the_loss_is_said(pipe: StoppedReader) -> None:
    said: list[str] = []
    writer = pipe.writer(say=said.append, max_lines=100)
    sent = [f"{number} {LONG_LINE}" for number in range(1000)]
    taken = [line for line in sent if writer.write(line)]
    assert len(taken) < len(sent)
    received = bytearray()
    os.set_blocking(pipe.reading, False)

    def recovered() -> bool:
        try:
            while True:
                received.extend(os.read(pipe.reading, 65536))
        except BlockingIOError:
            return writer.write("later") and len(said) == 2

    until(recovered, f"never recovered: {said}")
    assert writer.lost >= len(sent) - len(taken)
    assert said[1] == f"log file: is written again; {writer.lost} lines were lost"
    assert writer.close(DEADLINE_SECS)
    received.extend(os.read(pipe.reading, 65536))
    lines = received.decode().splitlines()
    assert lines[: len(taken)] == taken
    assert set(lines[len(taken) :]) == {"later"}


def test_waiting_lines_are_bounded_by_their_size_too(pipe: StoppedReader) -> None:
    writer = pipe.writer(max_chars=1_000_000)
    os.set_blocking(pipe.writing, False)
    taken = sum(writer.write("x" * 99_999) for _ in range(50))
    assert 9 <= taken <= 20  # what the thread writes meanwhile makes room
    assert writer.dropped["stalled"] == 50 - taken


def test_the_bound_on_size_forgets_what_was_written(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "a.log", max_chars=10_000)
    for _ in range(50):
        until(lambda: writer.write("x" * 4000), "no room was made")
    assert writer.close(DEADLINE_SECS)
    assert (tmp_path / "a.log").stat().st_size == 50 * 4001


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_counted_lines() -> None:
    said: list[str] = []
    writer = LineWriter("/dev/full", what="access log", say=said.append)
    writer.write("one")
    writer.write("two")
    until(lambda: writer.dropped["disk_full"] == 2, "the lost lines were not counted")
    assert writer.losing
    assert said == [
        "access log /dev/full: No space left on device; lines are dropped and counted until it can be written again"
    ]
    assert writer.close(DEADLINE_SECS)
    assert said[1:] == ["access log /dev/full: closed; 2 lines were lost"]


def test_a_line_cut_off_by_a_full_disk_is_ended_before_the_next_one(tmp_path: Path) -> None:
    """A real short write: the file may grow to 25 bytes, which end inside the third line."""
    path = tmp_path / "a.log"
    code = f"""
import resource, time
from linkerd_tcp.net.lines import LineWriter
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (25, hard))
said = []
writer = LineWriter({str(path)!r}, say=said.append)
for number in range(3):
    writer.write(f"line {{number}} ---")
while not writer.lost:
    time.sleep(0.01)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
writer.write("after")
assert writer.close(5)
assert writer.dropped["error"] == 1, writer.dropped
assert said[1].endswith("is written again; 1 line was lost"), said
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert path.read_text() == "line 0 ---\nline 1 ---\nlin\nafter\n"


def test_a_reader_that_went_away_is_an_error_counted() -> None:
    reading, writing = os.pipe()
    close(reading)
    writer = LineWriter("-", fd=writing)
    writer.write("one")
    until(lambda: writer.dropped["error"] == 1, "the lost line was not counted")
    assert writer.close(DEADLINE_SECS)
    close(writing)


def test_reopen_goes_on_in_a_new_file_of_the_same_name(tmp_path: Path) -> None:
    path, old = tmp_path / "a.log", tmp_path / "a.log.1"
    writer = LineWriter(path)
    writer.write("before")
    path.rename(old)
    writer.reopen()
    writer.write("after")
    assert writer.close(DEADLINE_SECS)
    assert old.read_text() == "before\n"
    assert path.read_text() == "after\n"


def test_reopen_keeps_the_old_file_where_no_new_one_can_be_made(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = LineWriter(folder / "a.log", say=said.append)
    folder.rename(tmp_path / "moved")
    writer.reopen()
    writer.write("kept")
    assert writer.close(DEADLINE_SECS)
    assert (tmp_path / "moved" / "a.log").read_text() == "kept\n"
    assert said == [f"log file {folder}/a.log: cannot be opened anew (No such file or directory); the old file is kept"]


def test_reopening_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    before = set(os.listdir("/dev/fd"))
    writer = LineWriter(tmp_path / "a.log")
    for number in range(20):
        writer.reopen()
        writer.write(str(number))
        gevent.sleep(0)
    assert writer.close(DEADLINE_SECS)
    assert set(os.listdir("/dev/fd")) == before


def test_a_closed_writer_takes_nothing_and_counts_it(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "a.log")
    assert writer.close(DEADLINE_SECS)
    assert not writer.write("late")
    assert writer.dropped["closed"] == 1
    assert writer.close(DEADLINE_SECS), "closing twice is harmless"
    assert (tmp_path / "a.log").read_text() == ""


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("missing/a.log", "No such file or directory; create its folder"),
        ("file/a.log", "one of its folders is a file"),
        (".", "it is a folder: name a file"),
        ("fifo", "it is a FIFO that nobody reads"),
        ("a\0b", "is no file name"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named_with_what_to_do(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StartError, match=words) as caught:
        LineWriter(f"{tmp_path}/{place}", what="accessLog.path")
    assert str(caught.value).startswith("accessLog.path ")


def test_a_process_ends_though_its_terminal_is_stopped() -> None:
    """Nobody reads the pipe: the writer's thread is blocked in write(2) when the interpreter ends."""
    reading, writing = os.pipe()
    code = """
from linkerd_tcp.net.lines import LineWriter
writer = LineWriter("-")
for number in range(5000):
    writer.write("x" * 1000)
assert not writer.close(0.1)
"""
    try:
        done = run(code, stdout=writing)
    finally:
        close(writing)
        close(reading)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pipe does not keep the pieces apart")
def test_to_a_pipe_whole_lines_go_in_pieces_that_others_cannot_get_into() -> None:
    reading, writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    lines = [f"{number} {'x' * (number % 900)}" for number in range(300)] + ["y" * 10_000, "last"]
    writer = LineWriter("-", fd=writing)
    for line in lines:
        writer.write(line)
    pieces: list[bytes] = []

    def all_read() -> bool:
        try:
            while piece := os.read(reading, 65536):
                pieces.append(piece)
        except BlockingIOError:
            return b"".join(pieces).endswith(b"last\n")
        return True

    until(all_read, "all lines come")
    assert b"".join(pieces).decode().splitlines() == lines
    in_the_middle = [piece for piece in pieces if not piece.endswith(b"\n")]
    assert {piece.strip(b"y") for piece in in_the_middle} == {b""}, "only of the line that is longer itself"
    assert len(pieces) < len(lines), "and not one by one"
    assert writer.close(DEADLINE_SECS)
    close(reading)
    close(writing)

"""Lines of a process that may not wait: written at once and whole, or counted."""

import os
import select

from gevent import monkey

from linkerd_tcp.net.direct import MOST_BYTES, DirectLines

_native_close = monkey.get_original("os", "close")  # gevent's own puts it off


def test_lines_are_there_as_soon_as_they_are_written() -> None:
    reader, writer = os.pipe()
    lines = DirectLines(writer)
    assert lines.write("one")
    assert lines.write("zwei \udcff ü")
    assert os.read(reader, 100) == b"one\nzwei \\udcff \xc3\xbc\n"
    _native_close(reader)
    _native_close(writer)


def test_a_reader_that_has_stopped_costs_lines_and_no_time() -> None:
    reader, writer = os.pipe()
    lines = DirectLines(writer)
    while lines.write("x" * 1000):
        pass
    assert not lines.write("one more")
    assert lines.dropped["stalled"] == 2
    os.read(reader, 65536)
    assert lines.write("again")
    _native_close(reader)
    assert not lines.write("nobody")
    assert lines.dropped["error"] == 1
    _native_close(writer)


def test_a_line_is_cut_to_what_a_pipe_takes_whole() -> None:
    reader, writer = os.pipe()
    assert DirectLines(writer).write("x" * 10_000)
    written = os.read(reader, 65536)
    assert (len(written), written[-1:]) == (MOST_BYTES, b"\n")
    assert MOST_BYTES <= select.PIPE_BUF
    _native_close(reader)
    _native_close(writer)

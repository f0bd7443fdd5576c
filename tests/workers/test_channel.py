"""Messages come over whole, in order and with their sockets, and neither end can be held up or filled by the other."""

import json
import os
import socket
import struct
from _socket import socket as Socket
from collections.abc import Iterator

import gevent
import pytest

from linkerd_tcp.workers import channel
from linkerd_tcp.workers.channel import ChannelError, ChildEnd, Line, pair
from tests.leaks import no_leaks
from tests.sockets import eventually

assert no_leaks


@pytest.fixture
def ends(no_leaks: None) -> Iterator[tuple[Line, ChildEnd]]:
    ours, theirs = pair()
    line, end = Line(ours), ChildEnd(theirs)
    yield line, end
    line.close()
    end.close()


def test_a_message_goes_down_with_bytes_and_comes_up(ends: tuple[Line, ChildEnd]) -> None:
    line, end = ends
    line.send({"do": "prepare", "n": 1}, b"\x00\xff" * 10)
    line.send({"do": "switch"})
    frame = end.receive()
    assert (frame.message, frame.attached, frame.sockets) == ({"do": "prepare", "n": 1}, b"\x00\xff" * 10, [])
    assert end.receive().message == {"do": "switch"}
    end.send({"say": "é"})
    line.receive()
    assert list(line.inbox) == [{"say": "é"}]


def test_more_sockets_than_the_kernel_takes_at_once_come_over_in_order_and_are_the_same(
    ends: tuple[Line, ChildEnd],
) -> None:
    line, end = ends
    listeners = []
    for _ in range(150):
        listening = Socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))
        listeners.append(listening)
    wanted = [listening.getsockname() for listening in listeners]
    line.send({"do": "prepare"}, b"config", listeners)
    for listening in listeners:
        listening.close()  # the copies that are under way are enough
    line.send({"do": "next"})
    frame = end.receive()
    assert frame.attached == b"config"
    assert [each.getsockname() for each in frame.sockets] == wanted
    assert all(each.gettimeout() == 0 for each in frame.sockets)
    for each in frame.sockets:
        each.close()
    assert end.receive().message == {"do": "next"}


def test_what_a_child_does_not_take_waits_and_is_taken_later_whole(ends: tuple[Line, ChildEnd]) -> None:
    line, end = ends
    big = os.urandom(3_000_000)
    line.send({"n": 1}, big)
    line.send({"n": 2})
    assert line.wants_write
    taken = gevent.spawn(lambda: [end.receive(), end.receive()])

    def flushed() -> bool:
        line.flush()
        return not line.wants_write

    eventually(flushed)
    first, second = taken.get(timeout=5)
    assert (first.attached == big, second.message) == (True, {"n": 2})


def test_a_child_that_takes_nothing_costs_no_more_than_so_much(
    ends: tuple[Line, ChildEnd], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, _ = ends
    monkeypatch.setattr(channel, "MAX_BYTES", 2_000_000)
    with pytest.raises(ChannelError, match="at most 2000000"):
        line.send({}, bytes(2_000_001))
    for _ in range(2):
        line.send({}, bytes(900_000))
    assert line.wants_write
    with pytest.raises(ChannelError, match="wait to be taken"):
        line.send({}, bytes(1_900_000))


def test_the_end_of_one_is_news_to_the_other_and_no_error(ends: tuple[Line, ChildEnd]) -> None:
    line, end = ends
    end.send({"say": "last words"})
    end.close()
    line.receive()
    assert (list(line.inbox), line.ended) == ([{"say": "last words"}], True)
    line.send({"do": "anything"})
    assert not line.wants_write


def test_a_child_hears_that_the_supervisor_has_gone(ends: tuple[Line, ChildEnd]) -> None:
    line, end = ends
    line.send({"do": "last"})
    line.close()
    assert end.receive().message == {"do": "last"}
    with pytest.raises(EOFError):
        end.receive()
    with pytest.raises(ChannelError, match="cannot be told"):
        end.send({})


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!III", 2, 1, 0) + b"{}x",
        struct.pack("!III", 2, 0, 1) + b"{}",
        struct.pack("!III", 1 << 31, 0, 0),
        struct.pack("!III", 2, 0, 0) + b"[]",
        struct.pack("!III", 3, 0, 0) + b"{,}",
        struct.pack("!III", 2, 0, 0) + b"\xff\xff",
    ],
)
def test_what_is_no_message_of_a_child_is_refused(data: bytes, no_leaks: None) -> None:
    ours, theirs = pair()
    line = Line(ours)
    theirs.send(data)
    line.receive()
    assert (list(line.inbox), line.ended, line.complaint) == ([], True, "what was sent is no message")
    line.close()
    theirs.close()


def test_a_message_that_comes_in_pieces_is_read_whole(no_leaks: None) -> None:
    ours, theirs = pair()
    line = Line(ours)
    text = json.dumps({"say": "prepared"}).encode()
    data = struct.pack("!III", len(text), 0, 0) + text
    for at in range(len(data)):
        assert not line.inbox
        theirs.send(data[at : at + 1])
        line.receive()
    assert list(line.inbox) == [{"say": "prepared"}]
    line.close()
    theirs.close()

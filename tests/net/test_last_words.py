"""An end right behind the answer: both in one go, and nothing lost where it is not as expected."""

import socket
import struct

import gevent
import pytest

from linkerd_tcp.errors import Cause
from linkerd_tcp.net.duplex import Duplex, Limits
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.last_words import LOOKS, Habit, LastWords
from tests.leaks import no_leaks
from tests.net.relay import Relay
from tests.sockets import eventually, read_all, reset, tcp_pair

pytestmark = pytest.mark.usefixtures("no_leaks")
assert no_leaks


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relay, "short", True)


def test_an_answer_and_the_end_behind_it_come_in_one_wake_up() -> None:
    relay = Relay()
    turns = []
    half = relay.duplex.to_src
    assert isinstance(half, LastWords)
    # Both before the loop turns: what the kernel has then is an answer with the end behind it.
    relay.endpoint.send(b"answer")
    relay.endpoint.shutdown(socket.SHUT_WR)
    relay.client.settimeout(5)
    assert relay.client.recv(100) == b"answer"
    turns.append(half.ended)
    assert turns == [True], "it had ended when the first byte came"
    assert relay.client.recv(100) == b""
    relay.client.close()
    relay.endpoint.close()
    assert relay.cause() is Cause.ENDPOINT_CLOSED


def test_an_endpoint_that_has_ended_wakes_nobody_while_its_client_goes_on() -> None:
    relay = Relay()
    half = relay.duplex.to_src
    relay.endpoint.send(b"answer")
    relay.endpoint.shutdown(socket.SHUT_WR)
    assert read_all(relay.client) == b"answer"
    eventually(lambda: not half._reader.active)
    relay.client.sendall(b"and now")
    assert relay.endpoint.recv(100) == b"and now"
    relay.client.close()
    relay.endpoint.close()
    assert relay.cause() is Cause.ENDPOINT_CLOSED


def test_a_long_answer_is_whole_and_one_that_goes_on_is_looked_behind_twice_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = []
    before = LastWords._look
    monkeypatch.setattr(LastWords, "_look", lambda half, size: (looks.append(size), before(half, size))[1])
    relay = Relay()
    relay.client.settimeout(5)
    for n in range(5):
        relay.endpoint.sendall(b"%d" % n)
        assert relay.client.recv(100) == b"%d" % n
    assert len(looks) == LOOKS
    relay.endpoint.sendall(b"x" * 3_000_000)
    relay.endpoint.close()
    assert read_all(relay.client) == b"x" * 3_000_000
    relay.close()


def test_what_came_before_a_reset_is_delivered_and_then_the_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay()
    half = relay.duplex.to_src
    real = half._recv_into

    def and_then_reset(memory: memoryview) -> int:
        size = real(memory)
        half._recv_into = real
        reset(relay.endpoint)
        return size

    half._recv_into = and_then_reset  # between the answer and the look behind it
    relay.endpoint.send(b"part of an answer")
    relay.client.settimeout(5)
    assert relay.client.recv(100) == b"part of an answer"
    with pytest.raises(ConnectionResetError):
        relay.client.recv(100)
    assert relay.cause() is Cause.RESET
    relay.close()


def test_an_answer_is_delivered_before_the_reset_that_follows_when_the_endpoint_had_gone() -> None:
    """An endpoint that answers, says FIN and takes no more: its reset is passed on, but behind the answer."""
    for _ in range(20):
        relay = Relay()
        half = relay.duplex.to_src
        half._reader.stop()  # so that writing to the endpoint finds the reset before reading finds the answer
        relay.endpoint.send(b"answer")
        relay.endpoint.shutdown(socket.SHUT_WR)
        eventually(lambda sock=relay.dst: b"answer" in sock.recv(100, socket.MSG_PEEK))
        relay.duplex.to_dst.ended = True
        relay.src.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        half._reader.start(half._readable)
        relay.client.settimeout(5)
        assert relay.client.recv(100) == b"answer"
        with pytest.raises(ConnectionResetError):
            relay.client.recv(100)
        relay.close()


@pytest.mark.parametrize("end", ["fin", "reset"])
def test_a_slow_reader_gets_all_of_it_and_the_right_end(end: str) -> None:
    client, src = tcp_pair()
    endpoint, dst = tcp_pair()
    for sock in (client, src):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
    duplex = Duplex(src, dst, Buffer(1 << 20), Limits(), short=True)
    half = duplex.to_src
    real = half._recv_into

    def all_of_it(memory: memoryview) -> int:
        """One read that is more than the sink takes, and then the end."""
        size = real(memory)
        half._recv_into = real
        endpoint.shutdown(socket.SHUT_WR) if end == "fin" else reset(endpoint)
        return size

    half._recv_into = all_of_it
    endpoint.sendall(b"x" * 400_000)

    def run() -> Cause:
        try:
            return duplex.run()
        finally:
            src.close()
            dst.close()

    running = gevent.spawn(run)
    eventually(lambda: half.rest is not None)
    client.settimeout(5)
    if end == "fin":
        assert len(read_all(client)) == 400_000
    else:
        with pytest.raises(ConnectionResetError):
            read_all(client)
    client.close()
    endpoint.close()
    assert running.get(timeout=5) is (Cause.ENDPOINT_CLOSED if end == "fin" else Cause.RESET)


def test_a_habit_is_made_by_several_in_a_row_and_lost_again() -> None:
    habit = Habit()
    assert not habit.is_short
    for _ in range(4):
        assert not habit.is_short
        habit.note(True)
    assert habit.is_short
    for _ in range(100):
        habit.note(True)
    for _ in range(5):
        assert habit.is_short
        habit.note(False)
    assert not habit.is_short

"""Bulk goes through pipes: whichever bytes, pauses and ends, there are few pipes, and none where there is no splice."""

import errno
import fcntl
import os
import random
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias
from unittest.mock import patch

import gevent
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linkerd_tcp.errors import Cause
from linkerd_tcp.net import splice
from linkerd_tcp.net.half_duplex import BULK_READS, HalfDuplex
from linkerd_tcp.net.splice import MOST_PIPES, PIPE_BYTES, POOLED_PIPES, Pipe, Pipes
from tests.leaks import no_leaks
from tests.net.relay import Relay
from tests.sockets import eventually, read_all, reset, tcp_pair

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.skipif(not hasattr(os, "splice"), reason="splice(2) is Linux'"),
]
assert no_leaks

LARGE = 4096
"""What is large for a stream of `bulky`, in bytes."""


def open_pipes() -> int:
    return sum(1 for link in _links() if link.startswith("pipe:")) // 2


def _links() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue


@pytest.fixture
def bulky() -> Iterator[Relay]:
    """A stream for which LARGE bytes are large, so that bulk is soon there."""
    made = Relay(buffer_bytes=LARGE)
    yield made
    made.close()


def is_bulk(half: HalfDuplex) -> bool:
    return bool(half._reader.callback == half._splice)


def push_until_bulk(relay: Relay) -> None:
    def pushed() -> bool:
        relay.client.sendall(b"x" * LARGE * BULK_READS)
        assert relay.endpoint.recv(1 << 20)
        return is_bulk(relay.duplex.to_dst)

    eventually(pushed)


def read_exactly(sock: socket.socket, size: int) -> None:
    while size:
        size -= len(sock.recv(min(size, 65536)))


# Pipes


class Ends:
    """A client that says something, the socket it arrives at, one to pass it on by, and who listens there."""

    def __init__(self) -> None:
        self.client, self.source = tcp_pair()
        self.endpoint, self.sink = tcp_pair()

    def close(self) -> None:
        for sock in (self.client, self.source, self.endpoint, self.sink):
            sock.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_what_goes_into_a_pipe_comes_out_of_it(ends: Ends) -> None:
    pipe = Pipe(*os.pipe())
    with pytest.raises(BlockingIOError):
        pipe.fill(ends.source.fileno())
    ends.client.sendall(b"0123456789")
    assert pipe.fill(ends.source.fileno()) == pipe.held_bytes == 10
    assert pipe.drain(ends.sink.fileno()) == 10
    assert (ends.endpoint.recv(100), pipe.held_bytes) == (b"0123456789", 0)
    ends.client.shutdown(socket.SHUT_WR)
    assert pipe.fill(ends.source.fileno()) == 0


def test_what_a_full_sink_does_not_take_stays_in_the_pipe(ends: Ends) -> None:
    pipe = Pipe(*os.pipe())
    with suppress(BlockingIOError):
        while True:
            ends.sink.send(bytes(65536))
    ends.client.sendall(b"0123456789")
    pipe.fill(ends.source.fileno())
    assert (pipe.drain(ends.sink.fileno()), pipe.held_bytes) == (0, 10)


def test_an_empty_pipe_is_used_again_and_one_that_holds_something_is_closed() -> None:
    pipes = Pipes()
    pipe = pipes.take()
    assert pipe is not None
    pipes.give_back(pipe)
    assert pipes.take() is pipe
    pipe.held_bytes = 1
    pipes.give_back(pipe)
    before = open_pipes()
    del pipe
    assert open_pipes() == before - 1
    again = pipes.take()
    assert again is not None
    assert again.held_bytes == 0


def test_there_are_so_many_pipes_and_no_more_and_few_of_them_are_kept() -> None:
    pipes, before = Pipes(), open_pipes()
    taken = [pipes.take() for _ in range(MOST_PIPES + 1)]
    assert taken[-1] is None
    assert None not in taken[:-1]
    assert open_pipes() == before + MOST_PIPES
    while taken:
        pipe = taken.pop()
        if pipe is not None:
            pipes.give_back(pipe)
        del pipe
    assert open_pipes() == before + POOLED_PIPES
    again = [pipes.take() for _ in range(MOST_PIPES)]
    assert None not in again


@pytest.mark.parametrize(("limit", "most"), [(resource.RLIM_INFINITY, MOST_PIPES), (1024, 32), (256, 8), (16, 0)])
def test_pipes_are_at_most_a_sixteenth_of_the_descriptors(
    limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    pipes = Pipes()
    taken = [pipes.take() for _ in range(MOST_PIPES + 1)]
    assert sum(pipe is not None for pipe in taken) == most


def refuse(*_: Any, **__: Any) -> int:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_pipe_that_may_not_be_so_large_is_none_and_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pipes, before = Pipes(), open_pipes()
    with monkeypatch.context() as here:
        here.setattr(fcntl, "fcntl", refuse)
        assert [pipes.take() for _ in range(100)] == [None] * 100
        assert open_pipes() == before
    assert pipes.take() is not None


def test_without_descriptors_there_is_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe", pipe)
    assert Pipes().take() is None


# Streams


def test_a_stream_is_bulk_after_large_reads_in_a_row_and_no_longer_after_small_ones(bulky: Relay) -> None:
    half = bulky.duplex.to_dst
    bulky.client.sendall(b"x" * (LARGE - 1))
    read_exactly(bulky.endpoint, LARGE - 1)
    assert not is_bulk(half)
    push_until_bulk(bulky)
    eventually(lambda: half.rest is None)
    for _ in range(2 * BULK_READS):  # the end of the bulk may be among the first of them
        bulky.client.sendall(b"small")
        assert bulky.endpoint.recv(1 << 20)
    assert not is_bulk(half)
    assert not is_bulk(bulky.duplex.to_src)


def test_large_reads_with_a_small_one_between_are_not_in_a_row(bulky: Relay) -> None:
    for _ in range(3 * BULK_READS):
        for size in (LARGE, LARGE, LARGE, 1):
            bulky.client.send(b"x" * size)
            read_exactly(bulky.endpoint, size)
    assert bulky.duplex.to_dst._large_at, "none of these was large"
    assert not is_bulk(bulky.duplex.to_dst)


def test_a_stream_whose_reader_takes_all_owns_no_pipe(bulky: Relay) -> None:
    before = open_pipes()
    push_until_bulk(bulky)
    read_some = gevent.spawn(read_exactly, bulky.endpoint, 10_000_000)
    bulky.client.sendall(bytes(10_000_000))
    read_some.get(timeout=5)
    eventually(lambda: bulky.duplex.to_dst.rest is None)
    assert open_pipes() == before + 1
    pipe = bulky.buffer.pipes.take()
    assert pipe is not None
    assert open_pipes() == before + 1, "the one that it went through is free"
    bulky.buffer.pipes.give_back(pipe)


def stall(relay: Relay) -> int:
    """Push until the endpoint takes no more; how many bytes it took."""
    relay.endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    relay.client.settimeout(0.2)
    sent = 0
    with suppress(TimeoutError):
        for _ in range(1000):
            sent += relay.client.send(b"x" * 1_000_000)
    assert relay.duplex.to_dst.rest is not None
    return sent


def test_what_is_in_a_pipe_is_under_way_and_delivered(bulky: Relay) -> None:
    push_until_bulk(bulky)
    sent = stall(bulky)
    half = bulky.duplex.to_dst
    assert isinstance(half.rest, Pipe)
    assert 0 < half.rest.held_bytes <= 2 * PIPE_BYTES
    assert not bulky.duplex.is_quiet(half.last_at + 100)
    bulky.client.shutdown(socket.SHUT_WR)
    assert len(read_all(bulky.endpoint)) >= sent
    assert half.rest is None


def test_a_stream_that_is_cut_with_bytes_in_its_pipe_closes_it(bulky: Relay) -> None:
    before = open_pipes()
    push_until_bulk(bulky)
    stall(bulky)
    bulky.duplex.abort(Cause.CLOSED_BY_ADMIN)
    assert bulky.cause() is Cause.CLOSED_BY_ADMIN
    eventually(lambda: open_pipes() == before)


def test_streams_for_which_no_pipe_is_left_are_copied(bulky: Relay) -> None:
    taken = [bulky.buffer.pipes.take() for _ in range(MOST_PIPES)]
    assert None not in taken
    sent = random.Random(4).randbytes(3_000_000)
    writer = gevent.spawn(lambda: (bulky.client.sendall(sent), bulky.client.shutdown(socket.SHUT_WR)))
    assert read_all(bulky.endpoint) == sent
    writer.get(timeout=5)


@pytest.mark.parametrize("number", sorted(splice.UNSUPPORTED))
def test_where_there_is_no_splice_all_is_copied_for_good(
    bulky: Relay, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def unsupported(*_: Any, **__: Any) -> int:
        asked.append(1)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "splice", unsupported)
    sent = random.Random(5).randbytes(3_000_000)
    writer = gevent.spawn(lambda: (bulky.client.sendall(sent), bulky.client.shutdown(socket.SHUT_WR)))
    assert read_all(bulky.endpoint) == sent
    writer.get(timeout=5)
    assert len(asked) == 1
    assert bulky.buffer.pipes.take() is None


def test_a_system_without_splice_has_no_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "splice")
    assert Pipes().take() is None


# Any stream

Plan: TypeAlias = list[tuple[int, float | None]]
"""Sizes in bytes, and how many seconds of silence follow; None is not even a turn of the loop."""

plans: st.SearchStrategy[Plan] = st.lists(
    st.tuples(st.one_of(st.integers(1, 3000), st.integers(1, 300_000)), st.sampled_from([None, None, 0, 0.001])),
    max_size=12,
)
FLOOD: Plan = [(300_000, None)] * 12
NOISE = random.Random(6).randbytes(400_000)


def small_buffers(relay: Relay) -> None:
    for sock in (relay.client, relay.endpoint):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    for sink in (relay.src, relay.dst):
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)


def say(sock: socket.socket, plan: Plan) -> bytes:
    said = []
    for number, (size, pause) in enumerate(plan):
        said.append(NOISE[number * 977 :][:size])
        sock.sendall(said[-1])
        if pause is not None:
            gevent.sleep(pause)
    return b"".join(said)


def say_all(sock: socket.socket, plan: Plan) -> bytes:
    said = say(sock, plan)
    sock.shutdown(socket.SHUT_WR)
    return said


def read_slowly(sock: socket.socket, size: int, pause: float | None) -> tuple[bytes, bool]:
    """All that comes, and whether FIN came after it."""
    got = []
    try:
        while part := sock.recv(size):
            got.append(part)
            if pause is not None:
                gevent.sleep(pause)
    except ConnectionResetError:
        return b"".join(got), False
    return b"".join(got), True


@given(
    there=plans,
    back=plans,
    most=st.sampled_from([0, 1, 2, 2, 2]),
    pipe_bytes=st.sampled_from([4096, 65536, PIPE_BYTES]),
    pause=st.sampled_from([None, 0, 0.001]),
    small=st.booleans(),
)
@example(there=FLOOD, back=[(9, 0)] * 12, most=2, pipe_bytes=4096, pause=0, small=True)
@example(there=FLOOD, back=FLOOD, most=1, pipe_bytes=PIPE_BYTES, pause=0.001, small=True)
def test_whatever_is_said_arrives_both_ways(
    there: Plan, back: Plan, most: int, pipe_bytes: int, pause: float | None, small: bool
) -> None:
    relay = Relay(buffer_bytes=1024)
    relay.buffer.pipes._most = most
    if small:
        small_buffers(relay)
    ends = (relay.client, relay.endpoint)
    with patch.object(splice, "PIPE_BYTES", pipe_bytes):
        readers = [gevent.spawn(read_slowly, sock, 50_000, pause) for sock in ends]
        writers = [gevent.spawn(say_all, sock, plan) for sock, plan in zip(ends, (there, back), strict=True)]
        to_dst, to_src = (writer.get(timeout=20) for writer in writers)
        assert [reader.get(timeout=20) for reader in readers] == [(to_src, True), (to_dst, True)]
    assert relay.cause() in {Cause.CLIENT_CLOSED, Cause.ENDPOINT_CLOSED}
    assert (relay.duplex.rx_bytes, relay.duplex.tx_bytes) == (len(to_dst), len(to_src))
    assert relay.buffer.pipes._made == len(relay.buffer.pipes._empty), "every pipe was given back"
    relay.close()


@given(
    plan=plans,
    pipe_bytes=st.sampled_from([4096, PIPE_BYTES]),
    pause=st.sampled_from([None, 0, 0.001]),
    small=st.booleans(),
)
@example(plan=FLOOD, pipe_bytes=4096, pause=0, small=True)
@example(plan=FLOOD, pipe_bytes=PIPE_BYTES, pause=None, small=False)
def test_a_reset_comes_after_nothing_but_what_was_said(
    plan: Plan, pipe_bytes: int, pause: float | None, small: bool
) -> None:
    relay = Relay(buffer_bytes=1024)
    if small:
        small_buffers(relay)
    with patch.object(splice, "PIPE_BYTES", pipe_bytes):
        reader = gevent.spawn(read_slowly, relay.endpoint, 50_000, pause)
        said = say(relay.client, plan)
        reset(relay.client)
        got, in_order = reader.get(timeout=20)
    assert not in_order
    assert said.startswith(got)
    assert relay.cause() is Cause.RESET
    assert relay.buffer.pipes._made == len(relay.buffer.pipes._empty), "every pipe was given back"
    relay.close()

"""Bytes both ways, every way to end, and nothing left behind."""

import gc
import hashlib
import random
import socket
from collections.abc import Iterator
from time import monotonic

import gevent
import pytest

from linkerd_tcp.errors import Cause
from linkerd_tcp.net.duplex import PARTING_SECS, Duplex, Limits
from linkerd_tcp.net.half_duplex import Buffer, HalfDuplex
from linkerd_tcp.net.nursery import nursery
from linkerd_tcp.net.splice import Pipes
from tests.leaks import no_leaks
from tests.net.relay import Relay
from tests.sockets import eventually, read_all, reset, tcp_pair

pytestmark = pytest.mark.usefixtures("no_leaks")
assert no_leaks

KEEP_ALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


@pytest.fixture(autouse=True, params=["copied", "spliced", "short"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every promise is kept every way: here one is taken from the first byte to the last."""
    monkeypatch.setattr(Relay, "short", request.param == "short")
    if request.param == "copied":
        monkeypatch.setattr(Pipes, "take", lambda self: None)
    elif request.param == "spliced":
        monkeypatch.setattr(HalfDuplex, "_readable", HalfDuplex._splice)


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    yield made
    made.close()


def test_bytes_go_both_ways_and_are_counted_while_they_flow(relay: Relay) -> None:
    relay.client.sendall(b"question")
    assert relay.endpoint.recv(100) == b"question"
    relay.endpoint.sendall(b"the answer")
    assert relay.client.recv(100) == b"the answer"
    assert (relay.duplex.rx_bytes, relay.duplex.tx_bytes) == (8, 10)


def test_fin_from_the_client_is_passed_on_and_the_reply_still_comes(relay: Relay) -> None:
    relay.client.sendall(b"all of it")
    relay.client.shutdown(socket.SHUT_WR)
    assert read_all(relay.endpoint) == b"all of it"
    relay.endpoint.sendall(b"reply")
    relay.endpoint.close()
    assert read_all(relay.client) == b"reply"
    assert relay.cause() is Cause.CLIENT_CLOSED


def test_fin_from_the_endpoint_is_passed_on_and_the_client_may_go_on(relay: Relay) -> None:
    relay.endpoint.sendall(b"greeting")
    relay.endpoint.shutdown(socket.SHUT_WR)
    assert read_all(relay.client) == b"greeting"
    relay.client.sendall(b"late words")
    relay.client.close()
    assert read_all(relay.endpoint) == b"late words"
    assert relay.cause() is Cause.ENDPOINT_CLOSED


@pytest.mark.parametrize("age", ["young", "grown", "held back"])
def test_an_ended_stream_leaves_nothing_that_only_the_garbage_collector_finds(age: str) -> None:
    relay = Relay(Limits(idle_secs=3600, half_close_secs=60), late_options=([KEEP_ALIVE], [KEEP_ALIVE]))
    gc.disable()  # or a collection that happens to come would do what is looked for
    try:
        gc.collect()
        if age == "grown":
            eventually(lambda: relay.duplex._timer is not None, 5)
        if age == "held back":
            relay.endpoint.settimeout(0.2)
            with pytest.raises(TimeoutError):
                relay.endpoint.sendall(b"x" * 100_000_000)
        relay.client.close()
        relay.endpoint.close()
        relay.cause()
        del relay.duplex
        assert not any(isinstance(thing, HalfDuplex) for thing in gc.get_objects())
    finally:
        gc.enable()


def test_what_the_client_said_before_the_endpoint_was_connected_goes_there() -> None:
    relay = Relay(said_before=b"question")
    assert relay.endpoint.recv(100) == b"question"
    relay.close()


@pytest.mark.parametrize("gone", ["client", "endpoint", "both"])
def test_a_side_that_went_before_the_stream_began_ends_it(gone: str) -> None:
    client, src = tcp_pair()
    endpoint, dst = tcp_pair()
    client.sendall(b"x")
    for name, sock in (("client", client), ("endpoint", endpoint)):
        if gone in (name, "both"):
            reset(sock)
    duplex = Duplex(src, dst, Buffer(65536), Limits(half_close_secs=0.2))
    assert gevent.spawn(duplex.run).get(timeout=5) is Cause.RESET
    for sock in (client, endpoint, src, dst):
        sock.close()


def test_options_that_only_a_lasting_stream_needs_are_set_once_it_has_lasted() -> None:
    relay = Relay(Limits(idle_secs=3600), late_options=([KEEP_ALIVE], [KEEP_ALIVE]))
    for sock in (relay.src, relay.dst):
        assert sock.getsockopt(*KEEP_ALIVE[:2]) == 0
    for sock in (relay.src, relay.dst):
        eventually(lambda sock=sock: sock.getsockopt(*KEEP_ALIVE[:2]) == 1, 5)
    relay.close()


def test_a_stream_that_ends_early_leaves_the_nursery() -> None:
    relay = Relay(Limits(idle_secs=3600, half_close_secs=60))
    assert len(nursery()) == 1
    relay.close()
    assert len(nursery()) == 0


def test_a_long_limit_holds_for_a_stream_that_has_left_the_nursery() -> None:
    relay = Relay(Limits(idle_secs=2.5))
    assert relay.cause() is Cause.IDLE
    relay.close()


@pytest.mark.parametrize("side", ["client", "endpoint"])
def test_a_reset_ends_both_sides_as_a_reset(relay: Relay, side: str) -> None:
    other = relay.endpoint if side == "client" else relay.client
    reset(relay.client if side == "client" else relay.endpoint)
    with pytest.raises(ConnectionResetError):
        read_all(other)
    assert relay.cause() is Cause.RESET
    assert relay.duplex.detail is not None
    assert relay.duplex.detail.startswith(side)


@pytest.mark.parametrize("side", ["client", "endpoint"])
def test_a_reset_that_writing_finds_first_is_no_fin_to_the_other_side(relay: Relay, side: str) -> None:
    near, far = (relay.client, relay.endpoint) if side == "client" else (relay.endpoint, relay.client)
    far.send(b"x")  # all in one turn of the loop: this is read first, and sending it on meets the reset
    near.send(b"part of something")
    reset(near)
    with pytest.raises(ConnectionResetError):
        read_all(far)
    assert relay.cause() is Cause.RESET
    assert relay.duplex.detail is not None
    assert relay.duplex.detail.startswith(side)


def test_what_is_held_for_a_stopped_reader_of_an_endpoint_that_is_gone_is_not_held_for_ever() -> None:
    relay = Relay(Limits(half_close_secs=0.2))
    relay.endpoint.settimeout(0.2)
    relay.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    with pytest.raises(TimeoutError):
        relay.endpoint.sendall(b"x" * 100_000_000)
    reset(relay.endpoint)
    relay.client.send(b"y")
    assert relay.cause() is Cause.RESET, "that is what went wrong, and not that it took its time"
    relay.close()


def test_what_an_endpoint_said_before_it_reset_is_delivered(relay: Relay) -> None:
    relay.client.sendall(b"x" * 100_000)
    relay.endpoint.sendall(b"413 too large")
    relay.endpoint.close()  # with unread bytes: the kernel resets
    assert relay.client.recv(100) == b"413 too large"


def test_a_complete_reply_followed_by_a_reset_ends_with_fin(relay: Relay) -> None:
    relay.endpoint.sendall(b"complete")
    relay.endpoint.shutdown(socket.SHUT_WR)
    assert read_all(relay.client) == b"complete"
    reset(relay.endpoint)
    relay.client.sendall(b"unwanted")
    relay.greenlet.join(5)
    assert relay.cause() is Cause.ENDPOINT_CLOSED


@pytest.mark.parametrize("buffer_bytes", [1, 100, 65536])
def test_a_stopped_reader_stops_the_writer_and_loses_nothing(buffer_bytes: int) -> None:
    relay = Relay(buffer_bytes=buffer_bytes)
    # Left to itself the kernel would take tens of megabytes here, and a stopped reader stop no writer of fewer.
    relay.src.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
    for sock in (relay.client, relay.endpoint):
        sock.settimeout(30)  # for all that is sent, not for each piece
    size = {1: 40_000, 100: 16_000_000}.get(buffer_bytes, 30_000_000)
    sent = random.Random(1).randbytes(size)
    writer = gevent.spawn(lambda: (relay.client.sendall(sent), relay.client.shutdown(socket.SHUT_WR)))
    if buffer_bytes > 1:
        relay.endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        eventually(lambda: relay.duplex.to_dst.rest is not None)
        held = relay.duplex.rx_bytes
        gevent.sleep(0.05)  # the promise is that nothing happens meanwhile
        assert relay.duplex.rx_bytes == held
        assert not writer.ready()
    got = read_all(relay.endpoint)
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()
    relay.close()


def test_both_directions_at_once_lose_nothing() -> None:
    relay = Relay(buffer_bytes=4096)
    there, back = random.Random(2).randbytes(5_000_000), random.Random(3).randbytes(5_000_000)

    def exchange(sock: socket.socket, out: bytes) -> bytes:
        writer = gevent.spawn(lambda: (sock.sendall(out), sock.shutdown(socket.SHUT_WR)))
        received = read_all(sock)
        writer.get(timeout=5)
        return received

    client = gevent.spawn(exchange, relay.client, there)
    endpoint = gevent.spawn(exchange, relay.endpoint, back)
    assert endpoint.get(timeout=10) == there
    assert client.get(timeout=10) == back
    assert (relay.duplex.rx_bytes, relay.duplex.tx_bytes) == (len(there), len(back))
    relay.close()


def test_idle_connections_are_ended_and_busy_ones_are_not() -> None:
    relay = Relay(Limits(idle_secs=0.15))
    for _ in range(10):
        relay.client.sendall(b".")
        assert relay.endpoint.recv(1) == b"."
        gevent.sleep(0.03)
    assert not relay.greenlet.ready()
    assert relay.cause() is Cause.IDLE
    assert relay.duplex.detail == "no byte either way for 0.15 s (idleTimeoutMs)"
    assert read_all(relay.client) == b""
    relay.close()


@pytest.mark.parametrize(("ended", "silent"), [("client", "endpoint"), ("endpoint", "client")])
def test_half_closed_and_silent_is_ended_by_its_own_limit(ended: str, silent: str) -> None:
    relay = Relay(Limits(idle_secs=60, half_close_secs=0.1))
    getattr(relay, ended).shutdown(socket.SHUT_WR)
    assert relay.cause() is Cause.HALF_CLOSE
    assert relay.duplex.detail == (
        f"the {ended} had ended its side, and the {silent} was silent for 0.1 s (halfCloseTimeoutMs)"
    )
    relay.close()


def test_half_closed_and_talking_goes_on() -> None:
    relay = Relay(Limits(half_close_secs=0.2))
    relay.client.shutdown(socket.SHUT_WR)
    for _ in range(10):
        relay.endpoint.sendall(b".")
        gevent.sleep(0.04)
    relay.endpoint.close()
    assert read_all(relay.client) == b"." * 10
    assert relay.cause() is Cause.CLIENT_CLOSED
    relay.close()


def test_a_lifetime_ends_with_fin_and_not_between_request_and_response() -> None:
    relay = Relay(Limits(lifetime_secs=0.1, lifetime_grace_secs=30))
    relay.client.sendall(b"request")
    assert relay.endpoint.recv(100) == b"request"
    gevent.sleep(0.3)
    assert not relay.greenlet.ready(), "a request is under way"
    relay.endpoint.sendall(b"response")
    assert read_all(relay.client) == b"response"
    assert read_all(relay.endpoint) == b""
    assert relay.cause() is Cause.LIFETIME
    assert relay.duplex.detail == "at a quiet moment"
    relay.close()


def test_a_request_in_the_same_turn_as_the_answer_before_it_is_under_way() -> None:
    relay = Relay(Limits(lifetime_secs=0.1, lifetime_grace_secs=30))
    relay.endpoint.send(b"answer to the first")
    relay.client.send(b"second")
    assert relay.client.recv(100) == b"answer to the first"
    assert relay.endpoint.recv(100) == b"second"
    assert relay.duplex.to_dst.last_at == relay.duplex.to_src.last_at
    gevent.sleep(0.3)
    assert not relay.duplex._parting
    relay.endpoint.sendall(b"answer to the second")
    assert read_all(relay.client) == b"answer to the second"
    relay.close()
    assert relay.cause() is Cause.LIFETIME


@pytest.mark.parametrize("speaker", [None, "endpoint"])
def test_a_client_that_never_said_a_byte_has_nothing_under_way(speaker: str | None) -> None:
    relay = Relay(Limits(lifetime_secs=0.1, lifetime_grace_secs=30))
    if speaker == "endpoint":
        relay.endpoint.sendall(b"greeting")
    assert read_all(relay.client) == (b"greeting" if speaker else b"")
    relay.close()
    assert relay.cause() is Cause.LIFETIME


def test_a_busy_stream_that_is_to_end_when_quiet_is_not_cut_by_the_grace_of_its_lifetime() -> None:
    relay = Relay(Limits(lifetime_grace_secs=0))
    relay.client.sendall(b"request")
    assert relay.endpoint.recv(100) == b"request"
    relay.duplex.end_when_quiet(Cause.SHUTDOWN)
    gevent.sleep(0.2)  # the promise is that nothing happens meanwhile
    assert not relay.greenlet.ready()
    relay.endpoint.sendall(b"response")
    assert read_all(relay.client) == b"response"
    relay.close()
    assert relay.cause() is Cause.SHUTDOWN


def test_a_request_that_has_come_and_was_not_read_yet_is_under_way(relay: Relay) -> None:
    relay.client.sendall(b"question")
    assert relay.endpoint.recv(100) == b"question"
    relay.endpoint.sendall(b"answer")
    assert relay.client.recv(100) == b"answer"
    loop = gevent.get_hub().loop
    eventually(lambda: relay.duplex.is_quiet(loop.now()))
    relay.client.send(b"next")  # and the loop has had no turn since
    assert not relay.duplex.is_quiet(loop.now())


def test_a_lifetime_that_finds_no_quiet_moment_is_cut_after_its_grace() -> None:
    relay = Relay(Limits(lifetime_secs=0.05, lifetime_grace_secs=0.2))
    relay.client.sendall(b"a request that is never answered")
    began = monotonic()
    assert relay.cause() is Cause.LIFETIME
    assert monotonic() - began >= 0.2
    assert relay.duplex.detail == "it never came to rest, and was cut after the grace"
    relay.close()


def test_a_side_that_ignores_our_fin_is_closed_a_second_later() -> None:
    relay = Relay(Limits(lifetime_secs=0.01))
    began = monotonic()
    assert relay.cause() is Cause.LIFETIME
    assert PARTING_SECS <= monotonic() - began < PARTING_SECS + 1
    relay.close()


@pytest.mark.parametrize("by_reset", [False, True])
def test_abort_ends_both_sides_at_once(relay: Relay, by_reset: bool) -> None:
    relay.duplex.abort(Cause.CLOSED_BY_ADMIN, reset=by_reset)
    assert relay.cause() is Cause.CLOSED_BY_ADMIN
    for sock in (relay.client, relay.endpoint):
        if by_reset:
            with pytest.raises(ConnectionResetError):
                read_all(sock)
        else:
            assert read_all(sock) == b""
    relay.duplex.abort(Cause.OTHER)
    assert relay.duplex.cause is Cause.CLOSED_BY_ADMIN


def test_many_small_messages_keep_their_order(relay: Relay) -> None:
    messages = [b"%06d" % number for number in range(20_000)]
    writer = gevent.spawn(lambda: [relay.client.send(message) for message in messages])
    expected = b"".join(messages)
    got = b""
    while len(got) < len(expected):
        got += relay.endpoint.recv(65536)
    assert got == expected
    writer.get(timeout=5)

"""First bytes are looked at and stay; no silence, drip or end makes it spin or hang."""

import socket
from _socket import SO_RCVLOWAT, SOL_SOCKET
from collections.abc import Iterator
from time import monotonic, thread_time

import gevent
import pytest

from linkerd_tcp.net.peek import peek
from linkerd_tcp.wire.parsing import Incomplete, WireError
from tests.leaks import no_leaks
from tests.sockets import reset, tcp_pair

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

LENGTH = 300


def counted(data: bytes) -> bytes | Incomplete:
    """A message of 300 bytes."""
    if data[:1] == b"!":
        raise WireError(0, "anything else", "!")
    return data[:LENGTH] if len(data) >= LENGTH else Incomplete(LENGTH)


@pytest.fixture
def pair(no_leaks: None) -> Iterator[tuple[socket.socket, object]]:
    client, accepted = tcp_pair()
    yield client, accepted
    client.close()
    accepted.close()


def test_a_message_is_seen_whole_and_stays_in_the_socket(pair) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    client.sendall(b"x" * LENGTH + b"more")
    assert peek(accepted, counted, monotonic() + 2, 4096).message == b"x" * LENGTH
    assert accepted.recv(4096) == b"x" * LENGTH + b"more"
    assert accepted.getsockopt(SOL_SOCKET, SO_RCVLOWAT) == 1


def test_byte_by_byte_costs_few_wake_ups(pair) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    looks: list[int] = []

    def look(data: bytes) -> bytes | Incomplete:
        looks.append(len(data))
        return counted(data)

    def drip() -> None:
        for _ in range(LENGTH):
            client.send(b"x")
            gevent.sleep(0)

    dripping = gevent.spawn(drip)
    assert peek(accepted, look, monotonic() + 5, 4096).message == b"x" * LENGTH
    dripping.get(timeout=2)
    assert len(looks) <= 4
    client.sendall(b"s")
    with gevent.Timeout(2):
        gevent.socket.wait_read(accepted.fileno())


@pytest.mark.parametrize("sent", [b"", b"short"])
def test_an_end_below_the_mark_is_an_end_and_no_busy_loop(pair, sent: bytes) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    client.sendall(sent)
    gevent.spawn_later(0.05, client.shutdown, socket.SHUT_WR)
    used = thread_time()
    peeked = peek(accepted, counted, monotonic() + 2, 4096)
    assert (peeked.message, peeked.seen, peeked.ended) == (None, sent, True)
    assert thread_time() - used < 0.05
    assert accepted.getsockopt(SOL_SOCKET, SO_RCVLOWAT) == 1


def test_silence_ends_at_the_deadline(pair) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    client.sendall(b"some")
    began = monotonic()
    peeked = peek(accepted, counted, began + 0.1, 4096)
    assert (peeked.message, peeked.seen, peeked.ended) == (None, b"some", False)
    assert 0.1 <= monotonic() - began < 1


def test_more_than_the_bound_is_not_waited_for(pair) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    client.sendall(b"x" * 50)
    assert peek(accepted, counted, monotonic() + 5, 100).message is None


def test_what_cannot_be_valid_is_said_at_once(pair) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    client.sendall(b"!")
    with pytest.raises(WireError):
        peek(accepted, counted, monotonic() + 5, 4096)


def test_a_reset_behind_some_bytes_is_an_end(pair) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    client.sendall(b"x")
    gevent.spawn_later(0.02, reset, client)
    assert peek(accepted, counted, monotonic() + 5, 4096).ended


def test_a_reset_is_an_error(pair) -> None:  # type: ignore[no-untyped-def]
    client, accepted = pair
    gevent.spawn_later(0.02, reset, client)
    with pytest.raises(ConnectionResetError):
        peek(accepted, counted, monotonic() + 5, 4096)

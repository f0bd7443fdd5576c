"""Steps that move bytes, over loopback sockets of this process: the other ends are in the price."""

import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import gevent
import pytest

from linkerd_tcp.net.duplex import Duplex, Limits
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.record import Record
from tests.rig import WEB, Endpoint, Rig, addresses
from tests.sockets import tcp_pair


@pytest.fixture
def rig() -> Iterator[Rig]:
    endpoint = Endpoint()
    made = Rig(addresses(endpoint.port))
    yield made
    made.close()
    endpoint.close()


@pytest.mark.parametrize("size_bytes", [100, 65536])
def test_relay_wake_up(benchmark: Any, size_bytes: int) -> None:
    """From send on one side to all of it received on the other: one turn of the loop, and a greenlet's wait for it."""
    client, src = tcp_pair()
    endpoint, dst = tcp_pair()
    relay = gevent.spawn(Duplex(src, dst, Buffer(65536), Limits(idle_secs=600)).run)
    data = bytes(size_bytes)

    def once() -> int:
        client.sendall(data)
        left = size_bytes
        while left:
            left -= len(endpoint.recv(left))
        return left

    assert benchmark(once) == 0
    client.close()
    endpoint.close()
    relay.join(5)
    src.close()
    dst.close()


def test_route_pick_and_dial(benchmark: Any, rig: Rig) -> None:
    """What the router does for a connection to a name that is bound."""

    def once() -> None:
        record = Record(1, "default", "127.0.0.1:7474", ("127.0.0.1", 50112))
        record.identified_at = monotonic()
        rig.router.connect(WEB, record, monotonic() + 5).close()

    benchmark(once)


def test_one_whole_connection(benchmark: Any, rig: Rig) -> None:
    """Connect, one small question and its answer, FIN both ways."""

    def once() -> bytes:
        with socket.create_connection(rig.server.local, timeout=5) as client:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
            assert client.recv(100) == b""
        return answer

    assert benchmark(once) == b"question"

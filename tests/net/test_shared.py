"""Listeners for several processes: a port that is taken is refused, and each process gets its share."""

import os
import socket
from collections import Counter

import pytest

from linkerd_tcp.errors import StartError
from linkerd_tcp.net.listener import bind
from linkerd_tcp.net.shared import claim, listen_unix


def test_each_of_them_gets_its_share_of_connections() -> None:
    listeners = claim("127.0.0.1", 0, 4096, "port", 4)
    address = listeners[0].getsockname()
    assert {each.getsockname() for each in listeners} == {address}
    clients = [socket.create_connection(address) for _ in range(2000)]
    counted: Counter[int] = Counter()
    for at, each in enumerate(listeners):
        try:
            while True:
                os.close(each._accept()[0])
                counted[at] += 1
        except BlockingIOError:
            each.close()
    for client in clients:
        client.close()
    assert sum(counted.values()) == 2000
    assert min(counted.values()) > 350  # seven standard deviations below 500
    assert max(counted.values()) < 650


@pytest.mark.parametrize("number", [1, 3])
def test_a_port_that_is_shared_already_is_refused_and_named(number: int) -> None:
    listeners = claim("127.0.0.1", 0, 16, "port", number)
    port = listeners[0].getsockname()[1]
    with pytest.raises(StartError, match=rf"^routers\[0\]: cannot listen on 127\.0\.0\.1:{port}: the port is taken"):
        claim("127.0.0.1", port, 16, "routers[0]", 3)
    with pytest.raises(StartError, match="the port is taken"):
        bind("127.0.0.1", port, 16, "port")
    for each in listeners:
        each.close()


def test_a_port_that_another_shares_with_whoever_comes_is_refused_too() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StartError, match="the port is taken"):
            claim("127.0.0.1", other.getsockname()[1], 16, "port", 2)


def test_ipv6_is_shared_as_well() -> None:
    listeners = claim("::1", 0, 16, "port", 2)
    assert len({each.getsockname() for each in listeners}) == 1
    for each in listeners:
        each.close()


def test_a_unix_listener_that_cannot_be_made_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        listen_unix("/nowhere/at/all", 16)
    assert len(os.listdir("/proc/self/fd")) == before

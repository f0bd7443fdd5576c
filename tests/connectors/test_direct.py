import _socket
import gc
import os
import resource
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import greenlet
import pytest

from linkerd_tcp.connectors.connector import Abandoned, ConnectFailed, Target
from linkerd_tcp.connectors.direct import DirectConnector
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.addr import Address

from .listeners import Backend, Refusing, Silent, eventually

BARE = SimpleNamespace(no_delay=False, keep_alive=None, user_timeout_ms=0)
FULL = SimpleNamespace(
    no_delay=True, keep_alive=SimpleNamespace(idle_secs=61, interval_secs=11, count=7), user_timeout_ms=9_000
)
Opened = Callable[[Any], Any]


def target(address: Address, *, near: bool = True) -> Target:
    made = Target(address)
    made.near = made.near and near
    return made


@pytest.mark.parametrize("near", [True, False], ids=["at once", "by watcher"])
def test_a_connected_socket_is_non_blocking_and_closed_on_exec(opened: Opened, near: bool) -> None:
    backend = opened(Backend())
    sock = opened(DirectConnector(BARE).connect(target(backend.address, near=near), 1.0))
    assert sock.getpeername() == ("127.0.0.1", backend.port)
    assert sock.gettimeout() == 0.0
    assert not os.get_inheritable(sock.fileno())
    assert type(sock) is _socket.socket
    eventually(lambda: backend.accepts == 1)


def test_an_ipv6_address_is_connected_to(opened: Opened) -> None:
    listener = opened(socket.socket(socket.AF_INET6))
    listener.bind(("::1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    sock = opened(DirectConnector(BARE).connect(target(Address("::1", port)), 1.0))
    assert sock.getpeername()[:2] == ("::1", port)


def test_every_socket_option_is_set_or_left_for_the_connection_that_lasts(opened: Opened) -> None:
    reached = target(opened(Backend()).address)
    sock = opened(DirectConnector(FULL).connect(reached, 1.0))
    assert sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY) == 1
    assert sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_USER_TIMEOUT) == 9_000
    assert sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE) == 0
    for level, option, value in reached.late_options:
        sock.setsockopt(level, option, value)
    assert sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE) == 1
    values = [
        sock.getsockopt(_socket.IPPROTO_TCP, option)
        for option in (_socket.TCP_KEEPIDLE, _socket.TCP_KEEPINTVL, _socket.TCP_KEEPCNT)
    ]
    assert values == [61, 11, 7]


def test_no_option_is_set_that_was_not_asked_for(opened: Opened) -> None:
    sock = opened(DirectConnector(BARE).connect(target(opened(Backend()).address), 1.0))
    assert sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY) == 0
    assert sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE) == 0


@pytest.mark.parametrize("near", [True, False], ids=["at once", "by watcher"])
def test_a_refusal_is_said(opened: Opened, near: bool) -> None:
    refusing = opened(Refusing())
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{refusing.port}: connection refused") as failed:
        DirectConnector(FULL).connect(target(refusing.address, near=near), 1.0)
    assert failed.value.cause is Cause.REFUSED


def test_no_answer_is_a_timeout_after_the_time_given(opened: Opened) -> None:
    begun = time.monotonic()
    with pytest.raises(ConnectFailed, match="no answer in time") as failed:
        DirectConnector(FULL).connect(target(opened(Silent()).address), 0.05)
    assert failed.value.cause is Cause.TIMEOUT
    assert 0.045 <= time.monotonic() - begun < 1.0


def test_an_unreachable_network_is_said() -> None:
    with pytest.raises(ConnectFailed) as failed:
        DirectConnector(BARE).connect(target(Address("255.255.255.255", 9)), 1.0)
    assert failed.value.cause is Cause.UNREACHABLE


def test_others_run_while_a_connect_is_in_progress(opened: Opened) -> None:
    parked = gevent.spawn(attempt, target(opened(Silent()).address), 0.1)
    turns = 0
    while not parked.ready():
        gevent.sleep(0.001)
        turns += 1
    assert turns > 3
    assert parked.value.cause is Cause.TIMEOUT


def attempt(to: Target, timeout_secs: float = 30.0) -> _socket.socket | ConnectFailed:
    try:
        return DirectConnector(BARE).connect(to, timeout_secs)
    except ConnectFailed as failed:
        return failed


def test_abandoning_a_target_ends_every_connect_to_it(opened: Opened) -> None:
    to = target(opened(Silent()).address)
    parked = [gevent.spawn(attempt, to) for _ in range(3)]
    eventually(lambda: to.attempts is not None and len(to.attempts) == 3)
    to.abandon()
    to.abandon()
    gevent.joinall(parked, timeout=1.0)
    assert all(isinstance(one.value, Abandoned) for one in parked)
    assert not to.attempts


def test_a_target_can_be_abandoned_from_the_hub_and_without_attempts(opened: Opened) -> None:
    to = target(opened(Silent()).address)
    to.abandon()
    parked = gevent.spawn(attempt, to)
    eventually(lambda: to.attempts)
    gevent.get_hub().loop.run_callback(to.abandon)
    parked.join(1.0)
    assert isinstance(parked.value, Abandoned)


def test_killing_a_parked_greenlet_leaves_nothing(opened: Opened) -> None:
    to = target(opened(Silent()).address)
    parked = gevent.spawn(attempt, to)
    eventually(lambda: to.attempts)
    parked.kill()
    assert not to.attempts


def test_a_timeout_of_the_caller_leaves_nothing(opened: Opened) -> None:
    to = target(opened(Silent()).address)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
        DirectConnector(BARE).connect(to, 30.0)
    assert not to.attempts


def test_abandoned_and_killed_in_one_turn_resumes_the_greenlet_once(opened: Opened) -> None:
    to = target(opened(Silent()).address)
    resumed: list[str] = []

    def connect_then_park() -> None:
        try:
            DirectConnector(BARE).connect(to, 30.0)
        except gevent.GreenletExit:
            resumed.append("killed")
        except Abandoned:
            resumed.append("abandoned")
        # A wake-up left over from the connect would end this wait at once.
        gevent.get_hub().switch()
        resumed.append("stray")

    parked = gevent.spawn(connect_then_park)
    eventually(lambda: to.attempts)
    # The kill is queued before the abort: it is delivered first, and the abort's own wake-up must be withdrawn.
    parked.kill(block=False)
    to.abandon()
    eventually(lambda: resumed)
    gevent.sleep(0.01)
    assert resumed == ["killed"]
    parked.kill()


def test_a_stray_wake_up_does_not_end_the_wait(opened: Opened) -> None:
    to = target(opened(Silent()).address)
    parked = gevent.spawn(attempt, to, 0.1)
    eventually(lambda: to.attempts)
    gevent.get_hub().loop.run_callback(parked.switch)
    gevent.sleep(0.01)
    assert to.attempts
    parked.join(1.0)
    assert parked.value.cause is Cause.TIMEOUT


def test_it_works_in_a_raw_greenlet(opened: Opened) -> None:
    backend = opened(Backend())
    results: list[Any] = []
    to = target(backend.address, near=False)
    gevent.get_hub().loop.run_callback(
        greenlet.greenlet(lambda: results.append(attempt(to, 1.0)), gevent.get_hub()).switch
    )
    eventually(lambda: results)
    opened(results.pop()).getpeername()


def test_running_out_of_descriptors_is_a_limit_and_says_what_to_do(opened: Opened) -> None:
    to = target(opened(Backend()).address)
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        failed = attempt(to)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(failed, ConnectFailed)
    assert failed.cause is Cause.LIMIT
    assert "ulimit -n" in str(failed)
    assert not failed.elsewhere


def test_a_connection_to_itself_counts_as_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    with Refusing().socket as reserved:
        address = Address("127.0.0.1", reserved.getsockname()[1])
    made = _socket.socket

    def bound_to_the_port_it_dials(family: int, kind: int, proto: int) -> _socket.socket:
        sock = made(family, kind, proto)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", address.port))
        return sock

    monkeypatch.setattr(_socket, "socket", bound_to_the_port_it_dials)
    failed = attempt(target(address))
    monkeypatch.undo()
    assert isinstance(failed, ConnectFailed)
    assert failed.cause is Cause.REFUSED
    assert "itself" in str(failed)


def test_an_option_that_cannot_be_set_closes_the_socket(opened: Opened) -> None:
    connector = DirectConnector(BARE)
    connector._options = ((_socket.IPPROTO_TCP, 9_999, 1),)
    with pytest.raises(ConnectFailed, match="ENOPROTOOPT"):
        connector.connect(target(opened(Backend()).address), 1.0)

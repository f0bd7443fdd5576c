from collections.abc import Callable
from typing import Any

import gevent
import pytest

from linkerd_tcp.balancers import pool
from linkerd_tcp.naming.addr import PENDING
from tests.connectors.listeners import Backend, Refusing, eventually

from .bench import Bench, bound, weighted

Opened = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SWEEP_SECS", 0.02)
    monkeypatch.setattr(pool, "FIRST_BACKOFF_SECS", 0.01)


def ready(bench: Bench) -> int:
    return 0 if bench.balancer._pool is None else len(bench.balancer._pool)


def test_min_connections_are_kept_ready_and_replaced_when_taken(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(bound(backend), min_connections=3))
    eventually(lambda: backend.accepts == 3 == ready(bench))
    record = bench.record()
    sock, endpoint = bench.balancer.connect(record, bench.clock() + 1, bench.clock() + 1)
    opened(sock)
    assert backend.accepts == 3, "a ready connection was used"
    assert [tried.endpoint for tried in record.attempts] == [endpoint.text]
    assert endpoint.open == 3
    eventually(lambda: backend.accepts == 4 and ready(bench) == 3)
    assert (bench.balancer.counts().open, bench.balancer.idle) == (4, False)
    bench.balancer.release(endpoint)
    assert (bench.balancer.counts().open, bench.balancer.idle) == (3, True)


def test_it_never_holds_more_than_its_size(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(bound(backend), min_connections=2))
    for _ in range(20):
        bench.connect()
        gevent.sleep(0.002)
        assert ready(bench) <= 2
    assert len(backend.connections) <= 2 + 20


def test_ready_connections_are_spread_by_weight(opened: Opened) -> None:
    first, second, third = opened(Backend()), opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(first, second, weighted(third, 0.0)), min_connections=6))
    eventually(lambda: ready(bench) == 6)
    eventually(lambda: first.accepts + second.accepts == 6)
    assert third.accepts == 0
    assert abs(first.accepts - second.accepts) <= 2


@pytest.mark.parametrize("greeting", [b"", b"220 hello\r\n"], ids=["silent", "server-first"])
def test_a_connection_that_its_endpoint_has_closed_is_not_given_out(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr(pool, "SWEEP_SECS", 60)
    backend = opened(Backend(greeting))
    bench = opened(Bench(bound(backend), min_connections=2))
    eventually(lambda: len(backend.connections) == 2 == ready(bench))
    for connection in backend.connections:
        connection.close()
    gevent.sleep(0.005)
    sock, endpoint = bench.balancer.connect(None, bench.clock() + 1, bench.clock() + 1)
    opened(sock)
    eventually(lambda: backend.accepts == 3)
    assert sock.getsockname() == backend.connections[2].getpeername()
    assert endpoint.open == 1
    bench.balancer.release(endpoint)


def test_bytes_of_a_server_that_speaks_first_wait_for_the_client(opened: Opened) -> None:
    backend = opened(Backend(b"220 hello\r\n"))
    bench = opened(Bench(bound(backend), min_connections=1))
    eventually(lambda: ready(bench) == 1 and backend.connections)
    gevent.sleep(0.005)
    sock, endpoint = bench.balancer.connect(None, bench.clock() + 1, bench.clock() + 1)
    opened(sock)
    assert sock.recv(100) == b"220 hello\r\n"
    bench.balancer.release(endpoint)


def test_closed_ones_are_replaced_with_no_traffic_and_no_dialling_in_a_loop(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SWEEP_SECS", 0.05)
    backend = opened(Backend(hang_up=True))
    opened(Bench(bound(backend), min_connections=1))
    eventually(lambda: backend.accepts >= 3)
    seen = backend.accepts
    gevent.sleep(0.1)  # Two sweeps; what is to be shown is that little happens.
    assert backend.accepts - seen <= 20


def test_they_are_dropped_when_their_endpoint_is_removed_and_it_is_never_dialled_again(opened: Opened) -> None:
    removed, backend = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(removed), min_connections=2))
    eventually(lambda: removed.accepts == 2 == ready(bench))
    bench.var.set(bound(backend))
    assert bench.state(removed.address) is None
    eventually(lambda: backend.accepts == 2 == ready(bench))
    for connection in removed.connections:
        assert connection.recv(1) == b""
    assert removed.accepts == 2


def test_they_are_dropped_when_their_endpoint_is_drained_or_loses_its_weight(opened: Opened) -> None:
    first, second = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(first, weighted(second, 0.0)), min_connections=2))
    eventually(lambda: first.accepts == 2 == ready(bench))
    bench.var.set(bound(first, second))
    bench.balancer.drain(str(first.address))
    assert bench.endpoint(first.address).open == 0
    eventually(lambda: second.accepts == 2 == ready(bench))
    bench.var.set(bound(weighted(second, 0.0)))
    assert bench.endpoint(second.address).open == 0


def test_they_are_dropped_when_their_endpoint_has_failed(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(bound(backend), min_connections=1, max_failures=1, max_attempts=1))
    eventually(lambda: ready(bench) == 1)
    sock, endpoint = bench.balancer.connect(None, bench.clock() + 1, bench.clock() + 1)
    opened(sock)
    eventually(lambda: ready(bench) == 1)
    backend.listener.close()
    backend._acceptor.kill()
    while bench.state(backend.address) != "failed":
        sock_or_failure = bench.spawn()
        sock_or_failure.join(2.0)
    assert ready(bench) == 0
    assert endpoint.open == 1
    bench.balancer.release(endpoint)


def test_a_failed_endpoint_is_tried_again_although_connections_are_ready(opened: Opened) -> None:
    refusing, backend = Refusing(), opened(Backend())
    bench = opened(Bench(bound(refusing, backend), min_connections=2, max_failures=1))
    eventually(lambda: bench.state(refusing.address) == "failed" and ready(bench) == 2)
    refusing.close()
    back = opened(Backend(port=refusing.port))
    assert bench.connect().text == str(backend.address)
    eventually(lambda: ready(bench) == 2)
    bench.ahead += 60
    assert bench.connect().text == str(back.address)


def test_failing_endpoints_are_dialled_ever_more_rarely(opened: Opened) -> None:
    refusing = opened(Refusing())
    bench = opened(Bench(bound(refusing), min_connections=5, max_failures=1000))
    eventually(lambda: bench.figures.attempts >= 2)
    gevent.sleep(0.1)
    # 10, 20, 40, 80 ms: a loop would have made thousands.
    assert bench.figures.attempts <= 20


def test_it_begins_when_the_addresses_become_known(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FIRST_BACKOFF_SECS", 60)
    backend = opened(Backend())
    bench = opened(Bench(PENDING, min_connections=1))
    gevent.sleep(0)
    bench.var.set(bound(backend))
    eventually(lambda: backend.accepts == 1)


def test_closing_ends_the_greenlet_and_the_connections(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(bound(backend), min_connections=2))
    eventually(lambda: backend.accepts == 2 == ready(bench))
    assert bench.balancer._pool is not None
    filler = bench.balancer._pool._filler
    bench.balancer.close()
    eventually(filler.ready)
    assert (ready(bench), bench.balancer.counts().open) == (0, 0)
    assert filler.successful()

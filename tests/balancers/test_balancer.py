import gc
import resource
from collections import Counter
from collections.abc import Callable
from time import time
from typing import Any

import gevent
import pytest

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.naming.addr import NEG, PENDING, Address, Bound, Failed
from linkerd_tcp.naming.watch import Var
from tests.connectors.listeners import Backend, Refusing, Silent, eventually

from .bench import Bench, bound, weighted

Opened = Callable[[Any], Any]


# -- connecting


def test_a_connection_goes_to_an_endpoint_and_is_written_down(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(bound(backend)))
    record = bench.record()
    sock, endpoint = bench.balancer.connect(record, bench.clock() + 1, bench.clock() + 1)
    opened(sock)
    assert sock.getpeername() == ("127.0.0.1", backend.port)
    assert [(tried.endpoint, tried.error) for tried in record.attempts] == [(endpoint.text, None)]
    assert bench.balancer.counts() == (1, 0, 0, 1, 0)
    assert not bench.balancer.idle
    bench.balancer.release(endpoint)
    assert bench.balancer.counts() == (1, 0, 0, 0, 0)
    assert bench.balancer.idle
    figures = bench.figures
    assert (figures.attempts, figures.connects, sum(figures.connect_latency.counts), figures.waiters) == (1, 1, 1, 0)


def test_connections_are_spread(opened: Opened) -> None:
    backends = [opened(Backend()) for _ in range(3)]
    bench = opened(Bench(bound(*backends)))
    got = Counter(bench.connect().text for _ in range(300))
    assert len(got) == 3
    assert min(got.values()) > 60


def test_open_connections_weigh(opened: Opened) -> None:
    backends = [opened(Backend()) for _ in range(3)]
    bench = opened(Bench(bound(*backends)))
    now = bench.clock()
    held = [bench.balancer.connect(None, now + 5, now + 5) for _ in range(60)]
    for sock, _ in held:
        opened(sock)
    got = Counter(endpoint.text for _, endpoint in held)
    assert max(got.values()) - min(got.values()) <= 4


@pytest.mark.parametrize("endpoints", [1, 2])
def test_a_failed_connection_leaves_nothing_that_only_the_garbage_collector_finds(
    opened: Opened, endpoints: int
) -> None:
    bench = opened(Bench(bound(*(opened(Refusing()) for _ in range(endpoints)))))
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(ConnectionFailed):
                bench.connect()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_refused_connection_is_tried_at_another_endpoint_and_both_are_in_the_record(opened: Opened) -> None:
    refusing, backend = opened(Refusing()), opened(Backend())
    bench = opened(Bench(bound(refusing, backend), max_failures=1000))
    errors: set[tuple[Cause | None, ...]] = set()
    for _ in range(50):
        record = bench.record()
        assert bench.connect(record).text == str(backend.address)
        errors.add(tuple(tried.error for tried in record.attempts))
    assert errors == {(None,), (Cause.REFUSED, None)}
    assert bench.figures.connect_failures[Cause.REFUSED] == bench.endpoint(refusing.address).failures > 10
    assert "connection refused" in bench.endpoint(refusing.address).last_error
    assert bench.endpoint(refusing.address).last_error_at == pytest.approx(time(), abs=5)


def test_a_silent_endpoint_costs_its_connect_timeout_and_another_is_tried(opened: Opened) -> None:
    silent, backend = opened(Silent()), opened(Backend())
    bench = opened(Bench(bound(weighted(silent, 1.0), weighted(backend, 0.001)), connect_timeout_ms=30))
    record = bench.record()
    assert bench.connect(record).text == str(backend.address)
    assert [tried.error for tried in record.attempts] == [Cause.TIMEOUT, None]


def test_max_attempts_endpoints_are_tried_and_the_last_cause_is_the_answer(opened: Opened) -> None:
    refusing = [opened(Refusing()) for _ in range(5)]
    bench = opened(Bench(bound(*refusing), max_attempts=3))
    record = bench.record()
    failed = bench.fails(record)
    assert failed.cause is Cause.REFUSED
    assert len({tried.endpoint for tried in record.attempts}) == len(record.attempts) == 3
    assert bench.balancer.counts().pending == 0


def test_with_nobody_else_left_a_silent_endpoint_is_tried_again_and_one_that_refused_is_not(opened: Opened) -> None:
    for peer, cause, attempts in ((Refusing(), Cause.REFUSED, 1), (Silent(), Cause.TIMEOUT, 3)):
        bench = opened(Bench(bound(opened(peer)), max_attempts=3, connect_timeout_ms=40))
        record = bench.record()
        assert bench.fails(record).cause is cause
        assert [tried.error for tried in record.attempts] == [cause] * attempts


def test_when_the_available_ones_were_tried_one_in_its_penalty_is(opened: Opened) -> None:
    down, up = opened(Refusing()), opened(Backend())
    bench = opened(Bench(bound(down, up)))
    now_failed = bench.endpoint(up.address)
    bench.balancer._endpoints.fail(now_failed)
    record = bench.record()
    assert bench.connect(record) is now_failed
    assert [tried.error for tried in record.attempts] == [Cause.REFUSED, None]


def test_a_connection_blocks_no_longer_than_its_deadline(opened: Opened) -> None:
    bench = opened(Bench(bound(opened(Silent())), connect_timeout_ms=60_000))
    begun = bench.clock()
    assert bench.fails(secs=0.05).cause is Cause.TIMEOUT
    assert bench.clock() - begun < 1.0
    assert bench.fails(secs=0.0).cause is Cause.TIMEOUT


def test_a_deadline_that_left_an_endpoint_no_time_is_not_held_against_it(opened: Opened) -> None:
    silent = opened(Silent())
    bench = opened(Bench(bound(silent), connect_timeout_ms=10_000, max_failures=1))
    assert bench.fails(secs=0.01).cause is Cause.TIMEOUT
    assert bench.state(silent.address) == "available"


def test_a_connect_timeout_is_held_against_it_also_when_the_deadline_cut_it(opened: Opened) -> None:
    silent = opened(Silent())
    bench = opened(Bench(bound(silent), connect_timeout_ms=100, max_failures=1))
    assert bench.fails(secs=0.05).cause is Cause.TIMEOUT
    assert bench.state(silent.address) == "failed"


def test_running_out_of_descriptors_fails_at_once_and_ejects_nobody(opened: Opened) -> None:
    backends = [opened(Backend()) for _ in range(2)]
    bench = opened(Bench(bound(*backends), max_failures=1))
    record = bench.record()
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        failed = bench.fails(record)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert failed.cause is Cause.LIMIT
    assert len(record.attempts) == 1
    assert bench.balancer.counts().available == 2


def test_a_client_that_goes_while_connecting_leaves_nothing(opened: Opened) -> None:
    bench = opened(Bench(bound(opened(Silent()))))
    client = bench.spawn()
    eventually(lambda: bench.balancer.counts().pending == 1)
    assert bench.figures.waiters == 1
    client.kill()
    assert bench.balancer.counts().pending == 0
    assert bench.figures.waiters == 0
    assert bench.balancer.idle


# -- what discovery says


def test_pending_waits_until_the_addresses_are_known(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(PENDING))
    waiting = [bench.spawn() for _ in range(3)]
    eventually(lambda: bench.figures.waiters == 3)
    bench.var.set(bound(backend))
    gevent.joinall(waiting, timeout=2.0)
    assert {client.value.text for client in waiting} == {str(backend.address)}


@pytest.mark.parametrize(("secs", "pending_secs"), [(5.0, 0.03), (0.03, 5.0)], ids=["binding's", "the connection's"])
def test_pending_is_waited_for_until_the_first_deadline(opened: Opened, secs: float, pending_secs: float) -> None:
    bench = opened(Bench(PENDING))
    begun = bench.clock()
    assert bench.fails(secs=secs, pending_secs=pending_secs).cause is Cause.PENDING
    assert bench.clock() - begun < 1.0
    assert (bench.figures.unavailable, bench.figures.waiters) == (1, 0)


@pytest.mark.parametrize(
    ("addr", "cause"),
    [
        (NEG, Cause.NOT_FOUND),
        (Failed("no such namerd"), Cause.BINDING),
        (Bound(()), Cause.NO_ENDPOINT),
        (Bound((Address("127.0.0.1", 1, 0.0),)), Cause.NO_ENDPOINT),
    ],
    ids=str,
)
def test_what_cannot_be_connected_to_fails_at_once_with_its_cause(opened: Opened, addr: Any, cause: Cause) -> None:
    bench = opened(Bench(addr))
    begun = bench.clock()
    failed = bench.fails()
    assert failed.cause is cause
    assert str(failed).startswith("/#/io.l5d.fs/web: ")
    assert bench.clock() - begun < 1.0
    assert bench.figures.unavailable == 1


@pytest.mark.parametrize(("addr", "cause"), [(NEG, Cause.NOT_FOUND), (Failed("why"), Cause.BINDING)], ids=str)
def test_a_bad_answer_ends_the_wait_for_one(opened: Opened, addr: Any, cause: Cause) -> None:
    bench = opened(Bench(PENDING))
    waiting = bench.spawn()
    eventually(lambda: bench.figures.waiters == 1)
    bench.var.set(addr)
    waiting.join(2.0)
    assert waiting.value.cause is cause


def test_pending_again_after_failing_waits_again(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(Failed("why")))
    bench.var.set(PENDING)
    waiting = bench.spawn()
    eventually(lambda: bench.figures.waiters == 1)
    bench.var.set(bound(backend))
    waiting.join(2.0)
    assert waiting.value.text == str(backend.address)


@pytest.mark.parametrize("worse", [PENDING, Failed("namerd is away")], ids=str)
def test_last_good_wins(opened: Opened, worse: Any) -> None:
    backend = opened(Backend())
    bench = opened(Bench(bound(backend)))
    bench.var.set(worse)
    assert bench.connect().text == str(backend.address)
    assert bench.balancer.addr == bound(backend)


def test_a_definite_neg_is_the_end_of_the_addresses(opened: Opened) -> None:
    backend = opened(Backend())
    bench = opened(Bench(bound(backend)))
    bench.var.set(NEG)
    assert bench.fails().cause is Cause.NOT_FOUND
    assert bench.balancer.endpoints_json() == []
    bench.var.set(bound(backend))
    assert bench.connect().text == str(backend.address)


def test_another_watch_can_be_followed(opened: Opened) -> None:
    first, second = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(first)))
    other = Var(bound(second))
    bench.balancer.follow(other)
    assert not bench.var.observed
    assert bench.connect().text == str(second.address)
    other.set(bound(first))
    assert bench.connect().text == str(first.address)


def test_changes_are_applied_with_no_traffic(opened: Opened) -> None:
    first, second = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(first)))
    bench.var.set(bound(second))
    assert [row["address"] for row in bench.balancer.endpoints_json()] == [str(second.address)]


def test_removed_with_no_traffic_is_never_dialled_again(opened: Opened) -> None:
    removed, backend = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(removed, backend)))
    bench.var.set(bound(backend))
    for _ in range(100):
        bench.connect()
    bench.ahead += 3600
    for _ in range(100):
        bench.connect()
    eventually(lambda: backend.accepts == 200)
    assert removed.accepts == 0


def test_removed_while_in_its_penalty_is_never_dialled_again(opened: Opened) -> None:
    refusing, backend = Refusing(), opened(Backend())
    bench = opened(Bench(bound(refusing, backend), max_failures=1))
    while bench.state(refusing.address) != "failed":
        bench.connect()
    bench.var.set(bound(backend))
    port = refusing.port
    refusing.close()
    back = opened(Backend(port=port))
    bench.ahead += 3600
    before = backend.accepts
    for _ in range(100):
        assert bench.connect().text == str(backend.address)
    eventually(lambda: backend.accepts >= before + 100)
    assert back.accepts == 0
    assert bench.state(back.address) is None


def test_removed_while_pending_is_abandoned_at_once_and_another_is_tried(opened: Opened) -> None:
    silent, backend = opened(Silent()), opened(Backend())
    bench = opened(Bench(bound(silent), connect_timeout_ms=60_000, max_attempts=1))
    record = bench.record()
    client = bench.spawn(record)
    eventually(lambda: bench.balancer.counts().pending == 1)
    begun = bench.clock()
    bench.var.set(bound(backend))
    client.join(2.0)
    assert client.value.text == str(backend.address)
    assert bench.clock() - begun < 1.0
    assert [tried.endpoint for tried in record.attempts] == [str(silent.address), str(backend.address)]
    attempts = bench.figures.attempts
    bench.ahead += 3600
    for _ in range(20):
        bench.connect()
    assert bench.figures.attempts == attempts + 20
    assert bench.state(silent.address) is None
    assert bench.figures.ejections == 0


def test_removed_while_pending_and_back_at_once_is_tried_again(opened: Opened) -> None:
    silent = opened(Silent())
    bench = opened(Bench(bound(silent), connect_timeout_ms=300, max_attempts=1))
    waiting = bench.spawn()
    eventually(lambda: bench.balancer.counts().pending == 1)
    bench.var.set(Bound(()))
    bench.var.set(bound(silent))
    assert waiting.get(timeout=5).cause is Cause.TIMEOUT, "it is there, and says nothing"


def test_removed_while_pending_with_nothing_else_is_no_endpoint_at_once(opened: Opened) -> None:
    bench = opened(Bench(bound(opened(Silent())), connect_timeout_ms=60_000))
    clients = [bench.spawn() for _ in range(5)]
    eventually(lambda: bench.balancer.counts().pending == 5)
    bench.var.set(Bound(()))
    gevent.joinall(clients, timeout=2.0)
    assert [client.value.cause for client in clients] == [Cause.NO_ENDPOINT] * 5
    assert bench.balancer.counts() == (0, 0, 0, 0, 0)


def test_a_removed_endpoint_keeps_its_open_connections_and_comes_back_with_its_counts(opened: Opened) -> None:
    first, second = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(first)))
    sock, endpoint = bench.balancer.connect(None, bench.clock() + 1, bench.clock() + 1)
    opened(sock)
    bench.var.set(bound(second))
    assert bench.state(first.address) == "retired"
    assert bench.connect().text == str(second.address)
    bench.var.set(bound(first))
    assert bench.connect() is endpoint
    assert endpoint.connects == 2
    bench.var.set(bound(second))
    bench.balancer.release(endpoint)
    assert bench.state(first.address) is None


def test_weight_0_gets_nothing_new(opened: Opened) -> None:
    first, second = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(weighted(first, 0.0), second)))
    assert {bench.connect().text for _ in range(50)} == {str(second.address)}
    bench.var.set(bound(first, weighted(second, 0.0)))
    assert {bench.connect().text for _ in range(50)} == {str(first.address)}


def test_churn_every_few_milliseconds_fails_no_connection(opened: Opened) -> None:
    backends = [opened(Backend()) for _ in range(4)]
    bench = opened(Bench(bound(*backends)))
    clients = [gevent.spawn(lambda: [bench.connect() for _ in range(50)]) for _ in range(4)]
    for turn in range(30):
        bench.var.set(bound(weighted(backends[turn % 4], 1 + turn), backends[(turn + 1) % 4]))
        gevent.sleep(0.002)
    gevent.joinall(clients, timeout=5.0, raise_error=True)
    assert all(len(client.value) == 50 for client in clients)
    assert bench.balancer.counts()[2:] == (0, 0, 0)


# -- fail fast


def test_a_dead_endpoint_among_three_gets_under_1_percent_and_no_client_sees_it(opened: Opened) -> None:
    dead, *backends = [opened(Refusing()), opened(Backend()), opened(Backend())]
    bench = opened(Bench(bound(dead, *backends)))
    while bench.state(dead.address) != "failed":
        bench.connect()
    known_at = bench.endpoint(dead.address).failures
    held = []
    for _ in range(1000):
        # Open connections pile up on the living, so a naive least-loaded picker would take the dead one every time.
        sock, endpoint = bench.balancer.connect(None, bench.clock() + 5, bench.clock() + 5)
        held.append((sock, endpoint))
        bench.ahead += 0.1  # 100 s in all, so that a penalty ends in between.
    for sock, endpoint in held:
        sock.close()
        bench.balancer.release(endpoint)
    assert 1 <= bench.endpoint(dead.address).failures - known_at < 10
    assert bench.figures.connects >= 1000


def test_after_the_penalty_one_connection_alone_tries_it_and_its_client_does_not_notice(opened: Opened) -> None:
    silent, backend = opened(Silent()), opened(Backend())
    bench = opened(Bench(bound(silent, backend), max_failures=1, connect_timeout_ms=100))
    while bench.state(silent.address) != "failed":
        bench.connect()
    before = bench.endpoint(silent.address).failures
    bench.ahead += 60
    clients = [bench.spawn() for _ in range(10)]
    gevent.joinall(clients, timeout=5.0)
    assert {client.value.text for client in clients} == {str(backend.address)}
    assert bench.endpoint(silent.address).failures == before + 1
    assert bench.figures.ejections == 1
    for _ in range(20):
        bench.connect()
    assert bench.endpoint(silent.address).failures == before + 1, "another penalty"


def test_the_trial_is_not_one_of_max_attempts_and_leaves_the_client_time(opened: Opened) -> None:
    silent, backend = opened(Silent()), opened(Backend())
    bench = opened(Bench(bound(silent, backend), max_failures=1, connect_timeout_ms=40, max_attempts=2))
    while bench.state(silent.address) != "failed":
        bench.connect()
    bench.balancer._max_attempts = 1
    bench.balancer._connect_timeout_secs = 60.0
    bench.ahead += 60
    record = bench.record()
    assert bench.connect(record, secs=0.5).text == str(backend.address)
    assert [tried.error for tried in record.attempts] == [Cause.TIMEOUT, None]


def test_an_endpoint_that_is_back_is_found_by_the_first_connection_after_the_penalty(opened: Opened) -> None:
    refusing, backend = Refusing(), opened(Backend())
    bench = opened(Bench(bound(refusing, backend), max_failures=2))
    while bench.state(refusing.address) != "failed":
        bench.connect()
    refusing.close()
    back = opened(Backend(port=refusing.port))
    assert {bench.connect().text for _ in range(50)} == {str(backend.address)}
    bench.ahead += 60
    assert bench.connect().text == str(back.address)
    assert bench.state(back.address) == "available"
    assert (bench.figures.ejections, bench.figures.revivals) == (1, 1)
    assert bench.endpoint(back.address).consecutive_failures == 0
    assert len({bench.connect().text for _ in range(50)}) == 2


def test_nothing_dials_a_failed_endpoint_without_a_client(opened: Opened) -> None:
    refusing, backend = Refusing(), opened(Backend())
    bench = opened(Bench(bound(refusing, backend), max_failures=1, penalty_secs=0.01))
    while bench.state(refusing.address) != "failed":
        bench.connect()
    refusing.close()
    back = opened(Backend(port=refusing.port))
    attempts = bench.figures.attempts
    gevent.sleep(0.05)  # Five penalties long; there is nothing to wait for.
    assert (back.accepts, bench.figures.attempts) == (0, attempts)


def test_a_client_killed_during_the_trial_leaves_it_to_the_next(opened: Opened) -> None:
    silent, backend = opened(Silent()), opened(Backend())
    bench = opened(Bench(bound(silent, backend), max_failures=1, connect_timeout_ms=50))
    while bench.state(silent.address) != "failed":
        bench.connect()
    bench.ahead += 60
    client = bench.spawn()
    eventually(lambda: bench.endpoint(silent.address).probing)
    client.kill()
    assert not bench.endpoint(silent.address).probing
    record = bench.record()
    bench.connect(record)
    assert record.attempts[0].endpoint == str(silent.address)


def test_when_all_have_failed_they_are_used_all_the_same(opened: Opened) -> None:
    refusing = [Refusing(), Refusing()]
    bench = opened(Bench(bound(*refusing), max_failures=1))
    assert bench.fails().cause is Cause.REFUSED
    assert bench.balancer.counts().failed == 2
    for one in refusing:
        one.close()
    backends = [opened(Backend(port=one.port)) for one in refusing]
    assert bench.connect().text in {str(one.address) for one in backends}
    assert bench.figures.revivals == 1


# -- limits, draining, the end


def test_more_than_max_waiters_is_a_limit(opened: Opened) -> None:
    bench = opened(Bench(PENDING, max_waiters=2))
    waiting = [bench.spawn() for _ in range(2)]
    eventually(lambda: bench.figures.waiters == 2)
    assert bench.fails().cause is Cause.LIMIT
    assert bench.figures.waiters == 2
    gevent.killall(waiting)
    assert bench.fails(pending_secs=0.0).cause is Cause.PENDING


def test_a_drained_endpoint_gets_nothing_until_undrained(opened: Opened) -> None:
    first, second = opened(Backend()), opened(Backend())
    bench = opened(Bench(bound(first, second)))
    assert bench.balancer.drain(str(first.address))
    assert {bench.connect().text for _ in range(50)} == {str(second.address)}
    bench.balancer.drain(str(second.address))
    assert bench.fails().cause is Cause.NO_ENDPOINT
    assert bench.balancer.undrain(str(first.address))
    assert {bench.connect().text for _ in range(50)} == {str(first.address)}
    assert not bench.balancer.drain("127.0.0.1:1")
    assert not bench.balancer.undrain("127.0.0.1:1")


def test_closing_ends_whoever_waits_and_stops_following(opened: Opened) -> None:
    silent = opened(Silent())
    pending, connecting = opened(Bench(PENDING)), opened(Bench(bound(silent), connect_timeout_ms=60_000))
    clients = [pending.spawn(), connecting.spawn()]
    eventually(lambda: connecting.balancer.counts().pending == 1 and pending.figures.waiters == 1)
    for bench in (pending, connecting):
        bench.balancer.close()
        bench.balancer.close()
        assert not bench.var.observed
    gevent.joinall(clients, timeout=2.0)
    assert [client.value.cause for client in clients] == [Cause.SHUTDOWN] * 2
    assert pending.fails().cause is Cause.SHUTDOWN


def test_connections_that_are_open_are_released_after_closing(opened: Opened) -> None:
    bench = opened(Bench(bound(opened(Backend()))))
    sock, endpoint = bench.balancer.connect(None, bench.clock() + 1, bench.clock() + 1)
    bench.balancer.close()
    sock.close()
    bench.balancer.release(endpoint)
    assert bench.balancer.idle

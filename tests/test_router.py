"""Paths are bound once, followed live, evicted when idle; strangers' names take no slot."""

import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice
from time import monotonic

import gevent
import pytest

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.namer import NamerContext
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.record import Record
from linkerd_tcp.router import UNBOUND_ROUTES, VICTIMS_LOOKED_AT, Connection, Route, Router
from linkerd_tcp.testing import FakeHosts
from namers.inet import Utilities
from namers.static import StaticConfig
from tests.rig import BOUND, WEB, ByHand, Endpoint, addresses, leaf, router_config
from tests.sockets import eventually


def record() -> Record:
    return Record(1, "test", "127.0.0.1:1", ("127.0.0.1", 2))


def connect(router: Router, path: Path = WEB, secs: float = 2) -> Connection:
    return router.connect(path, record(), monotonic() + secs)


def cause_of(router: Router, path: Path = WEB, secs: float = 2) -> Cause:
    with pytest.raises(ConnectionFailed) as failed:
        connect(router, path, secs)
    return failed.value.cause


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def hand() -> ByHand:
    return ByHand()


@pytest.fixture
def router(hand: ByHand) -> Iterator[Router]:
    made = Router(router_config(cache={"paths": 3, "idle_ttl_secs": 0.0}), hand)
    yield made
    made.close()
    assert hand.open == []
    assert hand.closed


def test_a_path_is_bound_once_and_found_afterwards(router: Router, hand: ByHand, endpoint: Endpoint) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    for _ in range(3):
        connect(router).close()
    assert (router.figures.created, router.figures.found) == (1, 2)
    assert len(hand.open) == 1


def test_a_connection_says_where_it_went(router: Router, hand: ByHand, endpoint: Endpoint) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    said = record()
    router.connect(WEB, said, monotonic() + 2).close()
    assert said.bound == BOUND
    assert said.endpoint == f"127.0.0.1:{endpoint.port}"


@pytest.mark.parametrize(
    ("binding", "cause"),
    [
        (nametree.NEG, Cause.NOT_FOUND),
        (nametree.FAIL, Cause.BINDING),
        (nametree.EMPTY, Cause.NO_ENDPOINT),
        (Failed("namerd is on fire"), Cause.BINDING),
        (leaf(Var(Bound(()))), Cause.NO_ENDPOINT),
    ],
)
def test_a_name_that_leads_nowhere_fails_at_once_with_its_cause(
    router: Router, hand: ByHand, binding: object, cause: Cause
) -> None:
    hand.set(WEB, binding)  # type: ignore[arg-type]
    began = monotonic()
    assert cause_of(router, secs=30) is cause
    assert monotonic() - began < 1


def test_a_failure_carries_its_delegation(router: Router) -> None:
    said = record()
    with pytest.raises(ConnectionFailed):
        router.connect(WEB, said, monotonic() + 2)
    assert said.explanation == {"type": "neg", "path": "/svc/web"}


def test_a_pending_name_is_waited_for_and_no_longer_than_allowed(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    hand.set(WEB, PENDING)
    assert cause_of(router, secs=0.05) is Cause.PENDING
    gevent.spawn_later(0.05, hand.set, WEB, leaf(Var(addresses(endpoint.port))))
    connect(router).close()


def test_those_who_waited_on_an_evicted_route_share_the_next_one(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    hand.set(WEB, PENDING)
    waiting = [gevent.spawn(connect, router) for _ in range(3)]
    gevent.sleep(0)
    hand.bindings[WEB] = leaf(Var(addresses(endpoint.port)))
    router._evict(next(router.routes()))
    for waiter in waiting:
        waiter.get(timeout=2).close()
    assert len(hand.open) == len(list(router.routes())) == 1


def test_waiters_for_a_binding_are_limited(hand: ByHand) -> None:
    router = Router(router_config(max_waiters=1), hand)
    hand.set(WEB, PENDING)
    waiting = gevent.spawn(cause_of, router, WEB, 0.2)
    gevent.sleep(0.02)
    assert cause_of(router) is Cause.LIMIT
    assert waiting.get(timeout=2) is Cause.PENDING
    router.close()


def test_a_change_is_applied_without_traffic(router: Router, hand: ByHand, endpoint: Endpoint) -> None:
    old, new = Path.read("/#/test/old"), Path.read("/#/test/new")
    hand.set(WEB, leaf(Var(addresses(endpoint.port)), old))
    connect(router).close()
    hand.set(WEB, leaf(Var(addresses(endpoint.port)), new))
    assert [balancer.bound for balancer in router.balancers()] == [new]


def test_last_good_stays_while_the_new_answer_is_unknown_or_an_error(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connect(router).close()
    hand.set(WEB, PENDING)
    connect(router).close()
    hand.set(WEB, Failed("gone away"))
    connect(router).close()
    hand.set(WEB, nametree.NEG)
    assert cause_of(router) is Cause.NOT_FOUND


def test_a_name_that_appears_is_used_at_once_though_its_absence_was_cached(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    assert cause_of(router) is Cause.NOT_FOUND
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connect(router).close()


def test_each_connection_of_a_union_chooses_its_branch_by_weight(router: Router, hand: ByHand) -> None:
    many, few = Endpoint(), Endpoint()
    branches = tuple(
        nametree.Weighted(weight, nametree.Leaf(BoundName(Path.read(f"/#/{name}"), Var(addresses(end.port)))))
        for weight, name, end in ((9.0, "many", many), (1.0, "few", few))
    )
    hand.set(WEB, nametree.Union(branches))
    for _ in range(600):
        connect(router).close()
    gevent.sleep(0.05)
    many.close()
    few.close()
    assert 25 <= few.accepts <= 110, "60 expected; six standard deviations are 44"


def test_paths_to_one_name_share_its_balancer_until_the_last_is_evicted(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    first, second = Path.read("/svc/a"), Path.read("/svc/b")
    addrs = {path: Var(addresses(endpoint.port)) for path in (first, second)}
    for path, addr in addrs.items():
        hand.set(path, leaf(addr))
        connect(router, path).close()
    (balancer,) = router.balancers()
    hand.set(first, nametree.NEG)
    # What it followed may have been the first one's addresses: it goes on with the other's.
    other = Endpoint()
    addrs[second].set(addresses(other.port))
    assert [row["address"] for row in balancer.endpoints_json()] == [f"127.0.0.1:{other.port}"]
    other.close()
    hand.set(second, nametree.NEG)
    assert router.balancers() == []


def test_the_cache_is_bounded_and_evicts_what_was_idle_longest(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    paths = [Path.read(f"/svc/{number}") for number in range(5)]
    for number, path in enumerate(paths):
        hand.set(path, leaf(Var(addresses(endpoint.port)), Path.read(f"/#/{number}")))
        connect(router, path).close()
    assert [route.path for route in router.routes()] == paths[2:]


def test_who_waits_for_addresses_goes_where_the_name_leads_after_a_change(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    hand.set(WEB, leaf(Var(PENDING)))
    waiting = gevent.spawn(connect, router)
    gevent.sleep(0)
    hand.set(WEB, leaf(Var(addresses(endpoint.port)), Path.read("/#/test/elsewhere")))
    connection = waiting.get(timeout=1)
    router.sweep()
    assert [str(balancer.bound) for balancer in router.balancers()] == ["/#/test/elsewhere"]
    connection.close()


def test_who_waits_for_addresses_is_connected_under_changed_settings(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    hand.set(WEB, leaf(Var(PENDING)))
    waiting = gevent.spawn(connect, router)
    gevent.sleep(0)
    other = ByHand()
    late: Var[Addr] = Var(PENDING)
    other.set(WEB, leaf(late))
    router.switch(router_config(max_attempts=2), other)
    late.set(addresses(endpoint.port))
    waiting.get(timeout=1).close()
    router.close()
    assert other.open == []


def test_a_balancer_that_nothing_leads_to_keeps_no_connections_ready(hand: ByHand, endpoint: Endpoint) -> None:
    router = Router(router_config(min_connections=2), hand)
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connection = connect(router)
    (balancer,) = router.balancers()
    eventually(lambda: balancer.counts().open == 3)
    hand.set(WEB, nametree.NEG)
    assert balancer.counts().open == 1
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    eventually(lambda: balancer.counts().open == 3)
    connection.close()
    router.close()


def test_a_switch_to_a_smaller_cache_keeps_what_fits_and_nothing_of_the_rest(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    paths = [Path.read(f"/svc/{number}") for number in range(6)]
    other = ByHand()
    for number, path in enumerate(paths):
        hand.set(path, leaf(Var(addresses(endpoint.port)), Path.read(f"/#/{number}")) if number < 3 else nametree.NEG)
        other.set(path, leaf(Var(addresses(endpoint.port)), Path.read(f"/#/{number}")))
        router._find_or_bind(path)
    cache = router.config.binding_cache.model_copy(update={"paths": 1})
    router.switch(router.config.model_copy(update={"binding_cache": cache}), other)
    (route,) = router.routes()
    assert not route.closed
    assert [path for path, _ in other.open] == [route.path]
    router.close()
    assert other.open == []


def test_idle_routes_are_swept_and_busy_ones_are_not(router: Router, hand: ByHand, endpoint: Endpoint) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connection = connect(router)
    gevent.sleep(0.01)
    router.sweep()
    assert [route.path for route in router.routes()] == [WEB]
    connection.close()
    router.sweep()
    assert list(router.routes()) == []
    assert router.balancers() == []


def test_a_flood_of_strangers_names_takes_no_slot_of_bound_ones(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connect(router).close()
    for number in range(UNBOUND_ROUTES + 100):
        assert cause_of(router, Path(("svc", f"stranger{number}"))) is Cause.NOT_FOUND
    assert len(list(router.routes())) == UNBOUND_ROUTES + 1
    assert len(hand.open) == UNBOUND_ROUTES + 1
    before = router.figures.created
    connect(router).close()
    assert router.figures.created == before


@pytest.mark.parametrize("known", ["a name that goes", "no such name"])
def test_what_is_gone_while_nothing_else_is_known_yet_is_waited_for(
    router: Router, hand: ByHand, endpoint: Endpoint, known: str
) -> None:
    """As with `/svc => /#/files | /#/elsewhere`: the file goes, and elsewhere has not answered yet."""
    addr: Var[Addr] = Var(addresses(endpoint.port))
    if known == "no such name":
        assert cause_of(router) is Cause.NOT_FOUND
    else:
        hand.set(WEB, leaf(addr))
        connect(router).close()
    addr.set(NEG)
    hand.set(WEB, PENDING)
    assert cause_of(router, secs=0.05) is Cause.PENDING
    waiting = gevent.spawn(connect, router)
    eventually(lambda: any(each.waiters for each in router.routes()))
    hand.set(WEB, leaf(Var(addresses(endpoint.port)), Path.read("/#/elsewhere")))
    waiting.get(timeout=5).close()


def test_what_is_gone_while_the_rest_fails_ends_with_that_failure(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    addr: Var[Addr] = Var(addresses(endpoint.port))
    hand.set(WEB, leaf(addr))
    connect(router).close()
    addr.set(NEG)
    hand.set(WEB, PENDING)
    waiting = gevent.spawn(cause_of, router)
    eventually(lambda: any(each.waiters for each in router.routes()))
    hand.set(WEB, Failed("elsewhere is away"))
    assert waiting.get(timeout=5) is Cause.BINDING
    hand.set(WEB, nametree.NEG)
    assert cause_of(router) is Cause.NOT_FOUND


def test_any_number_of_strangers_names_leaves_nothing_behind() -> None:
    """A million of them with LINKERD_TCP_TEST_DEEP=1."""
    hosts = FakeHosts()
    namer = StaticConfig.model_validate({"kind": "io.l5d.static", "services": {"web": []}}).build(NamerContext(hosts))
    dtab = Dtab.read("/svc => /#/io.l5d.static")
    router = Router(router_config(), DefaultInterpreter(dtab, [namer], Utilities(hosts)))
    names = (Path(("svc", f"{number}.example")) for number in count())

    def objects_after(strangers: int) -> int:
        for name in islice(names, strangers):
            with suppress(ConnectionFailed):
                connect(router, name)
        gc.collect()
        return len(gc.get_objects())

    several = 3 * UNBOUND_ROUTES
    many = 1_000_000 if os.environ.get("LINKERD_TCP_TEST_DEEP") else 20_000
    before = objects_after(several)
    assert objects_after(many) - before < 500
    assert len(list(router.routes())) == UNBOUND_ROUTES
    assert router.figures.errors == {Cause.NOT_FOUND: several + many}
    router.close()


def test_a_switch_keeps_balancers_and_their_connections(router: Router, hand: ByHand, endpoint: Endpoint) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connection = connect(router)
    (balancer,) = router.balancers()
    other = ByHand()
    addr = Var(addresses(endpoint.port))
    other.set(WEB, leaf(addr))
    router.switch(router.config, other)
    assert hand.closed
    assert hand.open == []
    assert router.balancers() == [balancer]
    addr.set(Bound((Address("127.0.0.1", endpoint.port, 0.5),)))
    assert balancer.endpoints_json()[0]["weight"] == 0.5
    assert balancer.endpoints_json()[0]["open"] == 1
    connection.close()
    router.close()
    assert other.closed


def test_a_drain_outlives_the_balancer_it_was_made_on(router: Router, hand: ByHand, endpoint: Endpoint) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connect(router).close()
    address = f"127.0.0.1:{endpoint.port}"
    assert router.drain(str(BOUND), address, True)
    assert not router.drain(str(BOUND), "192.0.2.1:1", True)
    router.sweep()
    assert router.balancers() == []
    assert cause_of(router) is Cause.NO_ENDPOINT
    assert router.drain(str(BOUND), address, False)
    connect(router).close()


def test_a_drain_outlives_a_balancer_whose_successor_knows_no_addresses_at_first(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    hand.set(WEB, leaf(Var(addresses(endpoint.port))))
    connect(router).close()
    assert router.drain(str(BOUND), f"127.0.0.1:{endpoint.port}", True)
    router.sweep()
    late: Var[Addr] = Var(PENDING)
    hand.set(WEB, leaf(late))
    waiting = gevent.spawn(cause_of, router)
    gevent.sleep(0)
    late.set(addresses(endpoint.port))
    assert waiting.get(timeout=2) is Cause.NO_ENDPOINT


def test_a_drain_of_an_endpoint_that_is_not_there_now_can_be_taken_back(
    router: Router, hand: ByHand, endpoint: Endpoint
) -> None:
    addr: Var[Addr] = Var(addresses(endpoint.port))
    hand.set(WEB, leaf(addr))
    connect(router).close()
    assert router.drain(str(BOUND), f"127.0.0.1:{endpoint.port}", True)
    addr.set(Bound(()))
    assert router.drain(str(BOUND), f"127.0.0.1:{endpoint.port}", False)
    assert not router.drain(str(BOUND), f"127.0.0.1:{endpoint.port}", False)
    router.sweep()
    addr.set(addresses(endpoint.port))
    connect(router).close()


def test_a_flood_of_names_that_bind_looks_at_few_routes_for_each(hand: ByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router(router_config(cache={"paths": 500}), hand)
    looks: list[Route] = []
    is_busy = Route.is_busy.fget
    assert is_busy is not None
    monkeypatch.setattr(Route, "is_busy", property(lambda route: looks.append(route) or is_busy(route)))
    for number in range(600):
        path = Path(("svc", f"name{number}"))
        hand.set(path, leaf(Var(Bound(())), Path(("#", f"name{number}"))))
        cause_of(router, path)
    assert len(list(router.routes())) == 500
    assert len(looks) <= 100 * VICTIMS_LOOKED_AT
    monkeypatch.undo()
    router.close()

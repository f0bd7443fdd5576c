"""What the pages' figures come from is what the program's own objects say."""

import json
import socket
from collections.abc import Iterator
from itertools import count
from time import time
from typing import get_type_hints

import pytest

from linkerd_tcp.admin.frame import read_frame
from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.balancers.endpoints import Endpoint as BalancedEndpoint
from linkerd_tcp.balancers.endpoints import State
from linkerd_tcp.connectors.connector import ConnectFailed
from linkerd_tcp.dashboard import frame as shapes
from linkerd_tcp.dashboard.together import TROUBLE_SECS
from linkerd_tcp.errors import Cause, ConfigError
from linkerd_tcp.naming.addr import PENDING, Address, Bound, Failed
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.naming.nametree import EMPTY, FAIL, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.transition import Reloaded
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.rig import Endpoint
from tests.sockets import eventually


@pytest.fixture
def client(app: FakeApp) -> Iterator[socket.socket]:
    with app.connect() as connected:
        yield connected


def keys(shape: type) -> set[str]:
    return set(get_type_hints(shape))


def test_a_frame_has_the_shape_that_pages_are_made_for(app: FakeApp, client: socket.socket) -> None:
    frame = json.loads(json.dumps(read_frame(app)))
    (router,) = frame["routers"]
    (server,) = router["servers"]
    (destination,) = router["destinations"]
    (namer,) = frame["namers"]
    (watch,) = namer["watches"]
    (worker,) = frame["workers"]
    assert set(frame) == keys(shapes.Frame)
    assert set(frame["reload"]) == keys(shapes.Reload)
    assert set(frame["history"]) == keys(shapes.History)
    assert set(frame["history"]["total"]) == keys(shapes.Series)
    assert (set(router), set(server)) == (keys(shapes.Router), keys(shapes.Server))
    assert set(destination) == keys(shapes.Destination)
    assert [set(each) for each in destination["endpoints"]] == [keys(shapes.Endpoint)] * 2
    assert (set(namer), set(watch), set(worker)) == (keys(shapes.Namer), keys(shapes.Watch), keys(shapes.Worker))


def test_an_open_connection_is_counted_where_it_is(
    app: FakeApp, client: socket.socket, endpoints: list[Endpoint]
) -> None:
    client.sendall(b"0123456789")
    assert client.recv(10) == b"0123456789"
    frame = read_frame(app)
    (router,) = frame["routers"]
    (server,) = router["servers"]
    (destination,) = router["destinations"]
    assert (server["address"], server["names"], server["active"], server["accepts"]) == (
        app.servers[0].label, "/svc/web", 1, 1,
    )  # fmt: skip
    assert (destination["bound"], destination["paths"]) == ("/#/io.l5d.static/web", ["/svc/web"])
    assert (destination["available"], destination["open"], destination["connects"]) == (2, 1, 1)
    assert sum(destination["latency"]) == sum(server["latency"]) == 1
    assert [each["address"] for each in destination["endpoints"]] == [f"127.0.0.1:{each.port}" for each in endpoints]
    used = [each for each in destination["endpoints"] if each["open"]]
    assert [(each["rxBytes"], each["txBytes"]) for each in (server, destination, *used)] == [(10, 10)] * 3


def test_bytes_stay_counted_when_connections_end_and_endpoints_go(app: FakeApp, client: socket.socket) -> None:
    client.sendall(b"0123456789")
    assert client.recv(10) == b"0123456789"
    client.close()
    eventually(lambda: not app.book.open)
    (destination,) = read_frame(app)["routers"][0]["destinations"]
    assert (destination["open"], destination["rxBytes"], destination["txBytes"]) == (0, 10, 10)
    assert sorted(each["rxBytes"] for each in destination["endpoints"]) == [0, 10]


# -- trouble


def bind(app: FakeApp, name: str, endpoints: int) -> Balancer:
    """One more name in discovery, `endpoints` addresses of it."""
    router = app.routers["default"]
    addr = Var(Bound(tuple(Address(f"10.0.{n >> 8}.{n & 255}", 80) for n in range(endpoints))))
    before = set(router.balancers())
    router._find_or_bind(Path(("svc", name)))._update(Leaf(BoundName(Path(("#", "test", name)), addr)))
    (made,) = set(router.balancers()) - before
    return made


def fail(balancer: Balancer, place: int) -> BalancedEndpoint:
    """As many times as it takes to be out."""
    endpoint = next(each for each in balancer.endpoints() if each.place == place)
    while endpoint.state is not State.FAILED:
        endpoint.load += 1
        balancer._attempt_failed(endpoint, ConnectFailed(Cause.REFUSED, "refused"), None, 0.1)
    return endpoint


def test_an_endpoint_that_failed_says_why_since_when_and_when_it_is_tried_again(app: FakeApp) -> None:
    balancer = bind(app, "a", 3)
    fail(balancer, 1)
    (row,) = read_frame(app)["routers"][0]["destinations"]
    assert (row["available"], row["failed"], row["ejections"], row["failures"]) == (2, 1, 1, {"refused": 5})
    shown = row["endpoints"][1]
    assert (shown["address"], shown["state"], shown["lastError"], shown["consecutiveFailures"]) == (
        "10.0.0.1:80", "failed", "refused", 5,
    )  # fmt: skip
    now = time()
    assert shown["failedSince"] == pytest.approx(now, abs=5)
    assert shown["lastErrorAt"] == pytest.approx(now, abs=5)
    assert shown["nextTryAt"] == pytest.approx(now + 60, abs=5)
    assert (shown["ejections"], shown["probing"]) == (1, False)


def test_rows_keep_their_places_when_endpoints_fail_and_come_back(app: FakeApp) -> None:
    balancer = bind(app, "a", 4)

    def addresses() -> list[str]:
        return [each["address"] for each in read_frame(app)["routers"][0]["destinations"][0]["endpoints"]]

    before = addresses()
    failed = fail(balancer, 0)
    assert addresses() == before
    balancer._fail_fast.succeeded(failed)
    assert addresses() == before


def test_an_endpoint_that_discovery_took_away_is_the_last(app: FakeApp, endpoints: list[Endpoint]) -> None:
    balancer = bind(app, "a", 3)
    first = balancer.endpoints()[0]
    first.load = first.open = 1
    balancer._on_addr(Bound((Address("10.0.0.2", 80), Address("10.0.0.1", 80))))
    (row,) = read_frame(app)["routers"][0]["destinations"]
    assert [(each["address"], each["state"]) for each in row["endpoints"]] == [
        ("10.0.0.2:80", "available"),
        ("10.0.0.1:80", "available"),
        ("10.0.0.0:80", "retired"),
    ]
    assert (row["available"], row["retired"], row["open"]) == (2, 1, 1)
    balancer.release(first)


def test_of_many_destinations_the_first_by_name_are_shown_and_besides_those_in_trouble(app: FakeApp) -> None:
    fail(bind(app, "zz", 2), 0)
    for number in range(shapes.MOST_DESTINATIONS + 7):
        bind(app, f"n{number:04}", 1)
    (router,) = read_frame(app)["routers"]
    assert [each["bound"] for each in router["destinations"]] == [
        *(f"/#/test/n{number:04}" for number in range(shapes.MOST_DESTINATIONS)),
        "/#/test/zz",
    ]
    assert router["moreDestinations"] == 7


def test_of_many_endpoints_the_first_are_shown_and_besides_those_in_trouble(app: FakeApp) -> None:
    balancer = bind(app, "large", 200)
    fail(balancer, 150)
    balancer.drain("10.0.0.170:80")
    erred = next(each for each in balancer.endpoints() if each.place == 160)
    erred.last_error_at = time() - 10
    long_ago = next(each for each in balancer.endpoints() if each.place == 161)
    long_ago.last_error_at = time() - TROUBLE_SECS - 10
    (row,) = read_frame(app)["routers"][0]["destinations"]
    assert [each["address"] for each in row["endpoints"]] == [
        *(f"10.0.0.{number}:80" for number in range(shapes.MOST_OF_ONE)),
        "10.0.0.150:80",
        "10.0.0.160:80",
        "10.0.0.170:80",
    ]
    assert (row["moreEndpoints"], row["available"], row["failed"], row["drained"]) == (147, 199, 1, 1)


def test_what_is_in_trouble_is_cut_too(app: FakeApp) -> None:
    balancer = bind(app, "large", 400)
    for place in range(400):
        fail(balancer, place)
    (row,) = read_frame(app)["routers"][0]["destinations"]
    assert len(row["endpoints"]) == shapes.MOST_OF_ONE + shapes.MOST_TROUBLED
    assert (row["failed"], row["moreEndpoints"]) == (400, 400 - len(row["endpoints"]))


def test_there_are_so_many_endpoints_over_all_and_each_destination_says_how_many_it_has(app: FakeApp) -> None:
    for number in range(10):
        bind(app, f"n{number}", 60)
    rows = read_frame(app)["routers"][0]["destinations"]
    assert sum(len(row["endpoints"]) for row in rows) == shapes.MOST_ENDPOINTS
    assert {len(row["endpoints"]) + row["moreEndpoints"] for row in rows} == {60}


def test_paths_that_lead_nowhere_say_what_they_lead_to(app: FakeApp) -> None:
    router = app.routers["default"]
    for name, tree in (("fail", FAIL), ("empty", EMPTY), ("failed", Failed("away")), ("pending", PENDING)):
        router._find_or_bind(Path(("svc", name))).tree = tree
    router._find_or_bind(Path.read("/svc/nowhere"))
    router._find_or_bind(Path.read("/svc/else"))
    (shown,) = read_frame(app)["routers"]
    assert [(each["path"], each["type"], each["cause"]) for each in shown["unbound"]] == [
        ("/svc/fail", "fail", None),
        ("/svc/empty", "empty", None),
        ("/svc/failed", "failed", "away"),
        ("/svc/pending", "pending", None),
        ("/svc/nowhere", "neg", None),
    ]
    assert shown["moreUnbound"] == 1


def test_a_stale_name_is_shown_however_many_there_are(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [WatchState(f"/n{number}", "bound", 1) for number in range(shapes.MOST_WATCHES + 20)]
    rows.append(WatchState("/z", "bound", 1, 10.0, "away", 12.0, 20.0))
    monkeypatch.setattr(app.namers[0], "watches", lambda: iter(rows))
    (namer,) = read_frame(app)["namers"]
    assert (namer["prefix"], namer["stale"], namer["moreWatches"]) == ("/#/io.l5d.static", 1, 20)
    assert (namer["watches"][-1]["name"], namer["watches"][-1]["stale"]) == ("/z", True)


# -- what was done


def test_a_drain_says_since_when_and_who_asked(app: FakeApp, http: Http, endpoints: list[Endpoint]) -> None:
    app.connect().close()
    which = {"bound": "/#/io.l5d.static/web", "address": f"127.0.0.1:{endpoints[0].port}"}
    assert http.post("/endpoints/drain", json=which).status_code == 200
    (drain,) = read_frame(app)["drains"]
    assert (drain["bound"], drain["address"], drain["by"]) == (*which.values(), "127.0.0.1")
    assert drain["since"] == pytest.approx(time(), abs=5)
    assert http.post("/endpoints/drain", json=which).status_code == 200
    assert read_frame(app)["drains"] == [drain]
    assert http.post("/endpoints/undrain", json=which).status_code == 200
    assert read_frame(app)["drains"] == []


def test_a_refused_reload_is_in_the_frame_until_one_succeeds(app: FakeApp) -> None:
    app.last_reload = Reloaded.now(ConfigError(["a.yml:1:1: wrong", "a.yml:2:1: wrong, too"]))
    shown = read_frame(app)["reload"]
    assert (shown["ok"], shown["errors"]) == (False, ["a.yml:1:1: wrong", "a.yml:2:1: wrong, too"])
    assert shown["at"] == pytest.approx(time(), abs=5)
    app.last_reload = Reloaded.now(ConfigError([f"line {number}" for number in range(10_000)]))
    assert len(read_frame(app)["reload"]["errors"]) <= 20
    app.last_reload = Reloaded.now()
    assert read_frame(app)["reload"]["ok"]


def test_descriptors_are_those_that_connections_have_and_may_have(app: FakeApp, client: socket.socket) -> None:
    frame = read_frame(app)
    assert (frame["descriptors"], frame["mostDescriptors"]) == (2, 2 * app.capacity.most)


# -- bytes


def test_bytes_never_go_down_however_connections_end_while_they_are_added_up(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some end between any two steps of the reading."""
    clients = [app.connect() for _ in range(60)]
    for client in clients:
        client.sendall(bytes(100))
        assert client.recv(100) == bytes(100)

    rests = count()

    def end_one(_: Turns) -> None:
        if clients and not next(rests) % 3:
            left = len(app.book.open)
            clients.pop().close()
            eventually(lambda: len(app.book.open) < left)

    monkeypatch.setattr(Turns, "rest", end_one)
    seen: list[tuple[int, int, int]] = []
    while clients:
        (router,) = read_frame(app)["routers"]
        (server,), (row,) = router["servers"], router["destinations"]
        seen.append((server["rxBytes"], row["rxBytes"], sum(each["rxBytes"] for each in row["endpoints"])))
    assert seen == [(6_000, 6_000, 6_000)] * len(seen)
    assert len(seen) > 1


def test_bytes_of_an_endpoint_that_is_gone_stay_with_its_destination(app: FakeApp) -> None:
    app.connect().close()
    eventually(lambda: not app.book.open)
    (balancer,) = app.routers["default"].balancers()
    for endpoint in balancer.endpoints():
        endpoint.rx_bytes, endpoint.tx_bytes = 5, 7
    balancer._on_addr(Bound(()))
    (row,) = read_frame(app)["routers"][0]["destinations"]
    assert (row["rxBytes"], row["txBytes"], row["endpoints"]) == (10, 14, [])


def test_a_connection_that_outlives_its_endpoint_is_counted_to_the_end(app: FakeApp) -> None:
    client = app.connect()
    client.sendall(bytes(100))
    assert client.recv(100) == bytes(100)
    (balancer,) = app.routers["default"].balancers()
    balancer._on_addr(Bound(()))
    (row,) = read_frame(app)["routers"][0]["destinations"]
    assert (row["retired"], row["rxBytes"]) == (1, 100)
    client.close()
    eventually(lambda: not app.book.open)
    (row,) = read_frame(app)["routers"][0]["destinations"]
    assert (row["retired"], row["rxBytes"], row["txBytes"]) == (0, 100, 100)

"""One admin server over real workers: what it counts is what clients counted, whatever becomes of a worker."""

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from linkerd_tcp.workers.gather import DEADLINE_SECS
from tests.system.fleet import admin_pid, metrics_of, pids, serving, stopped
from tests.system.harness import Proxy, config, until
from tests.system.peers import Client, Visits, backends, visit

WEB = "/#/io.l5d.static/default"
LINE = len(b"line 0\n")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Two workers before two backends, `b0` and `b1`."""
    with backends(2) as two, Proxy(tmp_path, config([each.address for each in two], workers=2)) as started:
        yield started


@contextlib.contextmanager
def held(proxy: Proxy) -> Iterator[dict[int, Client]]:
    """An open connection of each worker, by its number."""
    with contextlib.ExitStack() as stack:
        found: dict[int, Client] = {}
        while len(found) < 2:
            client = stack.enter_context(Client(proxy.address))
            client.ask()
            found.setdefault(worker_of(proxy, client), client)
        yield found


def id_of(proxy: Proxy, client: Client) -> str:
    source = "{}:{}".format(*client.sock.getsockname())
    (shown,) = proxy.get_json(f"/connections.json?state=open&source={source}")["connections"]
    return str(shown["id"])


def worker_of(proxy: Proxy, client: Client) -> int:
    return int(id_of(proxy, client).partition("-")[0])


def is_closed_by_admin(proxy: Proxy, id_: str) -> bool:
    found = proxy.get_json("/connections.json?cause=closed_by_admin")["connections"]
    return id_ in [each["id"] for each in found]


def accepts(proxy: Proxy) -> float:
    return proxy.metric("l5d_srv_accepts_total")


def test_counters_are_what_the_clients_counted(proxy: Proxy) -> None:
    with Visits(proxy.address, 200) as load:
        until("some have been served", lambda: sum(load.names.values()) >= 100)
    made = load.made
    until("all have ended", lambda: proxy.metric("l5d_srv_closes_total") == made)
    assert accepts(proxy) == proxy.metric("l5d_balancer_connects_total", dst=WEB) == made
    assert proxy.metric("l5d_srv_stream_rx_bytes_total") == made * LINE
    assert proxy.metric("l5d_srv_stream_tx_bytes_total") == made * (LINE + len("b0 "))
    assert proxy.metric("l5d_srv_connect_latency_seconds_count") == made
    assert proxy.metric("l5d_srv_active") == 0
    alone = [sum(metrics_of(proxy, number, "l5d_srv_accepts_total").values()) for number in (0, 1)]
    assert sum(alone) == made
    assert min(alone) > 0
    connects = {address: row["connects"] for address, row in proxy.endpoint_states().items()}
    assert sum(connects.values()) == made


def test_a_killed_worker_takes_no_counter_back(proxy: Proxy) -> None:
    visit(proxy.address, 40)
    until("all have ended", lambda: proxy.metric("l5d_srv_closes_total") == 40)
    before = proxy.metrics()
    pid = pids(proxy)[0]
    os.kill(pid, signal.SIGKILL)
    serving(proxy, 0, pid)
    after = proxy.metrics()
    counters = [key for key in before if key[0].endswith(("_total", "_count", "_bucket")) and key[0].startswith("l5d_")]
    assert {key: after.get(key) for key in counters if after.get(key, 0.0) < before[key]} == {}
    assert accepts(proxy) == 40
    assert proxy.metric("l5d_worker_restarts_total", worker="0") == 1
    visit(proxy.address, 20)
    until("they are counted on top", lambda: accepts(proxy) == 60)


def test_a_gauge_of_a_killed_worker_goes_with_it(proxy: Proxy) -> None:
    with held(proxy) as clients:
        assert proxy.metric("l5d_srv_active") >= 2
        pid = pids(proxy)[0]
        os.kill(pid, signal.SIGKILL)
        serving(proxy, 0, pid)
        open_now = len([client for client in clients.values() if not client.ended()])
        assert open_now == 1
        ids = {each["id"] for each in proxy.get_json("/connections.json?state=open")["connections"]}
        assert {id_.partition("-")[0] for id_ in ids} == {"1"}
        assert proxy.metric("l5d_srv_active") == len(ids)


def test_connections_of_both_workers_are_in_one_list_and_each_is_closed_by_its_id(proxy: Proxy) -> None:
    with held(proxy) as clients:
        shown = proxy.get_json("/connections.json?state=open")["connections"]
        assert {each["id"].partition("-")[0] for each in shown} == {"0", "1"}
        accepted = [each["acceptedAt"] for each in shown]
        assert accepted == sorted(accepted, reverse=True)
        for client in clients.values():
            id_ = id_of(proxy, client)
            assert proxy.post(f"/connections/{id_}/close")[0] == 200
            client.wait_for_end(5)
            until("it is remembered", partial(is_closed_by_admin, proxy, id_))
            assert proxy.post(f"/connections/{id_}/close")[0] == 404


def test_pages_over_both_workers_have_each_connection_once(proxy: Proxy) -> None:
    visit(proxy.address, 60)
    until("all have ended", lambda: proxy.metric("l5d_srv_closes_total") == 60)
    shown: list[str] = []
    after = ""
    while after is not None:
        page = proxy.get_json(f"/connections.json?limit=7&after={after}")
        shown += [each["id"] for each in page["connections"]]
        after = page["next"]
    assert len(shown) == len(set(shown)) == 60
    numbers = [int(id_.partition("-")[2], 16) for id_ in shown]
    assert numbers == sorted(numbers, reverse=True)


def test_a_drain_reaches_both_workers(proxy: Proxy) -> None:
    with held(proxy):
        which = {"bound": WEB, "address": next(iter(proxy.endpoint_states()))}
        assert proxy.post("/endpoints/drain", which)[0] == 200
        assert len(visit(proxy.address, 40)) == 1
        assert [row["drained"] for row in proxy.endpoint_states().values()] == [True, False]
        assert proxy.post("/endpoints/undrain", which)[0] == 200
        assert len(visit(proxy.address, 60)) == 2


def test_a_worker_that_hangs_is_named_and_holds_up_nobody(proxy: Proxy) -> None:
    with held(proxy):
        before = accepts(proxy)
        with stopped(pids(proxy)[1]):
            status, text = proxy.request("GET", "/ready", secs=DEADLINE_SECS)
            assert (status, "worker 1 does not answer" in text) == (503, True)
            assert proxy.get_json("/bindings.json")["unanswered"] == [1]
            assert accepts(proxy) == before
            assert proxy.metric("l5d_worker_up", worker="1") == 0
            assert [row["answers"] for row in proxy.get_json("/workers.json")] == [True, False]
            assert proxy.get("/ping") == (200, "pong")
        until("it answers again", lambda: proxy.get("/ready")[0] == 200)
        assert accepts(proxy) == before


def test_every_process_is_measured(proxy: Proxy) -> None:
    found = {
        dict(labels)["worker"]: value
        for (name, labels), value in proxy.metrics().items()
        if name == "process_resident_memory_bytes"
    }
    assert set(found) == {"0", "1", "admin", "supervisor"}
    assert min(found.values()) > 1_000_000


def test_the_first_page_shows_both_workers(proxy: Proxy) -> None:
    with held(proxy):
        status, page = proxy.get("/")
        assert status == 200
        for pid in pids(proxy):
            assert str(pid) in page
        rows = proxy.get_json("/overview.json")["workers"]
        assert [(row["worker"], row["state"]["text"]) for row in rows] == [("0", "serving"), ("1", "serving")]


def test_an_admin_process_that_is_killed_is_replaced_and_goes_on_counting(proxy: Proxy) -> None:
    visit(proxy.address, 10)
    until("all are counted", lambda: accepts(proxy) == 10)
    pid = admin_pid(proxy)
    os.kill(pid, signal.SIGKILL)
    until("another answers", lambda: accepts(proxy) == 10)


def test_namerds_api_is_on_the_admin_port_with_the_dtabs_of_the_store(tmp_path: Path) -> None:
    storage = {"kind": "io.l5d.inMemory", "namespaces": {"default": "/svc => /#/io.l5d.static;"}}
    conf = config(["127.0.0.1:1"], workers=2, namerd={"port": 0, "storage": storage})
    with Proxy(tmp_path, conf) as proxy:
        (entry,) = proxy.get_json("/namerd/api/1/dtabs/default")
        assert entry == {"prefix": "/svc", "dst": "/#/io.l5d.static"}
        kinds = [namer["kind"] for namer in proxy.get_json("/namers.json")["namers"]]
        assert kinds.count("io.l5d.static") == 1
        assert "namerdListening" in proxy.get_json("/config.json")
        assert proxy.metric("l5d_namer_updates_total") >= 0

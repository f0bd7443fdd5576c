"""Names that namerd binds: a source that dies, freezes, lies or comes back costs no connection and is seen to be away.

Each promise is held for the interpreter that watches, the one that polls as linkerd-tcp did and the namer, and for
a stand-in of linkerd's namerd as for our own.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.system.discovery import folder, follows, names_stale, rows_of
from tests.system.harness import Proxy, config, free_port, until
from tests.system.namerd_sources import NAMESPACE, Ours, Source, StandIn
from tests.system.peers import Backend, Held, Visits, backends, visit
from tests.tls_files import Authority

rows = partial(rows_of, "namerd")
is_stale = partial(names_stale, "namerd")

DEEP = bool(os.environ.get("LINKERD_TCP_TEST_DEEP"))
LOAD_SECS = 60.0 if DEEP else 2.0
PER_SECOND = 500
BASE_SECS, MAX_SECS = 0.2, 1.0
RETRY = {"baseSeconds": BASE_SECS, "maxSeconds": MAX_SECS}
PERIOD_SECS = 0.5
SILENCE_SECS = 1.0
"""As short as it may be, so that a frozen source is noticed soon."""

SLACK_SECS = 0.5
"""For two busy processes and a test to see it."""

CLIENTS = ("watch", "poll", "namer")
PAIRS = [(StandIn, client) for client in CLIENTS] + [(Ours, client) for client in (CLIENTS if DEEP else ("watch",))]
"""Who is asked, and who asks. With ours behind it, a client is the same client."""

each_pair = pytest.mark.parametrize(("source", "client"), PAIRS, indirect=["source"])
each_source = pytest.mark.parametrize("source", [StandIn, Ours], indirect=True)


def plane(source: Source, client: str, **options: Any) -> dict[str, Any]:
    """The configuration of a proxy that asks `source` for /svc/web."""
    api = {"baseUrl": source.base_url, "namespace": NAMESPACE, "retry": RETRY, "readTimeoutSecs": SILENCE_SECS}
    interpreter = {"kind": "io.l5d.namerd.http", **api}
    of_client: dict[str, Any] = {
        "watch": {"interpreter": {**interpreter, "watch": True, **options}},
        "poll": {"interpreter": {**interpreter, "periodSecs": PERIOD_SECS, **options}},
        "namer": {"dtab": "/svc => /#/io.l5d.namerd/svc"},
    }[client]
    router = {"label": "default", "servers": [{"port": 0, "dstName": "/svc/web"}], **of_client}
    namers = [{"kind": "io.l5d.namerd", **api, **options}] if client == "namer" else []
    return config(namers=namers, routers=[router])


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """A running namerd that knows nothing yet."""
    with request.param(tmp_path / "namerd") as made:
        yield made


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "namerd") as made:
        yield made


def kill(source: Source) -> Callable[[], None]:
    source.kill()
    return source.start


def freeze(source: Source) -> Callable[[], None]:
    source.freeze()
    return source.thaw


@pytest.mark.parametrize(
    ("harm", "source", "client"),
    # One that is frozen is its kernel's sockets and nothing more, whoever made them.
    [(kill, *pair) for pair in PAIRS] + [(freeze, *pair) for pair in PAIRS if DEEP or pair[0] is StandIn],
    indirect=["source"],
)
def test_a_source_that_is_away_costs_no_connection_and_what_moved_is_followed_at_its_return(
    tmp_path: Path, source: Source, client: str, harm: Callable[[Source], Callable[[], None]]
) -> None:
    with backends(2) as (old, new):
        source.addresses("web", old.address)
        source.route("web", "web")
        with Proxy(folder(tmp_path), plane(source, client)) as proxy:
            visit(proxy.address)
            with Held(proxy.address, 20) as held, Visits(proxy.address, PER_SECOND) as visits:
                gevent.sleep(0.5)
                back = harm(source)
                source.addresses("web", new.address)
                gevent.sleep(LOAD_SECS)
                until("it is said to be stale", lambda: is_stale(proxy))
                assert set(visits.names) == {"b0"}
                before = held.answers
                back()
                took = follows(visits, "b1", 2 * MAX_SECS + SLACK_SECS)
                until("open ones go on", lambda: held.answers > before + 20)
            print(f"followed {took:.2f} s after the return, {visits.made} connections")
            assert visits.made > LOAD_SECS * PER_SECOND * 0.9
            until("it is not said to be stale", lambda: not is_stale(proxy))


@each_pair
def test_a_source_that_is_restarted_again_and_again_costs_no_connection(
    tmp_path: Path, source: Source, client: str
) -> None:
    with backends(2) as pair:
        source.addresses("web", pair[0].address)
        source.route("web", "web")
        with Proxy(folder(tmp_path), plane(source, client)) as proxy:
            visit(proxy.address)
            with Held(proxy.address, 20), Visits(proxy.address, PER_SECOND) as visits:
                ends = time.monotonic() + LOAD_SECS
                turn = 0
                while turn < 2 or time.monotonic() < ends:
                    turn += 1
                    source.kill()
                    moved = pair[turn % 2]
                    source.addresses("web", moved.address)
                    source.start()
                    follows(visits, moved.name, 2 * MAX_SECS + SLACK_SECS)
            assert proxy.metric("l5d_srv_failures_total") == 0


@each_pair
def test_while_the_source_is_down_everything_says_so_and_connections_are_served(
    tmp_path: Path, source: Source, client: str
) -> None:
    with Backend("b") as backend:
        source.addresses("web", backend.address)
        source.route("web", "web")
        with Proxy(folder(tmp_path), plane(source, client)) as proxy:
            visit(proxy.address)
            assert not is_stale(proxy)
            assert all(row["error"] is None for row in rows(proxy))
            down_at = time.time()
            source.kill()
            until("/ready names it", lambda: is_stale(proxy))
            until("every watch has its error", lambda: all(row["error"] for row in rows(proxy)))
            for row in rows(proxy):
                assert row["errorAt"] >= down_at - 1
                assert time.time() - 2 < row["nextAttemptAt"] < time.time() + MAX_SECS + 1
                assert row["lastGoodAt"] < time.time()
                assert row["state"] == "bound", row
            errors = proxy.metric("l5d_namer_errors_total")
            assert errors > 0
            until("each failure is counted", lambda: proxy.metric("l5d_namer_errors_total") > errors)
            assert proxy.metric("l5d_namer_last_good_timestamp_seconds") > down_at - 60
            assert proxy.metric("l5d_namer_stale_watches") == len(rows(proxy))
            assert "namerd" in proxy.log
            assert set(visit(proxy.address, 20)) == {"b"}
            said = proxy.log.count(f":{source.port}")
            errors = proxy.metric("l5d_namer_errors_total")
            until("each fails again", lambda: proxy.metric("l5d_namer_errors_total") >= errors + 2 * len(rows(proxy)))
            assert proxy.log.count(f":{source.port}") <= said + 1, "the same failure is logged again and again"
            source.start()
            until("/ready is clear", lambda: not is_stale(proxy))
            until("every watch is well", lambda: all(row["error"] is None for row in rows(proxy)))
            assert proxy.metric("l5d_namer_stale_watches") == 0


@each_source
@pytest.mark.parametrize("client", ["watch", "namer"])
def test_a_weighted_union_is_honoured_for_each_connection_and_shifted_live(
    tmp_path: Path, source: Source, client: str
) -> None:
    with backends(2) as (old, new):
        source.addresses("old", old.address)
        source.addresses("new", new.address)
        source.route("web", old=0.9, new=0.1)
        with Proxy(folder(tmp_path), plane(source, client)) as proxy:
            names = visit(proxy.address, 500)
            assert 15 <= names["b1"] <= 100, names  # 50 is expected: five standard deviations either way
            with Visits(proxy.address, 300) as visits:
                gevent.sleep(0.3)
                source.route("web", old=0.0, new=1.0)
                until("all go to the new one", lambda: set(visit(proxy.address, 20)) == {"b1"})
                gevent.sleep(0.3)
            assert set(visit(proxy.address, 100)) == {"b1"}
            assert visits.made


@each_source
def test_polling_follows_what_namerd_says(tmp_path: Path, source: Source) -> None:
    with backends(2) as (one, two):
        source.addresses("web", one.address)
        source.route("web", "web")
        with Proxy(folder(tmp_path), plane(source, "poll")) as proxy:
            assert set(visit(proxy.address, 5)) == {"b0"}
            source.addresses("web", two.address)
            until("the other one", lambda: set(visit(proxy.address)) == {"b1"}, 3 * PERIOD_SECS + SLACK_SECS)


def test_a_poller_asks_once_a_period_and_not_for_each_connection(tmp_path: Path, standin: StandIn) -> None:
    with Backend("b") as backend:
        standin.addresses("web", backend.address)
        standin.route("web", "web")
        with Proxy(folder(tmp_path), plane(standin, "poll")) as proxy:
            visit(proxy.address)
            before = Counter(standin.figures()["requests"])
            with Visits(proxy.address, 300):
                gevent.sleep(3.0)
            asked = Counter(standin.figures()["requests"]) - before
            assert set(asked) == {"resolve"}
            assert 4 <= asked["resolve"] <= 9, asked


def test_streams_are_one_for_a_tree_and_one_for_each_name_and_end_with_the_proxy(
    tmp_path: Path, standin: StandIn
) -> None:
    with backends(2) as (one, two):
        standin.addresses("a", one.address)
        standin.addresses("b", two.address)
        standin.route("web", a=0.5, b=0.5)
        with Proxy(folder(tmp_path), plane(standin, "watch")) as proxy:
            with Visits(proxy.address, 200):
                gevent.sleep(1.0)
            wanted = {"bind watch": 1, "addr watch": 2}
            until("no more and no fewer", lambda: standin.figures()["streams"] == wanted)
            assert proxy.terminate() == 0
        until("no stream is left", lambda: not standin.figures()["streams"])


@pytest.mark.parametrize("client", ["watch", "namer"])
def test_a_source_whose_streams_end_at_once_is_not_hammered(tmp_path: Path, standin: StandIn, client: str) -> None:
    with Backend("b") as backend:
        standin.addresses("web", backend.address)
        standin.route("web", "web")
        standin.faults({"kind": "once"})
        with Proxy(folder(tmp_path), plane(standin, client)) as proxy, Visits(proxy.address, 100):
            visit(proxy.address)
            before = Counter(standin.figures()["requests"])
            gevent.sleep(3.0)
            asked = Counter(standin.figures()["requests"]) - before
            assert 1 <= asked.total() <= 2 * 3.0 / (BASE_SECS / 2), asked


LIES: tuple[dict[str, Any], ...] = (
    {"kind": "error_line"},
    {"kind": "status", "arguments": {"code": 404, "body": ""}},
    {"kind": "status", "arguments": {"code": 500}},
    {"kind": "status_silent"},
    {"kind": "garbage"},
    {"kind": "cut"},
    {"kind": "empty"},
    {"kind": "not_http"},
    {"kind": "huge"},
    {"kind": "endless_headers"},
    {"kind": "redirect", "arguments": {"location": "http://127.0.0.1:1/"}},
    {"kind": "instead", "arguments": {"text": '{"type":"bound","addrs":{"ip":7}}'}},
    {"kind": "instead", "arguments": {"text": '{"type":"leaf","bound":[]}'}},
)


@pytest.mark.parametrize("client", ["watch", "poll"])
def test_nothing_that_namerd_answers_costs_a_connection_or_replaces_the_last_good(
    tmp_path: Path, standin: StandIn, client: str
) -> None:
    with backends(2) as (old, new):
        standin.addresses("web", old.address)
        standin.route("web", "web")
        # There are many lies: it is to come back soon after each.
        soon = {"retry": {"baseSeconds": 0.05, "maxSeconds": 0.2}, **({"periodSecs": 0.1} if client == "poll" else {})}
        with Proxy(folder(tmp_path), plane(standin, client, **soon)) as proxy:
            visit(proxy.address)
            with Held(proxy.address, 10), Visits(proxy.address, 200) as visits:
                for lie in LIES:
                    standin.faults(lie)
                    standin.cut()
                    until(f"{lie} is seen", lambda: any(row["error"] for row in rows(proxy)))
                    made = visits.names.total()
                    until("connections are made", lambda made=made: visits.names.total() >= made + 20)
                    standin.faults()
                    standin.cut()
                    until(f"{lie} is over", lambda: not any(row["error"] for row in rows(proxy)))
                assert set(visits.names) == {"b0"}
                standin.addresses("web", new.address)
                follows(visits, "b1", 2 * MAX_SECS + SLACK_SECS)


@pytest.mark.parametrize("client", ["watch", "poll"])
@pytest.mark.parametrize("kind", ["flood", "continues", "huge"])
def test_a_source_that_does_not_stop_talking_keeps_the_loop_from_nobody(
    tmp_path: Path, standin: StandIn, kind: str, client: str
) -> None:
    with backends(2) as (old, new):
        standin.addresses("web", old.address)
        standin.route("web", "web")
        with Proxy(folder(tmp_path), plane(standin, client)) as proxy:
            with Held(proxy.address, 10) as held, Visits(proxy.address, 100) as visits:
                visit(proxy.address)
                standin.faults({"kind": kind})
                standin.cut()
                gevent.sleep(LOAD_SECS)
                assert held.answers > 10
                assert proxy.get("/ready")[0] == 200
                standin.faults()
                standin.cut()
                standin.addresses("web", new.address)
                follows(visits, "b1", 2 * MAX_SECS + SLACK_SECS)
            assert resident_mb(proxy.pid) < 300


def resident_mb(pid: int) -> float:
    """Of that process; 0 where it cannot be seen."""
    status = Path(f"/proc/{pid}/status")
    text = status.read_text() if status.exists() else "VmRSS: 0 kB"
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


@each_source
def test_neg_from_namerd_is_a_name_not_found_until_it_is_there(tmp_path: Path, source: Source) -> None:
    with Backend("b") as backend, Proxy(folder(tmp_path), plane(source, "watch")) as proxy:
        with pytest.raises(ConnectionError):
            visit(proxy.address)
        assert proxy.closed(1)[-1]["cause"] == "not_found"
        source.addresses("web", backend.address)
        source.route("web", "web")
        until("it is found", lambda: _reached(proxy))


def _reached(proxy: Proxy) -> set[str]:
    """Which backend a connection leads to; none, where it leads nowhere."""
    try:
        return set(visit(proxy.address))
    except ConnectionError:
        return set()


@each_source
def test_a_dtab_falls_back_between_files_and_namerd(tmp_path: Path, source: Source) -> None:
    """The last alternative is namerd; a name that is not in the files is looked for there."""
    with backends(2) as (from_file, from_namerd):
        source.addresses("web", from_namerd.address)
        source.route("web", "web")
        conf = plane(source, "namer")
        conf["namers"].append({"kind": "io.l5d.fs", "rootDir": "disco"})
        conf["routers"][0]["dtab"] = "/svc => /#/io.l5d.fs | /#/io.l5d.namerd/svc"
        with Proxy(folder(tmp_path), conf) as proxy:
            assert set(visit(proxy.address, 5)) == {"b1"}
            path = proxy.endpoints("web.yml", [from_file.address])
            until("the file's", lambda: set(visit(proxy.address)) == {"b0"})
            path.unlink()
            # Until namerd has answered a connection waits: none fails.
            until("namerd's", lambda: set(visit(proxy.address)) == {"b1"})
            source.kill()
            until("namerd is seen to be away", lambda: is_stale(proxy))
            assert set(visit(proxy.address, 5)) == {"b1"}
            proxy.endpoints("web.yml", [from_file.address])
            until("the file's again, without namerd", lambda: set(visit(proxy.address)) == {"b0"})


@pytest.mark.parametrize("client", CLIENTS)
def test_proxy_variables_of_the_environment_are_ignored(tmp_path: Path, standin: StandIn, client: str) -> None:
    with Backend("b") as backend, Backend("trap") as trap:
        standin.addresses("web", backend.address)
        standin.route("web", "web")
        names = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy")
        environment = dict.fromkeys(names, f"http://{trap.address}") | {"NO_PROXY": "", "no_proxy": ""}
        with Proxy(folder(tmp_path), plane(standin, client), environment=environment) as proxy:
            assert set(visit(proxy.address, 3)) == {"b"}
        assert trap.accepted == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_namerd_is_asked_over_tls_by_its_right_name_only(tmp_path: Path, client: str) -> None:
    authority = Authority(tmp_path / "ca")
    identity = authority.sign("namerd.test")
    with Backend("b") as backend, StandIn(tmp_path / "namerd", identity) as source:
        source.kill()
        source.addresses("web", backend.address)
        source.route("web", "web")
        source.start()
        tls = {"dnsName": "namerd.test", "trustCerts": [str(authority.cert)]}
        with Proxy(folder(tmp_path, "right"), plane(source, client, tls=tls)) as proxy:
            assert set(visit(proxy.address, 3)) == {"b"}
        wrong = plane(source, client, tls={**tls, "dnsName": "other.test"})
        wrong["routers"][0]["servers"][0]["connectTimeoutMs"] = 500
        with Proxy(folder(tmp_path, "wrong"), wrong) as proxy:
            with pytest.raises((ConnectionError, TimeoutError)):
                visit(proxy.address)
            until("why is said", lambda: any(row["error"] and "other.test" in row["error"] for row in rows(proxy)))
            until("it is logged", lambda: "other.test" in proxy.log)


@each_pair
def test_a_reload_of_something_else_while_namerd_is_down_keeps_the_bindings(
    tmp_path: Path, source: Source, client: str
) -> None:
    with backends(2) as (old, new):
        source.addresses("web", old.address)
        source.route("web", "web")
        conf = plane(source, client)
        server = conf["routers"][0]["servers"][0]
        server["port"] = free_port()
        with Proxy(folder(tmp_path), conf) as proxy:
            visit(proxy.address)
            with Held(proxy.address, 10), Visits(proxy.address, PER_SECOND) as visits:
                source.kill()
                for idle in (10_000, 20_000):
                    server["idleTimeoutMs"] = idle
                    proxy.write(conf)
                    proxy.signal(signal.SIGHUP)
                    until("it is applied", lambda idle=idle: _idle_timeout_ms(proxy) == idle)
                    gevent.sleep(0.3)
                assert set(visits.names) == {"b0"}
                source.addresses("web", new.address)
                source.start()
                follows(visits, "b1", 2 * MAX_SECS + SLACK_SECS)


def _idle_timeout_ms(proxy: Proxy) -> int:
    return int(proxy.get_json("/config.json")["routers"][0]["servers"][0]["idleTimeoutMs"])

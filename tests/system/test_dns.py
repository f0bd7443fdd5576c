"""Names from a real DNS server: it changes under load, is killed, freezes, lies and comes back, and no connection is
lost; what is stale is seen.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.namers.dns_server import DnsServer
from tests.system.discovery import folder, follows, names_stale, rows_of
from tests.system.dns_source import Dnsmasq
from tests.system.harness import Proxy, config, free_port, until
from tests.system.peers import Backend, Held, Visits, backends, visit

rows = partial(rows_of, "dns")
is_stale = partial(names_stale, "io.l5d.dns")

DEEP = bool(os.environ.get("LINKERD_TCP_TEST_DEEP"))
LOAD_SECS = 60.0 if DEEP else 3.0
PER_SECOND = 500
MIN_TTL_SECS = 0.5
BACKOFF_SECS = 2 * MIN_TTL_SECS
"""The longest wait between two attempts that fail, by this least time."""

SLACK_SECS = 0.5
"""For two busy processes and a test to see it."""

OLD, NEW = "127.0.0.2", "127.0.0.3"
SERVICE = "_web._tcp.example"


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Dnsmasq]:
    """A running server that knows web.example."""
    made = Dnsmasq(tmp_path / "dns")
    made.host("web.example", OLD)
    with made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[Backend, Backend]]:
    """One port, on both addresses."""
    port = free_port()
    with Backend("old", ip=OLD, port=port) as old, Backend("new", ip=NEW, port=port) as new:
        yield old, new


def plane(source: Dnsmasq, dst: str, **options: Any) -> dict[str, Any]:
    """The configuration of a proxy whose /svc/web is `dst`."""
    given = {"servers": [source.address], "minTtlSecs": MIN_TTL_SECS, **options}
    namers = [{"kind": "io.l5d.dns", **given}, {"kind": "io.l5d.dnssrv", **given}]
    router = {"label": "default", "servers": [{"port": 0, "dstName": "/svc/web"}], "dtab": f"/svc/web => {dst} ;"}
    return config(namers=namers, routers=[router])


def host(pair: tuple[Backend, Backend]) -> str:
    return f"/#/io.l5d.dns/{pair[0].port}/web.example"


def test_a_zone_that_changes_under_load_moves_new_connections_and_loses_none(
    tmp_path: Path, source: Dnsmasq, pair: tuple[Backend, Backend]
) -> None:
    with Proxy(folder(tmp_path), plane(source, host(pair))) as proxy:
        assert set(visit(proxy.address, 3)) == {"old"}
        with Held(proxy.address, 20) as held, Visits(proxy.address, PER_SECOND) as visits:
            ends = time.monotonic() + LOAD_SECS
            turns = 0
            while turns < 2 or time.monotonic() < ends:
                for ip, name in ((NEW, "new"), (OLD, "old")):
                    source.host("web.example", ip)
                    # The other one is only out of use once new connections leave it alone.
                    follows(visits, name, 1.1 * MIN_TTL_SECS + SLACK_SECS)
                    gevent.sleep(0.2)
                turns += 1
        assert set(held.names) == {"old"}
        assert visits.made > LOAD_SECS * PER_SECOND * 0.9


def kill(source: Dnsmasq) -> Callable[[], None]:
    source.kill()
    return source.start


def freeze(source: Dnsmasq) -> Callable[[], None]:
    source.freeze()
    return source.thaw


@pytest.mark.parametrize("harm", [kill, freeze])
def test_a_server_that_is_away_costs_no_connection_and_what_moved_is_followed_at_its_return(
    tmp_path: Path, source: Dnsmasq, pair: tuple[Backend, Backend], harm: Callable[[Dnsmasq], Callable[[], None]]
) -> None:
    with Proxy(folder(tmp_path), plane(source, host(pair))) as proxy:
        assert set(visit(proxy.address, 3)) == {"old"}
        with Held(proxy.address, 20) as held, Visits(proxy.address, PER_SECOND) as visits:
            gevent.sleep(0.5)
            back = harm(source)
            source.host("web.example", NEW)
            gevent.sleep(LOAD_SECS)
            until("it is said to be stale", lambda: is_stale(proxy))
            [row] = rows(proxy)
            assert (row["name"], row["state"]) == (f"/{pair[0].port}/web.example", "bound")
            assert source.address in row["error"]
            assert row["lastGoodAt"] < row["errorAt"]
            assert proxy.metric("l5d_namer_errors_total") > 0
            assert proxy.metric("l5d_namer_stale_watches") == 1
            assert proxy.log.count("the last good answer is kept") == 1, proxy.log
            assert set(visits.names) == {"old"}
            before = held.answers
            back()
            took = follows(visits, "new", 2 * BACKOFF_SECS + SLACK_SECS)
            until("open ones go on", lambda: held.answers > before + 20)
        print(f"followed {took:.2f} s after the return, {visits.made} connections")
        assert visits.made > LOAD_SECS * PER_SECOND * 0.9
        until("it is not said to be stale", lambda: not is_stale(proxy))
        assert proxy.metric("l5d_namer_stale_watches") == 0
        assert "web.example is answered again" in proxy.log


def test_a_server_that_is_restarted_again_and_again_costs_no_connection(
    tmp_path: Path, source: Dnsmasq, pair: tuple[Backend, Backend]
) -> None:
    with Proxy(folder(tmp_path), plane(source, host(pair))) as proxy:
        visit(proxy.address, 3)
        with Held(proxy.address, 20), Visits(proxy.address, PER_SECOND) as visits:
            ends = time.monotonic() + LOAD_SECS
            turn = 0
            while turn < 2 or time.monotonic() < ends:
                turn += 1
                (kill, freeze)[turn % 2](source)()
                gevent.sleep(0.1)
        assert set(visits.names) == {"old"}


def test_a_name_that_was_never_known_says_why_and_one_that_is_none_falls_back(tmp_path: Path, source: Dnsmasq) -> None:
    with Backend("spare") as spare:
        conf = plane(source, f"/#/io.l5d.dns/80/no.example | /$/inet/127.0.0.1/{spare.port}")
        with Proxy(folder(tmp_path), conf) as proxy:
            assert set(visit(proxy.address, 3)) == {"spare"}
    source.kill()
    (tmp_path / "other").mkdir()
    with Proxy(tmp_path / "other", plane(source, "/#/io.l5d.dns/80/web.example")) as proxy:
        with pytest.raises(ConnectionError):
            visit(proxy.address)
        [line] = proxy.closed(1)
        assert line["cause"] == "binding"
        assert source.address in str(line)


@pytest.mark.parametrize("fault", ["servfail", "refused", "drop", "garbage"])
def test_a_server_that_passes_on_nonsense_changes_nothing(
    tmp_path: Path, pair: tuple[Backend, Backend], fault: str
) -> None:
    """dnsmasq forwards what is not its own to a server that misbehaves."""
    with DnsServer() as upstream:
        upstream.set("web.other", "A", OLD, ttl=0)
        options = (f"--server=127.0.0.1#{upstream.port}", "--no-negcache")
        with Dnsmasq(tmp_path / "dns", *options) as source:
            conf = plane(source, f"/#/io.l5d.dns/{pair[0].port}/web.other")
            with Proxy(folder(tmp_path), conf) as proxy, Visits(proxy.address, 200) as visits:
                until("it is known", lambda: visits.names["old"])
                upstream.fault = fault
                until("it is said to be stale", lambda: is_stale(proxy))
                upstream.set("web.other", "A", NEW, ttl=0)
                upstream.fault = ""
                follows(visits, "new", 2 * BACKOFF_SECS + 2.0 + SLACK_SECS)


# SRV


def records(*weighted: tuple[Backend, int, int]) -> list[str]:
    """Each backend with priority and weight, as dnsmasq reads it; all are one host."""
    return [f"web.example,{backend.port},{priority},{weight}" for backend, priority, weight in weighted]


def shares(names: Counter[str]) -> dict[str, float]:
    return {name: count / names.total() for name, count in names.items()}


def test_srv_records_split_by_weight_and_follow_a_restart_under_load(tmp_path: Path, source: Dnsmasq) -> None:
    source.host("web.example", "127.0.0.1")
    with backends(3) as (light, heavy, spare):
        source.service(SERVICE, *records((light, 1, 10), (heavy, 1, 90), (spare, 2, 100)))
        source.kill()
        source.start()
        with Proxy(folder(tmp_path), plane(source, f"/#/io.l5d.dnssrv/{SERVICE}")) as proxy:
            visit(proxy.address)
            # No held ones: where they happened to land would shift the others' shares.
            with Visits(proxy.address, PER_SECOND) as visits:
                gevent.sleep(LOAD_SECS / 2)
                split = shares(visits.names)
                assert set(split) == {"b0", "b1"}
                assert 0.02 < split["b0"] < 0.25, split
                source.kill()
                source.service(SERVICE, *records((spare, 2, 100)))
                gevent.sleep(LOAD_SECS / 2)
                assert "b2" not in visits.names
                source.start()
                follows(visits, "b2", 2 * BACKOFF_SECS + SLACK_SECS)
            assert set(visit(proxy.address, 10)) == {"b2"}


def test_an_answer_too_long_for_a_datagram_is_whole(tmp_path: Path, source: Dnsmasq) -> None:
    """dnsmasq answers over TCP then."""
    with Backend("b") as backend:
        names = [f"a-rather-long-name-of-one-of-very-many-targets-{number}.example" for number in range(100)]
        for number, name in enumerate(names):
            source.host(name, f"127.0.1.{number + 1}")
        source.service(SERVICE, *(f"{name},{backend.port},1,1" for name in names))
        source.kill()
        source.start()
        with Proxy(folder(tmp_path), plane(source, f"/#/io.l5d.dnssrv/{SERVICE}")) as proxy:
            with pytest.raises(ConnectionError):
                visit(proxy.address)  # nobody listens there: it is the names that are of interest
            until("all are known", lambda: rows(proxy)[0]["addresses"] == 100)
            assert rows(proxy)[0]["error"] is None

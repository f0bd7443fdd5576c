from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from pydantic import ValidationError

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import PENDING, Addr, Address, Bound, Failed
from linkerd_tcp.naming.namer import NamerContext
from linkerd_tcp.naming.nametree import NEG, Leaf, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.testing import FakeHosts, NamerContract
from namers import dns_names, dnssrv
from namers.dns_message import Service
from namers.dns_servers import Server
from namers.dnssrv import DnsSrvConfig, ServiceNamer, shares
from tests.leaks import no_leaks
from tests.namers.dns_server import DnsServer
from tests.sockets import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

WEB = Path(("_http._tcp.example",))
NAME = "_http._tcp.example"


def config(**options: Any) -> DnsSrvConfig:
    return DnsSrvConfig.model_validate({"kind": "io.l5d.dnssrv", **options})


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.soa_minimum = 0
        server.set("a.example", "A", "10.0.0.1", ttl=0)
        server.set("b.example", "A", "10.0.0.2", ttl=0)
        server.set(NAME, "SRV", "1 10 80 a.example.", "1 30 81 b.example.", ttl=0)
        yield server


@pytest.fixture
def namer(server: DnsServer) -> Iterator[ServiceNamer]:
    namer = config(servers=[server.address], minTtlSecs=0.1).build(NamerContext(FakeHosts()))
    namer.start()
    yield namer
    namer.close()


class TestDnsSrv(NamerContract):
    @pytest.fixture
    def known(self) -> Path:
        return Path((*WEB, "rest"))


def addr_of(watch: Watch[Any]) -> Addr | None:
    """The addresses that the one leaf there leads to."""
    if not isinstance(watch.value, Leaf):
        return None
    [name] = leaves(watch.value)
    return name.addr.value


def bound(*addresses: tuple[str, int, float]) -> Bound:
    return Bound(tuple(Address(*each) for each in addresses))


BOTH = bound(("10.0.0.1", 80, 10), ("10.0.0.2", 81, 30))


def test_it_is_registered_under_its_kind() -> None:
    assert registry.load("namer", "io.l5d.dnssrv") is DnsSrvConfig


def test_the_records_targets_are_the_addresses_with_port_and_weight(namer: ServiceNamer) -> None:
    watch = namer.lookup(WEB)
    assert watch.value == PENDING
    eventually(lambda: addr_of(watch) == BOTH)
    assert [str(name.id) for name in leaves(watch.value)] == ["/#/io.l5d.dnssrv/_http._tcp.example"]
    watch.close()


def test_all_addresses_of_a_target_share_its_weight(namer: ServiceNamer, server: DnsServer) -> None:
    server.set("b.example", "A", "10.0.0.2", "10.0.0.3")
    server.set("b.example", "AAAA", "fd00::1")
    watch = namer.lookup(WEB)
    eventually(
        lambda: (
            addr_of(watch)
            == bound(("10.0.0.1", 80, 10), ("10.0.0.2", 81, 10), ("10.0.0.3", 81, 10), ("fd00::1", 81, 10))
        )
    )
    watch.close()


def test_an_address_of_several_records_has_the_weight_of_all(namer: ServiceNamer, server: DnsServer) -> None:
    server.set(NAME, "SRV", "1 10 80 a.example.", "1 30 80 b.example.")
    server.set("b.example", "A", "10.0.0.1")
    watch = namer.lookup(WEB)
    eventually(lambda: addr_of(watch) == bound(("10.0.0.1", 80, 40)))
    watch.close()


def test_the_lowest_priority_that_has_an_address_is_meant(namer: ServiceNamer, server: DnsServer) -> None:
    server.set(NAME, "SRV", "5 1 80 a.example.", "7 1 81 b.example.", "6 1 82 nobody.example.", ttl=0)
    watch = namer.lookup(WEB)
    eventually(lambda: addr_of(watch) == bound(("10.0.0.1", 80, 1)))
    server.set("a.example", "A")
    eventually(lambda: addr_of(watch) == bound(("10.0.0.2", 81, 1)))
    server.set("nobody.example", "AAAA", "fd00::1", ttl=0)
    eventually(lambda: addr_of(watch) == bound(("fd00::1", 82, 1)))
    server.set("a.example", "A", "10.0.0.9", ttl=0)
    eventually(lambda: addr_of(watch) == bound(("10.0.0.9", 80, 1)))
    watch.close()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((0,), (1,)),
        ((0, 0, 0), (1, 1, 1)),
        ((10, 30), (10, 30)),
        ((0, 1000), (1, 1000)),
        ((0, 0, 65535), (0.5, 0.5, 65535)),
        ((0, 1), (0.01, 1)),
        ((0, 0, 1), (0.005, 0.005, 1)),
    ],
)
def test_weight_0_beside_others_is_a_very_small_chance_and_alone_it_is_equal(
    weights: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    """RFC 2782; an endpoint's weight 0 would be no new connections at all."""
    records = [Service(1, weight, 80, f"{index}.example.") for index, weight in enumerate(weights)]
    assert shares(records) == pytest.approx(expected)


@pytest.mark.parametrize(
    "records",
    [("0 0 0 .",), ("1 1 80 nobody.example.",), ("1 1 0 a.example.",), ("1 1 80 .", "2 1 80 nobody.example.")],
)
def test_records_that_lead_nowhere_are_not_found(
    namer: ServiceNamer, server: DnsServer, records: tuple[str, ...]
) -> None:
    server.set(NAME, "SRV", *records)
    watch = namer.lookup(WEB)
    eventually(lambda: watch.value == NEG)
    watch.close()


def test_no_record_and_no_such_name_are_not_found(namer: ServiceNamer) -> None:
    watches = [namer.lookup(Path((name,))) for name in ("a.example", "_nobody._tcp.example")]
    eventually(lambda: all(watch.value == NEG for watch in watches))
    assert namer.figures.errors == {}
    for watch in watches:
        watch.close()


def test_records_that_change_are_followed_and_targets_let_go(namer: ServiceNamer, server: DnsServer) -> None:
    watch = namer.lookup(WEB)
    eventually(lambda: addr_of(watch) == BOTH)
    server.set("c.example", "A", "10.0.0.3", ttl=0)
    server.set(NAME, "SRV", "1 10 80 c.example.", ttl=0)
    eventually(lambda: addr_of(watch) == bound(("10.0.0.3", 80, 10)))
    assert len(namer.asked._questions) == 2
    server.set(NAME, "SRV")
    eventually(lambda: watch.value == NEG)
    watch.close()
    assert namer.asked._questions == {}


def test_a_target_of_several_names_is_asked_for_once(namer: ServiceNamer, server: DnsServer) -> None:
    server.set("a.example", "A", "10.0.0.1", ttl=60)
    server.set("_x._tcp.example", "SRV", "1 1 80 a.example.", ttl=60)
    server.set("_y._tcp.example", "SRV", "1 1 90 a.example.", ttl=60)
    watches = [namer.lookup(Path((f"_{name}._tcp.example",))) for name in "xy"]
    eventually(lambda: all(isinstance(addr_of(watch), Bound) for watch in watches))
    assert server.asked("a.example", "A") == 1
    for watch in watches:
        watch.close()


def test_while_new_targets_are_not_known_the_old_ones_stay(namer: ServiceNamer, server: DnsServer) -> None:
    watch = namer.lookup(WEB)
    eventually(lambda: addr_of(watch) == BOTH)
    told: list[Any] = []
    [name] = leaves(watch.value)
    name.addr.observe(told.append)
    server.set("c.example", "A", "10.0.0.3", ttl=0)
    server.set(NAME, "SRV", "1 10 80 c.example.", ttl=0)
    server.fault, server.fault_of, server.slow_secs = "slow", 1, 0.3
    eventually(lambda: told)
    assert told == [bound(("10.0.0.3", 80, 10))]
    server.fault = ""
    watch.close()


def test_a_target_whose_server_fails_is_left_out_and_seen(namer: ServiceNamer, server: DnsServer) -> None:
    server.set(NAME, "SRV", "1 1 80 127-0-0-1.example.", "2 1 81 b.example.", ttl=0)
    server.fault, server.fault_of = "servfail", 1
    watch = namer.lookup(WEB)
    eventually(lambda: isinstance(watch.value, Failed))
    [row] = namer.watches()
    assert (row.state, "A of " in str(row.error)) == ("failed", True)
    server.fault = ""
    eventually(lambda: addr_of(watch) == bound(("10.0.0.2", 81, 1)))
    watch.close()


@pytest.mark.parametrize("fault", ["servfail", "drop", "garbage"])
def test_a_failing_server_keeps_every_address(namer: ServiceNamer, server: DnsServer, fault: str) -> None:
    namer.asked.query_secs = 0.2
    watch = namer.lookup(WEB)
    eventually(lambda: addr_of(watch) == BOTH)
    server.fault = fault
    eventually(lambda: sum(namer.figures.errors.values()) >= 6)
    assert addr_of(watch) == BOTH
    [row] = namer.watches()
    assert (row.state, row.addresses, row.is_stale) == ("bound", 2, True)
    server.fault = ""
    server.set("a.example", "A", "10.0.0.7", ttl=0)
    eventually(lambda: addr_of(watch) == bound(("10.0.0.2", 81, 30), ("10.0.0.7", 80, 10)))
    eventually(lambda: not next(iter(namer.watches())).is_stale)
    watch.close()


def test_a_target_that_hangs_holds_up_the_first_addresses_only_a_little(namer: ServiceNamer, server: DnsServer) -> None:
    with DnsServer() as hanging:
        server.set(NAME, "SRV", "1 1 80 a.example.", "1 1 80 c.example.", ttl=60)
        namer.asked.chosen.current = namer.asked.chosen.current._replace(servers=(Server(server.ip, server.port),))
        good = namer.asked.host("a.example.")
        eventually(lambda: isinstance(good.value, Bound))
        records = namer.asked.services(NAME)
        eventually(lambda: records.value != PENDING)
        hanging.fault = "drop"
        namer.asked.chosen.current = namer.asked.chosen.current._replace(servers=(Server(hanging.ip, hanging.port),))
        watch = namer.lookup(WEB)
        assert watch.value == PENDING
        eventually(lambda: addr_of(watch) == bound(("10.0.0.1", 80, 1)), secs=1.5)
        for each in (watch, good, records):
            each.close()


def test_a_thousand_targets_are_gathered_in_few_steps(namer: ServiceNamer, server: DnsServer) -> None:
    for number in range(300):
        server.set(f"t{number}.example", "A", f"10.1.{number // 250}.{number % 250}", ttl=60)
    server.set(NAME, "SRV", *(f"1 1 80 t{number}.example." for number in range(300)), ttl=60)
    watch = namer.lookup(WEB)
    told: list[Any] = []
    eventually(lambda: isinstance(addr_of(watch), Bound), secs=20)
    [name] = leaves(watch.value)
    name.addr.observe(told.append)
    eventually(lambda: len(name.addr.value.addresses) == 300, secs=20)
    assert len(told) < 150
    watch.close()


def test_more_addresses_than_the_bound_are_cut(
    namer: ServiceNamer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dnssrv, "MAX_ADDRESSES", 1)
    watch = namer.lookup(WEB)
    eventually(lambda: addr_of(watch) == bound(("10.0.0.1", 80, 10)))
    assert namer.figures.errors == {"limit": 1}
    assert "only the first 1 are used" in caplog.text
    watch.close()


def test_targets_beyond_the_bound_on_names_are_left_out_and_seen(
    namer: ServiceNamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_names, "MAX_NAMES", 2)  # the records' own name, and one target
    watch = namer.lookup(WEB)
    eventually(lambda: addr_of(watch) == bound(("10.0.0.1", 80, 10)))
    [row] = namer.watches()
    assert "more than 2 names" in str(row.error)
    watch.close()


def test_a_name_let_go_while_its_targets_are_asked_for_leaves_nothing(namer: ServiceNamer, server: DnsServer) -> None:
    server.fault, server.fault_of = "slow", 1
    watch = namer.lookup(WEB)
    eventually(lambda: server.asked("a.example", "A"))
    watch.close()
    assert namer.asked._questions == {}
    gevent.sleep(0)


def test_linkerds_options_are_read() -> None:
    options = config(refreshIntervalSeconds=7, dnsHosts=["127.0.0.1:5353", "::1"])
    assert options.lives.min_secs == 7
    assert options.chosen.current.servers == (Server("127.0.0.1", 5353), Server("::1", 53))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refreshIntervalSeconds": 5, "minTtlSecs": 5}, "means the same as minTtlSecs"),
        ({"refreshIntervalSeconds": 5, "refreshSecs": 5}, "means the same"),
        ({"dnsHosts": ["::1"], "servers": ["::1"]}, "means the same as servers"),
        ({"dnsHosts": ["dns.example"]}, "IP address of a DNS server"),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**options)

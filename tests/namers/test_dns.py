import subprocess
import sys
from collections.abc import Iterator
from time import time
from typing import Any

import pytest
from pydantic import ValidationError

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import PENDING, Address, Bound, Failed
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.namer import NamerContext
from linkerd_tcp.naming.nametree import NEG, Leaf, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing import FakeHosts, NamerContract
from linkerd_tcp.testing.namers import objects
from namers import dns_lookups
from namers.dns import DnsConfig, HostNamer
from namers.dns_names import Lives
from tests.leaks import no_leaks
from tests.namers.dns_server import DnsServer
from tests.sockets import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

WEB = Path(("80", "web.example"))


def config(**options: Any) -> DnsConfig:
    return DnsConfig.model_validate({"kind": "io.l5d.dns", **options})


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.soa_minimum = 0
        server.set("web.example", "A", "10.0.0.2", "10.0.0.1", ttl=0)
        server.set("web.example", "AAAA", "fd00::1", ttl=0)
        yield server


@pytest.fixture
def namer(server: DnsServer) -> Iterator[HostNamer]:
    namer = config(servers=[server.address], minTtlSecs=0.1).build(NamerContext(FakeHosts()))
    namer.start()
    yield namer
    namer.close()


class TestDns(NamerContract):
    @pytest.fixture
    def known(self) -> Path:
        return Path((*WEB, "rest"))


class TestDnsLiteral(NamerContract):
    """Addresses written out are known at once."""

    settle_secs = 0.0

    @pytest.fixture
    def known(self) -> Path:
        return Path(("80", "127.0.0.1", "rest"))


def test_it_is_registered_under_its_kind() -> None:
    assert registry.load("namer", "io.l5d.dns") is DnsConfig


def test_a_host_is_pending_and_then_every_address_it_has(namer: HostNamer) -> None:
    watch = namer.lookup(WEB)
    assert watch.value == PENDING
    eventually(lambda: watch.value != PENDING)
    [name] = leaves(watch.value)
    assert isinstance(name, BoundName)
    assert str(name.id) == "/#/io.l5d.dns/80/web.example"
    assert name.addr.value == Bound((Address("10.0.0.1", 80), Address("10.0.0.2", 80), Address("fd00::1", 80)))
    watch.close()


def test_two_ports_of_a_host_share_its_questions(namer: HostNamer, server: DnsServer) -> None:
    server.set("web.example", "A", "10.0.0.1", ttl=60)
    one, other = namer.lookup(WEB), namer.lookup(Path(("81", "WEB.example")))
    eventually(lambda: one.value != PENDING and other.value != PENDING)
    assert server.asked(rdtype="A") == 1
    [name] = leaves(other.value)
    assert str(name.id) == "/#/io.l5d.dns/81/web.example"
    one.close()
    other.close()


def test_a_host_that_goes_and_comes_is_a_name_that_goes_and_comes(namer: HostNamer, server: DnsServer) -> None:
    watch = namer.lookup(WEB)
    eventually(lambda: isinstance(watch.value, Leaf))
    [name] = leaves(watch.value)
    server.set("web.example", "A")
    server.set("web.example", "AAAA")
    eventually(lambda: watch.value == NEG)
    assert name.addr.value == NEG_ADDR
    server.set("web.example", "A", "10.0.0.3")
    eventually(lambda: watch.value == Leaf(name))
    assert name.addr.value == Bound((Address("10.0.0.3", 80),))
    watch.close()


def test_addresses_that_lead_nowhere_are_none(namer: HostNamer, server: DnsServer) -> None:
    server.set("web.example", "A", "0.0.0.0", "224.0.0.1", "10.0.0.3", ttl=0)
    server.set("web.example", "AAAA", "::", ttl=0)
    watch = namer.lookup(WEB)
    eventually(lambda: isinstance(watch.value, Leaf))
    [name] = leaves(watch.value)
    assert name.addr.value == Bound((Address("10.0.0.3", 80),))
    server.set("web.example", "A", "0.0.0.0", ttl=0)
    eventually(lambda: watch.value == NEG)
    watch.close()


def test_a_host_never_known_has_failed_and_one_known_keeps_its_addresses(namer: HostNamer, server: DnsServer) -> None:
    watch = namer.lookup(WEB)
    eventually(lambda: isinstance(watch.value, Leaf))
    server.fault = "servfail"
    other = namer.lookup(Path(("80", "other.example")))
    eventually(lambda: isinstance(other.value, Failed))
    assert "answered SERVFAIL" in str(other.value)
    eventually(lambda: all(row.error for row in namer.watches()))
    web, lost = sorted(namer.watches(), key=lambda row: row.name, reverse=True)
    assert (web.name, web.state, web.addresses, web.is_stale) == ("/80/web.example", "bound", 3, True)
    assert (lost.name, lost.state, lost.addresses) == ("/80/other.example", "failed", 0)
    assert web.last_good_at is not None
    assert web.error_at is not None
    assert web.last_good_at <= web.error_at <= time()
    eventually(lambda: any(row.next_attempt_at and row.next_attempt_at > time() for row in namer.watches()))
    assert set(namer.figures.errors) == {"servfail"}
    watch.close()
    other.close()


@pytest.mark.parametrize(
    "path", [("http", "web"), ("0", "web"), ("65536", "web"), ("web.example", "80"), ("-1", "web")]
)
def test_what_does_not_begin_with_a_port_fails_in_words(namer: HostNamer, path: tuple[str, ...]) -> None:
    value = namer.lookup(Path(path)).value
    assert isinstance(value, Failed)
    assert "/#/io.l5d.dns/<port>/<host>" in value.cause


@pytest.mark.parametrize(
    "host", ["a..b", "-a.example", "a b", "bücher.example", "x" * 64, ".".join(["x" * 63] * 4), "a" * 254, "%", "."]
)
def test_what_can_be_no_host_is_not_found_and_not_asked_for(namer: HostNamer, server: DnsServer, host: str) -> None:
    assert namer.lookup(Path(("80", host))).value == NEG
    assert server.queries == []


def test_search_domains_are_for_names_without_a_dot_at_the_end(server: DnsServer) -> None:
    namer = config(servers=[server.address], search=["example"], minTtlSecs=0.1).build(NamerContext(FakeHosts()))
    short, full = namer.lookup(Path(("80", "web"))), namer.lookup(Path(("80", "web.")))
    eventually(lambda: isinstance(short.value, Leaf) and full.value == NEG)
    assert [str(name.id) for name in leaves(short.value)] == ["/#/io.l5d.dns/80/web"]
    namer.close()


def test_more_names_than_the_bound_fail(namer: HostNamer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_lookups, "MAX_NAMES", 2)
    watches = [namer.lookup(Path(("80", f"n{number}.example"))) for number in range(3)]
    assert isinstance(watches[2].value, Failed)
    assert namer.figures.errors == {"limit": 1}
    for watch in watches:
        watch.close()
    assert list(namer.watches()) == []


def test_names_of_strangers_leave_little_behind(namer: HostNamer, server: DnsServer) -> None:
    """What is said of a name is remembered for a while, for a bounded number of them."""

    def ask(first: int) -> None:
        watches = [namer.lookup(Path(("80", f"n{number}.example"))) for number in range(first, first + 100)]
        eventually(lambda: all(watch.value == NEG for watch in watches))
        for watch in watches:
            watch.close()

    ask(0)
    server.queries.clear()
    before = objects()
    for first in range(100, 1500, 100):
        ask(first)
        server.queries.clear()
    assert len(namer.asked._remembered) <= 1000
    assert objects() - before < 40_000
    assert list(namer.watches()) == []


# -- options


def test_a_file_that_says_nothing_has_linkerds_least_time_and_the_systems_servers() -> None:
    options = config()
    assert options.lives == Lives(5.0, 300.0, 30.0)
    assert options.chosen.follows_system
    assert config(refreshSecs=7).lives.min_secs == 7
    assert config(minTtlSecs=8).lives.min_secs == 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"servers": ["dns.example"]}, "IP address of a DNS server"),
        ({"servers": ["127.0.0.1:0"]}, "port from 1 to 65535"),
        ({"servers": [f"127.0.0.{number}" for number in range(5)]}, "at most 4"),
        ({"search": ["a..b"]}, "expected a domain"),
        ({"search": ["bücher.example"]}, "xn-- form"),
        ({"ndots": 16}, "less than or equal to 15"),
        ({"minTtlSecs": 0}, "greater than or equal to 0.1"),
        ({"minTtlSecs": 1, "refreshSecs": 1}, "means the same as minTtlSecs"),
        ({"minTtlSecs": 400}, "is less than the least time, 400 s"),
        ({"anything": 1}, "Extra inputs"),
        ({"dnsHosts": ["127.0.0.1"]}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**options)


def test_options_are_shown_as_they_are_written() -> None:
    assert config(servers=["::1"], search=["SVC.example"]).model_dump(mode="json")["servers"] == ["[::1]:53"]
    assert config(search=["SVC.example"]).search == ("svc.example.",)


def test_dnspython_is_imported_only_where_a_file_names_the_kind() -> None:
    code = "import sys, linkerd_tcp.cli, namers.fs; print('dns' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

"""What both kinds share: when names are asked for, and what becomes of the answers."""

import logging
from collections.abc import Iterator
from pathlib import Path as File
from time import monotonic

import gevent
import pytest

from linkerd_tcp.naming.addr import NEG, PENDING, Address, Bound, Failed
from linkerd_tcp.naming.namer import NamerFigures
from namers import dns_names
from namers.dns_names import DnsNames, Lives
from namers.dns_servers import Chosen, Server, read_domain
from tests.leaks import no_leaks
from tests.namers.dns_server import DnsServer, dns_servers
from tests.sockets import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

FAST = Lives(0.1, 300.0, 0.2)
QUERY_SECS = 0.3


def bound(*ips: str) -> Bound:
    return Bound(tuple(Address(ip, 0) for ip in ips))


def at(server: DnsServer) -> Server:
    return Server(server.ip, server.port)


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.set("web.example", "A", "10.0.0.1", ttl=0)
        yield server


@pytest.fixture
def names(server: DnsServer) -> Iterator[DnsNames]:
    names = DnsNames(Chosen((at(server),)), FAST, NamerFigures(), QUERY_SECS)
    yield names
    names.close()


def test_a_name_is_pending_and_then_its_addresses(names: DnsNames, server: DnsServer) -> None:
    server.set("web.example", "A", "10.0.0.2", "10.0.0.1")
    server.set("web.example", "AAAA", "fd00::2", "fd00::1")
    watch = names.host("web.example")
    assert watch.value == PENDING
    eventually(lambda: watch.value == bound("10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"))
    watch.close()


def test_an_ip_literal_is_asked_of_nobody(names: DnsNames, server: DnsServer) -> None:
    assert names.host("127.1").value == bound("127.0.0.1")
    assert names.host("::1").value == bound("::1")
    assert server.queries == []


def test_a_change_is_told_once_the_life_of_the_answer_is_over(names: DnsNames, server: DnsServer) -> None:
    watch = names.host("web.example")
    eventually(lambda: watch.value == bound("10.0.0.1"))
    told: list[object] = []
    watch.observe(told.append)
    server.set("web.example", "A", "10.0.0.2", "10.0.0.3", ttl=0)
    eventually(lambda: told)
    before = server.asked()
    server.set("web.example", "A", "10.0.0.3", "10.0.0.2", ttl=0)  # rotated
    eventually(lambda: server.asked() >= before + 6)
    assert told == [bound("10.0.0.2", "10.0.0.3")]
    watch.close()


def test_everybody_who_watches_a_name_shares_its_questions(names: DnsNames, server: DnsServer) -> None:
    server.set("web.example", "A", "10.0.0.1", ttl=60)
    watches = [names.host("web.example") for _ in range(50)]
    eventually(lambda: all(watch.value == bound("10.0.0.1") for watch in watches))
    assert (server.asked(rdtype="A"), server.asked(rdtype="AAAA")) == (1, 1)
    for watch in watches:
        watch.close()


def test_a_name_that_nobody_watches_is_asked_for_no_more(names: DnsNames, server: DnsServer) -> None:
    watch, other = names.host("web.example"), names.host("other.example")
    eventually(lambda: server.asked("web.example") >= 4)
    watch.close()
    eventually(lambda: not names._questions[next(iter(names._questions))].asking)
    before = server.asked("web.example")
    others = server.asked("other.example")
    eventually(lambda: server.asked("other.example") >= others + 4)
    assert server.asked("web.example") <= before + 2  # one was under way
    other.close()


def test_what_was_said_is_remembered_for_as_long_as_it_holds(names: DnsNames, server: DnsServer) -> None:
    server.set("web.example", "A", "10.0.0.1", ttl=60)
    for name, value in (("web.example", bound("10.0.0.1")), ("no.example", NEG)):
        watch = names.host(name)
        eventually(lambda watch=watch, value=value: watch.value == value)
        watch.close()
        asked = server.asked(name)
        again = names.host(name)
        assert again.value == value
        assert server.asked(name) == asked
        again.close()
    gevent.sleep(FAST.max_negative_secs * 1.2)
    late = names.host("no.example")
    assert late.value == PENDING
    late.close()


def test_no_such_name_and_no_address_are_neg_and_asked_for_again(names: DnsNames, server: DnsServer) -> None:
    server.set("srv.example", "SRV", "1 1 1 web.example.")
    nobody, nothing = names.host("nobody.example"), names.host("srv.example")
    eventually(lambda: (nobody.value, nothing.value) == (NEG, NEG))
    server.set("nobody.example", "A", "10.0.0.1")
    server.set("srv.example", "AAAA", "fd00::1")
    eventually(lambda: (nobody.value, nothing.value) == (bound("10.0.0.1"), bound("fd00::1")))
    assert names.figures.errors == {}
    nobody.close()
    nothing.close()


def test_none_is_believed_for_no_longer_than_the_ceiling(names: DnsNames, server: DnsServer) -> None:
    server.soa_minimum = 3600
    watch = names.host("no.example")
    eventually(lambda: server.asked("no.example") >= 6)
    watch.close()


def test_a_name_that_goes_away_is_neg(names: DnsNames, server: DnsServer) -> None:
    watch = names.host("web.example")
    eventually(lambda: watch.value == bound("10.0.0.1"))
    server.set("web.example", "A")
    eventually(lambda: watch.value == NEG)
    watch.close()


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("servfail", "servfail"),
        ("refused", "refused"),
        ("drop", "timeout"),
        ("garbage", "malformed"),
        ("wrong_id", "malformed"),
        ("lame", "lame"),
        ("tcp_silent", "timeout"),
    ],
)
def test_a_failing_server_changes_nothing_that_was_good(
    names: DnsNames, server: DnsServer, fault: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch, gone = names.host("web.example"), names.host("no.example")
    eventually(lambda: (watch.value, gone.value) == (bound("10.0.0.1"), NEG))
    server.fault = fault
    eventually(lambda: names.figures.errors.get(cause, 0) >= 6)
    assert (watch.value, gone.value) == (bound("10.0.0.1"), NEG)
    never = names.host("new.example")
    eventually(lambda: isinstance(never.value, Failed))
    question = watch.question
    assert question is not None
    assert question.error is not None
    assert question.error.startswith(f"A of web.example: {server.address}: ")
    lines = [line for line in caplog.messages if "web.example" in line]
    assert len(lines) == 1, lines
    assert server.address in lines[0]
    assert "the last good answer is kept" in lines[0]
    server.fault = ""
    server.set("web.example", "A", "10.0.0.9", ttl=0)
    server.set("new.example", "A", "10.0.0.8", ttl=0)
    eventually(lambda: (watch.value, never.value) == (bound("10.0.0.9"), bound("10.0.0.8")))
    assert question.error is None
    assert any("web.example is answered again" in line for line in caplog.messages)
    for each in (watch, gone, never):
        each.close()


def test_one_family_that_fails_takes_nothing_from_the_other(names: DnsNames, server: DnsServer) -> None:
    server.set("web.example", "AAAA", "fd00::1", ttl=0)
    watch = names.host("web.example")
    eventually(lambda: watch.value == bound("10.0.0.1", "fd00::1"))
    server.fault, server.fault_of = "servfail", 28
    server.set("web.example", "A", "10.0.0.2", ttl=0)
    eventually(lambda: watch.value == bound("10.0.0.2", "fd00::1"))
    assert "AAAA of web.example" in str(watch.question and watch.question.error)
    other = names.host("nobody.example")
    eventually(lambda: other.value == NEG)  # no such name is of every type
    fresh = names.host("WEB.example".lower() + ".")
    eventually(lambda: fresh.value == bound("10.0.0.2"))
    for each in (watch, other, fresh):
        each.close()


def test_a_failure_does_not_lead_a_name_elsewhere() -> None:
    """Found under one search domain, it is not looked for under the next because the server failed."""
    with DnsServer() as server:
        search = (read_domain("one.example"), read_domain("two.example"))
        names = DnsNames(Chosen((at(server),), search), FAST, NamerFigures(), QUERY_SECS)
        server.set("web.two.example", "A", "10.0.0.2", ttl=0)
        watch = names.host("web")
        eventually(lambda: watch.value == bound("10.0.0.2"))
        server.set("web.one.example", "A", "10.0.0.1", ttl=0)
        eventually(lambda: watch.value == bound("10.0.0.1"))
        server.fault, server.fault_under = "servfail", "one.example"
        eventually(lambda: names.figures.errors.get("servfail", 0) >= 3)
        assert watch.value == bound("10.0.0.1")
        other = names.host("web.two.example.")
        eventually(lambda: other.value == bound("10.0.0.2"))
        watch.close()
        other.close()
        names.close()


def test_a_search_domain_whose_server_fails_is_passed_over_by_a_name_not_found_there() -> None:
    with DnsServer() as server:
        search = (read_domain("one.example"), read_domain("two.example"))
        names = DnsNames(Chosen((at(server),), search), FAST, NamerFigures(), QUERY_SECS)
        server.set("web.two.example", "A", "10.0.0.2", ttl=0)
        server.fault, server.fault_under = "servfail", "one.example"
        watch, nobody = names.host("web"), names.host("nobody")
        eventually(lambda: watch.value == bound("10.0.0.2"))
        eventually(lambda: isinstance(nobody.value, Failed))  # it may be there, below one.example
        server.set("web.two.example", "A", "10.0.0.3", ttl=0)
        eventually(lambda: watch.value == bound("10.0.0.3"))
        watch.close()
        nobody.close()
        names.close()


def test_a_resolv_conf_of_another_network_is_followed(server: DnsServer, tmp_path: File) -> None:
    """resolv.conf has no port, so the server that comes with it is dead here; that it is asked can be seen."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    chosen = Chosen(path=str(path))
    chosen.current = chosen.current._replace(servers=(at(server),))
    server.set("web.example", "A", "10.0.0.1", ttl=3600)
    names = DnsNames(chosen, FAST, NamerFigures(), QUERY_SECS)
    watch = names.host("web.example")
    eventually(lambda: watch.value == bound("10.0.0.1"))
    path.write_text("nameserver 127.9.9.9\n")
    eventually(lambda: "127.9.9.9:53" in str(watch.question and watch.question.error))
    assert watch.value == bound("10.0.0.1")
    watch.close()
    names.close()


def test_more_names_than_the_bound_fail(names: DnsNames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_names, "MAX_NAMES", 3)
    watches = [names.host(f"n{number}.example") for number in range(4)]
    assert [type(watch.value) for watch in watches].count(Failed) == 1
    assert names.figures.errors == {"limit": 1}
    for watch in watches:
        watch.close()
    names.host("n4.example").close()


def test_dead_names_do_not_keep_living_ones_from_being_asked_for(
    names: DnsNames, server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = names.host("web.example")
    eventually(lambda: watch.value == bound("10.0.0.1"))
    with DnsServer() as dead:
        dead.fault = "drop"
        dead_names = [names.host(f"n{number}.example") for number in range(2000)]
        names.chosen.current = names.chosen.current._replace(servers=(at(dead),))
        eventually(lambda: dead.asked() > 20)
        assert names._busy[False] == dns_names.SHARE < dns_names.WORKERS
        server.set("web.example", "A", "10.0.0.7", ttl=0)
        names.chosen.current = names.chosen.current._replace(servers=(at(server),))
        eventually(lambda: watch.value == bound("10.0.0.7"))
        for each in (watch, *dead_names):
            each.close()


def test_many_names_are_not_asked_for_at_one_moment(server: DnsServer) -> None:
    names = DnsNames(Chosen((at(server),)), Lives(60.0, 300.0, 60.0), NamerFigures())
    watches = [names.host(f"n{number}.example") for number in range(100)]
    most = 0

    def all_known() -> bool:
        nonlocal most
        most = max(most, sum(names._busy.values()))
        return all(watch.value == NEG for watch in watches)

    eventually(all_known)
    assert 1 < most <= dns_names.WORKERS
    secs = [watch.question.next_at - monotonic() for watch in watches if watch.question is not None]
    assert min(secs) > 60.0 - 10.0
    assert max(secs) < 66.0
    assert max(secs) - min(secs) > 4.0
    for watch in watches:
        watch.close()
    names.close()


def test_failures_are_retried_later_and_later_and_quickly_again_after_a_success() -> None:
    assert Lives().backoff().next_secs() <= 1.0
    slow = Lives().backoff()
    assert 5.0 <= [slow.next_secs() for _ in range(10)][-1] <= 10.0
    fast = Lives(0.1).backoff()
    assert [fast.next_secs() for _ in range(10)][-1] <= 0.2


@pytest.mark.parametrize(
    ("ttl_secs", "is_negative", "expected"),
    [(0, False, 5.0), (60, False, 60), (9999, False, 300.0), (0, True, 5.0), (20, True, 20), (9999, True, 30.0)],
)
def test_how_long_an_answer_is_believed(ttl_secs: float, is_negative: bool, expected: float) -> None:
    assert Lives().of(ttl_secs, is_negative=is_negative) == expected


def test_an_observer_that_fails_ends_nothing(names: DnsNames, server: DnsServer) -> None:
    watch, other = names.host("web.example"), names.host("web.example")
    watch.observe(lambda _: 1 / 0)
    eventually(lambda: other.value == bound("10.0.0.1"))
    server.set("web.example", "A", "10.0.0.2", ttl=0)
    eventually(lambda: other.value == bound("10.0.0.2"))
    watch.close()
    other.close()


def test_a_mistake_of_ours_does_not_end_the_asking(
    names: DnsNames, server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = names.host("web.example")
    eventually(lambda: watch.value == bound("10.0.0.1"))
    question = watch.question
    assert question is not None
    monkeypatch.setattr(question, "ask", lambda *_: 1 / 0)
    eventually(lambda: names.figures.errors.get("internal"))
    monkeypatch.undo()
    server.set("web.example", "A", "10.0.0.2", ttl=0)
    eventually(lambda: watch.value == bound("10.0.0.2"))
    watch.close()


def test_after_close_nobody_is_told_and_nothing_is_asked(server: DnsServer) -> None:
    names = DnsNames(Chosen((at(server),)), FAST, NamerFigures(), QUERY_SECS)
    server.fault = "drop"
    watch = names.host("web.example")
    told: list[object] = []
    watch.observe(told.append)
    eventually(lambda: server.queries)
    names.close()
    names.close()
    watch.close()
    assert told == []
    assert names.host("web.example").value == NEG


@pytest.mark.alone
def test_close_is_quick_while_servers_are_silent() -> None:
    with dns_servers(3) as servers:
        for server in servers:
            server.fault = "drop"
        names = DnsNames(Chosen(tuple(map(at, servers))), FAST, NamerFigures())
        watches = [names.host(f"n{number}.example") for number in range(100)]
        eventually(lambda: servers[1].queries)
        began = monotonic()
        names.close()
        assert monotonic() - began < 0.5
        for watch in watches:
            watch.close()

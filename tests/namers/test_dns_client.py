from time import monotonic, thread_time

import dns.name
import gevent
import pytest
from dns.rdatatype import AAAA, A

from namers.dns_client import QUERY_SECS, AskError, ask
from namers.dns_message import NXDOMAIN, Reply
from namers.dns_servers import Server
from tests.leaks import no_leaks, nothing_left
from tests.namers.dns_server import DnsServer, dns_servers

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

WEB = dns.name.from_text("web.example.")
SHORT_SECS = 0.3


def at(server: DnsServer) -> Server:
    return Server(server.ip, server.port)


def put(*servers: DnsServer, secs: float = QUERY_SECS) -> Reply:
    """The question for the addresses of web.example put to them."""
    return ask([at(server) for server in servers], WEB, A, secs)


def refusal(*servers: DnsServer, secs: float = SHORT_SECS) -> AskError:
    with pytest.raises(AskError) as caught:
        put(*servers, secs=secs)
    return caught.value


def test_an_answer_comes_by_udp() -> None:
    with DnsServer() as server:
        server.set("web.example", "A", "10.0.0.1", "10.0.0.2", ttl=7)
        reply = put(server)
        assert sorted(reply.data) == ["10.0.0.1", "10.0.0.2"]
        assert reply.ttl_secs == 7
        assert server.queries == [("web.example", "A", "udp")]


def test_a_server_may_be_asked_over_ipv6() -> None:
    with DnsServer(ip="::1") as server:
        server.set("web.example", "A", "10.0.0.1")
        assert put(server).data == ("10.0.0.1",)


def test_what_does_not_fit_comes_by_tcp() -> None:
    addresses = [f"10.0.{index // 250}.{index % 250}" for index in range(1000)]
    with DnsServer() as server:
        server.set("web.example", "A", *addresses)
        assert set(put(server).data) == set(addresses)
        assert (server.asked(over="udp"), server.asked(over="tcp")) == (1, 1)


def test_no_such_name_and_no_such_record_are_answers() -> None:
    with DnsServer() as server:
        server.soa_minimum = 11
        assert put(server) == Reply(NXDOMAIN, ttl_secs=11)
        server.set("web.example", "AAAA", "fd00::1")
        assert put(server) == Reply(0, ttl_secs=11)


def test_aliases_are_followed_where_the_server_does_not() -> None:
    with DnsServer() as server:
        server.set("web.example", "CNAME", "a.example.", "nofollow", ttl=9)
        server.set("a.example", "CNAME", "b.example.", "nofollow", ttl=20)
        server.set("b.example", "A", "10.0.0.1", ttl=30)
        assert put(server) == Reply(0, data=("10.0.0.1",), ttl_secs=9)
        server.set("b.example", "CNAME", "web.example.", "nofollow")
        assert refusal(server).cause == "malformed"


def test_a_server_that_knows_no_edns_is_asked_without() -> None:
    with DnsServer() as server:
        server.set("web.example", "A", "10.0.0.1")
        server.fault = "formerr"
        assert put(server).data == ("10.0.0.1",)
        assert server.asked() == 2


@pytest.mark.alone
@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        ("drop", "timeout", "no answer over UDP"),
        ("servfail", "servfail", "answered SERVFAIL"),
        ("refused", "refused", "answered REFUSED"),
        ("lame", "lame", "does not ask further"),
        ("wrong_id", "malformed", "a reply to something else"),
        ("flood", "malformed", "a reply to something else"),
        ("garbage", "malformed", "nothing usable over UDP"),
        ("bad_pointer", "malformed", "nothing usable over UDP"),
        ("pointer_loop", "malformed", "nothing usable over UDP"),
        ("short", "malformed", "nothing usable over UDP"),
        ("other_question", "malformed", "another question"),
        ("alias_loop", "malformed", "aliases"),
        ("tcp_silent", "timeout", "no answer over TCP"),
        ("tcp_drip", "timeout", "no answer over TCP"),
        ("tcp_closes", "malformed", "ended the TCP connection"),
        ("tcp_truncated", "malformed", "over TCP"),
    ],
)
def test_whatever_a_server_does_it_ends_in_time_and_is_said(fault: str, cause: str, words: str) -> None:
    with DnsServer() as server:
        server.set("web.example", "A", "10.0.0.1")
        server.fault = fault
        began = monotonic()
        error = refusal(server)
        assert monotonic() - began < SHORT_SECS + 0.2
        assert error.cause == cause
        assert str(error).startswith(f"A of web.example: {server.address}: ")
        assert words in str(error)


@pytest.mark.alone
def test_a_server_that_is_not_there_is_known_at_once() -> None:
    with DnsServer() as server:
        pass
    began = monotonic()
    error = refusal(server)
    assert monotonic() - began < SHORT_SECS / 2
    assert (error.cause, "Connection refused" in str(error)) == ("network", True)


def test_a_lost_datagram_is_sent_again() -> None:
    with DnsServer() as server:
        server.set("web.example", "A", "10.0.0.1")
        server.fault = "drop"
        asking = gevent.spawn(put, server)
        while not server.queries:
            gevent.sleep(0.001)
        server.fault = ""
        assert asking.get(timeout=QUERY_SECS).data == ("10.0.0.1",)


def test_an_answer_that_is_late_for_the_first_try_still_counts() -> None:
    with DnsServer() as server:
        server.set("web.example", "A", "10.0.0.1")
        server.fault, server.slow_secs = "slow", 0.7
        assert put(server).data == ("10.0.0.1",)


@pytest.mark.parametrize(
    "fault", ["servfail", "refused", "lame", "drop", "garbage", "flood", "tcp_silent", "tcp_closes"]
)
def test_the_next_server_is_asked_when_one_fails(fault: str) -> None:
    with dns_servers(3) as servers:
        for server in servers:
            server.set("web.example", "A", "10.0.0.1")
        for server in servers[:2]:
            server.fault = fault
        assert put(*servers).data == ("10.0.0.1",)


def test_once_there_is_an_answer_nobody_else_is_waited_for() -> None:
    with dns_servers(2) as (silent, good):
        silent.fault = "drop"
        good.set("web.example", "A", "10.0.0.1")
        with nothing_left(deadline_secs=0.3):
            put(silent, good, secs=10)


def test_servers_are_asked_in_their_order_and_no_more_than_needed() -> None:
    with dns_servers(2) as servers:
        for number, server in enumerate(servers):
            server.set("web.example", "A", f"10.0.0.{number}")
        for _ in range(3):
            assert put(*servers).data == ("10.0.0.0",)
        assert [server.asked() for server in servers] == [3, 0]


def test_every_server_is_asked_in_time_however_many_are_dead() -> None:
    with dns_servers(4) as servers:
        for server in servers[:3]:
            server.fault = "drop"
        servers[3].set("web.example", "A", "10.0.0.1")
        assert put(*servers).data == ("10.0.0.1",)


def test_what_each_server_did_is_said() -> None:
    with dns_servers(2) as (one, two):
        one.fault, two.fault = "servfail", "drop"
        error = refusal(one, two)
        assert error.cause == "servfail"
        assert str(error) == (
            f"A of web.example: {one.address}: answered SERVFAIL; {two.address}: no answer over UDP in time"
        )


@pytest.mark.alone
def test_a_flood_of_wrong_answers_is_given_up_on_and_leaves_the_loop_to_others() -> None:
    with DnsServer() as server:
        server.fault = "flood"
        turns: list[float] = []

        def watch() -> None:
            while True:
                gevent.sleep(0.001)
                turns.append(monotonic())

        watcher = gevent.spawn(watch)
        began = monotonic()
        refusal(server, secs=QUERY_SECS)
        watcher.kill()
        assert monotonic() - began < QUERY_SECS / 2
        assert len(turns) > 2


def test_reading_a_thousand_records_never_holds_the_loop_for_long() -> None:
    """In time of this thread, which other programs cannot make longer."""
    addresses = [f"fd00::{index:x}" for index in range(1000)]
    with DnsServer() as server:
        server.set("web.example", "AAAA", *addresses)
        asking = gevent.spawn(ask, [at(server)], WEB, AAAA)
        while not server.asked(over="tcp"):  # making the answer takes this thread's time, too
            gevent.sleep(0)
        longest = 0.0
        while not asking.ready():
            began = thread_time()
            gevent.sleep(0)
            longest = max(longest, thread_time() - began)
        assert len(asking.get().data) == 1000
        assert longest < 0.02


def test_without_any_server_it_says_so() -> None:
    with pytest.raises(AskError, match="no server"):
        ask([], WEB, A, SHORT_SECS)


def test_a_server_that_has_no_tcp_for_what_does_not_fit_is_said_to_have_none() -> None:
    with DnsServer() as server:
        server.fault = "truncate"
        server.stop_tcp()
        assert "Connection refused over TCP (its answer is too long for UDP)" in str(refusal(server))

"""Host names against a resolver that does as it is told."""

import _socket
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic

import gevent
import pytest
from gevent import monkey
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.net.literal import ip_literal
from tests.leaks import no_leaks
from tests.sockets import eventually

assert no_leaks

native_sleep = monkey.get_original("time", "sleep")
NativeLock = monkey.get_original("_thread", "allocate_lock")


class Names:
    """A name server: `answers[name]` is addresses, an exception, or a lock to hang on."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        answer = self.answers.get(host.replace(".", "_"), _socket.gaierror(_socket.EAI_NONAME, "unknown"))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, list):
            return answer
        with answer:  # type: ignore[attr-defined]
            return ["10.0.0.99"]


@pytest.fixture
def resolvers(no_leaks: None) -> Iterator[list[HostResolver]]:
    made: list[HostResolver] = []
    yield made
    for resolver in made:
        resolver.close()
        resolver.close()


def bound(*ips: str) -> Bound:
    return Bound(tuple(Address(ip, 0) for ip in ips))


def resolver_of(resolvers: list[HostResolver], names: Names, **options: object) -> HostResolver:
    resolver = HostResolver(resolve_host=names, **{"refresh_secs": 0.02, "query_secs": 0.2, **options})  # type: ignore[arg-type]
    resolvers.append(resolver)
    return resolver


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("010.0.0.1", "8.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("localhost", None),
        ("127.1 and more", None),
        ("127.0.0.256", None),
        ("1.example", None),
        ("", None),
        (":", None),
        ("١٢٧.0.0.1", None),
    ],
)
def test_literals_are_read_as_inet_aton_reads_them(text: str, ip: str | None) -> None:
    assert ip_literal(text) == ip


@given(st.text())
def test_any_text_is_a_literal_or_not(text: str) -> None:
    ip = ip_literal(text)
    assert ip is None or ip_literal(ip) == ip


def test_a_literal_is_known_at_once_and_nobody_is_asked(resolvers: list[HostResolver]) -> None:
    names = Names()
    watch = resolver_of(resolvers, names).watch("127.1")
    assert watch.value == bound("127.0.0.1")
    watch.close()
    assert not names.asked


def test_a_name_is_pending_and_then_known_and_asked_for_again(resolvers: list[HostResolver]) -> None:
    names = Names(web_example=["10.0.0.2", "10.0.0.1", "10.0.0.1"])
    watch = resolver_of(resolvers, names).watch("Web.Example")
    told: list[Addr] = []
    watch.observe(told.append)
    assert watch.value == PENDING
    eventually(lambda: told == [bound("10.0.0.1", "10.0.0.2")])
    names.answers["web_example"] = ["10.0.0.1", "10.0.0.2"]  # rotated: nothing new
    eventually(lambda: len(names.asked) > 3)
    names.answers["web_example"] = ["10.0.0.3"]
    eventually(lambda: watch.value == bound("10.0.0.3"))
    assert len(told) == 2


def test_the_system_resolver_knows_localhost(resolvers: list[HostResolver]) -> None:
    resolvers.append(HostResolver())
    watch = resolvers[0].watch("localhost")
    eventually(lambda: isinstance(watch.value, Bound))
    assert Address("127.0.0.1", 0) in watch.value.addresses  # type: ignore[union-attr]


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "x" * 300, "nul\0", "\ud800"])
def test_a_name_that_does_not_exist_is_neg(host: str, resolvers: list[HostResolver]) -> None:
    resolvers.append(HostResolver(resolve_host=lambda host: _encoded(host)))
    watch = resolvers[0].watch(host)
    eventually(lambda: watch.value == NEG)


def _encoded(host: str) -> list[str]:
    """What getaddrinfo does before it asks anybody."""
    if "\0" in host:
        raise ValueError("embedded null character")
    host.encode("idna")
    raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")


def test_a_failure_keeps_the_last_good_addresses_and_is_counted_and_shown(resolvers: list[HostResolver]) -> None:
    names = Names(web=["10.0.0.1"])
    resolver = resolver_of(resolvers, names)
    watch = resolver.watch("web")
    eventually(lambda: watch.value == bound("10.0.0.1"))
    names.answers["web"] = _socket.gaierror(_socket.EAI_AGAIN, "try again")
    eventually(lambda: resolver.figures.errors.get("resolve", 0) > 1)
    assert watch.value == bound("10.0.0.1")
    [row] = resolver.watches()
    assert row.state == "bound"
    assert "try again" in (row.error or "")
    assert row.error_at is not None
    names.answers["web"] = _socket.gaierror(_socket.EAI_NONAME, "gone")
    eventually(lambda: watch.value == NEG)
    assert next(iter(resolver.watches())).error is None


def test_a_failure_before_any_good_is_failed(resolvers: list[HostResolver]) -> None:
    names = Names(web=_socket.gaierror(_socket.EAI_FAIL, "broken"))
    watch = resolver_of(resolvers, names).watch("web")
    eventually(lambda: isinstance(watch.value, Failed))
    names.answers["web"] = ["10.0.0.1"]
    eventually(lambda: watch.value == bound("10.0.0.1"))


def test_a_server_that_never_answers_stalls_neither_the_loop_nor_other_names(resolvers: list[HostResolver]) -> None:
    hung = NativeLock()
    hung.acquire()
    names = Names(good=["10.0.0.1"], **{f"hung{number}": hung for number in range(40)})
    resolver = resolver_of(resolvers, names, threads=4, query_secs=0.05)
    slow = [resolver.watch(f"hung{number}") for number in range(6)]
    began = monotonic()
    watch = resolver.watch("good")
    eventually(lambda: watch.value == bound("10.0.0.1"), secs=2)
    slow += [resolver.watch(f"hung{number}") for number in range(6, 40)]
    eventually(lambda: len(resolver._running) >= 12)
    asked = names.asked.count("good")
    eventually(lambda: names.asked.count("good") > asked + 3, secs=2)
    assert monotonic() - began < 3
    assert all(isinstance(each.value, Failed) for each in slow[:4])
    assert resolver.figures.errors["timeout"] >= 4
    assert len(resolver._running) <= 16
    hung.release()
    eventually(lambda: not [query for query in resolver._running if query.given_up])


def test_an_answer_that_comes_too_late_is_still_an_answer(resolvers: list[HostResolver]) -> None:
    late = NativeLock()
    late.acquire()
    names = Names(web=late)
    watch = resolver_of(resolvers, names, query_secs=0.05, refresh_secs=60.0).watch("web")
    eventually(lambda: isinstance(watch.value, Failed))
    late.release()
    eventually(lambda: watch.value == bound("10.0.0.99"))


def test_a_name_is_asked_for_once_for_all_who_watch_it_and_no_more_when_nobody_does(
    resolvers: list[HostResolver],
) -> None:
    names = Names(web=["10.0.0.1"])
    resolver = resolver_of(resolvers, names, refresh_secs=0.05)
    one, other = resolver.watch("web"), resolver.watch("WEB")
    eventually(lambda: one.value == other.value == bound("10.0.0.1"))
    assert names.asked == ["web"]
    assert resolver.watch("web").value == bound("10.0.0.1")
    one.close()
    one.close()
    assert len(list(resolver.watches())) == 1
    resolver.close()
    gevent.sleep(0.1)
    assert len(names.asked) <= 2


def test_strangers_names_leave_nothing_behind(resolvers: list[HostResolver]) -> None:
    hung = NativeLock()
    hung.acquire()
    names = Names(hung=hung)
    resolver = resolver_of(resolvers, names, threads=1, query_secs=60.0)
    held = resolver.watch("hung")
    gevent.sleep(0.01)
    for number in range(5000):
        resolver.watch(f"stranger{number}").close()
    assert len(resolver._waiting) == 0
    assert len(resolver._hosts) == 1
    hung.release()
    eventually(lambda: held.value == bound("10.0.0.99"))


def test_more_names_than_the_bound_are_refused_in_words(resolvers: list[HostResolver]) -> None:
    resolver = resolver_of(resolvers, Names(), max_hosts=1)
    resolver.watch("a")
    refused = resolver.watch("b").value
    assert isinstance(refused, Failed)
    assert "more than 1" in refused.cause


def test_after_close_nobody_is_told(resolvers: list[HostResolver]) -> None:
    late = NativeLock()
    late.acquire()
    resolver = resolver_of(resolvers, Names(web=late))
    watch = resolver.watch("web")
    gevent.sleep(0.02)
    resolver.close()
    late.release()
    gevent.sleep(0.02)
    assert watch.value == PENDING
    assert isinstance(resolver.watch("web").value, Failed)


def test_an_observer_that_fails_ends_nothing(resolvers: list[HostResolver], caplog: pytest.LogCaptureFixture) -> None:
    names = Names(web=["10.0.0.1"])
    resolver = resolver_of(resolvers, names)

    def fail(_: Addr) -> None:
        raise RuntimeError("a bug")

    resolver.watch("web").observe(fail)
    other = resolver.watch("web")
    eventually(lambda: other.value == bound("10.0.0.1"))
    assert "a bug" in caplog.text


def test_a_hung_query_does_not_hold_up_the_end_of_the_process() -> None:
    began = monotonic()
    subprocess.run([sys.executable, "-c", ENDS], check=True, timeout=20, cwd=os.getcwd())
    assert monotonic() - began < 15  # it sleeps for 60


ENDS = """
from gevent import monkey
monkey.patch_all(queue=False)
import gevent
from linkerd_tcp.net.hosts import HostResolver
sleep = monkey.get_original("time", "sleep")
resolver = HostResolver(resolve_host=lambda host: sleep(60))
watch = resolver.watch("web.example")
gevent.sleep(0.1)
resolver.close()
"""


def test_sockets_are_not_needed_to_ask(resolvers: list[HostResolver]) -> None:
    assert socket.getaddrinfo is not _socket.getaddrinfo, "tests run patched; the resolver uses the real one"


def test_threads_are_bounded_even_when_every_name_that_answered_hangs(resolvers: list[HostResolver]) -> None:
    names = Names(**{f"web{number}": ["10.0.0.1"] for number in range(20)})
    resolver = resolver_of(resolvers, names, threads=2, query_secs=0.03)
    watches = [resolver.watch(f"web{number}") for number in range(20)]
    eventually(lambda: all(watch.value == bound("10.0.0.1") for watch in watches))
    hung = NativeLock()
    hung.acquire()
    names.answers = {f"web{number}": hung for number in range(20)}
    eventually(lambda: len(resolver._running) == 8)
    gevent.sleep(0.2)
    assert len(resolver._running) == 8
    assert all(watch.value == bound("10.0.0.1") for watch in watches)
    hung.release()
    eventually(lambda: not [query for query in resolver._running if query.given_up])

from time import monotonic

import pytest

from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed
from linkerd_tcp.testing import FakeHosts
from namers.endpoints import Endpoint
from namers.live import PATIENCE_SECS, LiveName
from tests.sockets import eventually


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


@pytest.fixture
def live(hosts: FakeHosts) -> LiveName:
    return LiveName(hosts, lambda: None)


def test_no_endpoints_are_bound_to_nothing(live: LiveName) -> None:
    live.replace(())
    assert live.addr.value == Bound(())


def test_literals_need_no_host(live: LiveName, hosts: FakeHosts) -> None:
    live.replace([Endpoint("127.0.0.1", 80, 0.5, {"zone": "a"}), Endpoint("::1", 80)])
    assert live.addr.value == Bound((Address("127.0.0.1", 80, 0.5, {"zone": "a"}), Address("::1", 80)))
    assert hosts.open == []


def test_a_host_gives_each_of_its_addresses_the_port_weight_and_meta(live: LiveName, hosts: FakeHosts) -> None:
    live.replace([Endpoint("web", 80, 2.0, {"zone": "a"})])
    hosts.resolve("web", "10.0.0.1", "10.0.0.2")
    assert live.addr.value == Bound(
        (Address("10.0.0.1", 80, 2.0, {"zone": "a"}), Address("10.0.0.2", 80, 2.0, {"zone": "a"}))
    )


def test_an_address_that_is_there_twice_keeps_the_first_weight(live: LiveName, hosts: FakeHosts) -> None:
    hosts.resolve("web", "10.0.0.1")
    live.replace([Endpoint("10.0.0.1", 80, 0.5), Endpoint("web", 80, 1.0), Endpoint("web", 81, 1.0)])
    assert live.addr.value == Bound((Address("10.0.0.1", 80, 0.5), Address("10.0.0.1", 81)))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (PENDING, PENDING, PENDING),
        (PENDING, NEG, PENDING),
        (PENDING, Failed("x"), PENDING),
        (NEG, NEG, NEG),
        (NEG, Failed("x"), Failed("x")),
        (Failed("x"), Failed("y"), Failed("x")),
        (Bound(()), PENDING, PENDING),
        (Bound((Address("10.0.0.1", 0),)), NEG, Bound((Address("10.0.0.1", 80),))),
        (Failed("x"), Bound((Address("10.0.0.1", 0),)), Bound((Address("10.0.0.1", 80),))),
    ],
)
def test_what_is_known_is_used_and_the_rest_waited_for(
    one: Addr, other: Addr, both: Addr, live: LiveName, hosts: FakeHosts
) -> None:
    live.replace([Endpoint("one", 80), Endpoint("other", 80)])
    hosts.set("one", one)
    hosts.set("other", other)
    assert live.addr.value == both


def test_the_first_addresses_wait_a_moment_for_the_other_hosts(live: LiveName, hosts: FakeHosts) -> None:
    live.replace([Endpoint("10.0.0.1", 80), Endpoint("late", 80), Endpoint("hung", 80)])
    assert live.addr.value == PENDING
    hosts.resolve("late", "10.0.0.2")
    began = monotonic()
    eventually(lambda: live.addr.value != PENDING, secs=1)
    assert monotonic() - began < 2 * PATIENCE_SECS
    assert live.addr.value == Bound((Address("10.0.0.1", 80), Address("10.0.0.2", 80)))


def test_what_is_known_later_waits_for_nobody(live: LiveName, hosts: FakeHosts) -> None:
    live.replace([Endpoint("10.0.0.1", 80)])
    live.replace([Endpoint("10.0.0.2", 80), Endpoint("hung", 80)])
    assert live.addr.value == Bound((Address("10.0.0.2", 80),))


def test_closing_ends_the_wait(live: LiveName, hosts: FakeHosts) -> None:
    live.replace([Endpoint("10.0.0.1", 80), Endpoint("hung", 80)])
    live.close()
    assert hosts.open == []


def test_an_update_of_a_host_is_told_when_it_comes(live: LiveName, hosts: FakeHosts) -> None:
    live.replace([Endpoint("web", 80)])
    told: list[Addr] = []
    live.addr.observe(told.append)
    hosts.resolve("web", "10.0.0.1")
    hosts.resolve("web", "10.0.0.2")
    assert told == [Bound((Address("10.0.0.1", 80),)), Bound((Address("10.0.0.2", 80),))]


def test_hosts_are_shared_kept_over_a_change_and_released(live: LiveName, hosts: FakeHosts) -> None:
    live.replace([Endpoint("web", 80), Endpoint("web", 81), Endpoint("old", 80)])
    assert sorted(name for name, _ in hosts.open) == ["old", "web"]
    [kept] = [var for name, var in hosts.open if name == "web"]
    live.replace([Endpoint("web", 82)])
    assert hosts.open == [("web", kept)]
    live.close()
    live.close()
    assert hosts.open == []


def test_it_ends_when_nobody_holds_or_observes_it(hosts: FakeHosts) -> None:
    ended: list[str] = []
    live = LiveName(hosts, lambda: ended.append("ended"))
    live.replace([Endpoint("web", 80)])
    release, other = live.hold(), live.hold()
    cancel = live.addr.observe(lambda _: None)
    release()
    release()
    other()
    assert not ended
    live.addr.close()  # not one holder's to close
    hosts.resolve("web", "10.0.0.1")
    assert isinstance(live.addr.value, Bound)
    cancel()
    assert ended == ["ended"]
    assert hosts.open == []


def test_once_keeps_the_first_addresses(hosts: FakeHosts) -> None:
    live = LiveName(hosts, lambda: None, once=True)
    live.replace([Endpoint("web", 80), Endpoint("late", 80)])
    hosts.set("web", NEG)
    assert live.addr.value == PENDING
    hosts.set("late", Failed("not now"))
    hosts.resolve("web", "10.0.0.1")
    hosts.resolve("web", "10.0.0.2")
    assert live.addr.value == Bound((Address("10.0.0.1", 80),))
    assert [name for name, _ in hosts.open] == ["late"]

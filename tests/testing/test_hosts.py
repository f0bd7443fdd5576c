from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound
from linkerd_tcp.testing import FakeHosts


def test_a_name_is_pending_until_it_is_set_and_then_everybody_is_told() -> None:
    hosts = FakeHosts()
    one, other = hosts.watch("web"), hosts.watch("web")
    told: list[Addr] = []
    one.observe(told.append)
    assert one.value == PENDING
    hosts.resolve("web", "10.0.0.1", "10.0.0.2")
    hosts.set("db", NEG)
    both = Bound((Address("10.0.0.1", 0), Address("10.0.0.2", 0)))
    assert told == [other.value] == [both]
    assert (hosts.watch("web").value, hosts.watch("db").value) == (both, NEG)


def test_what_is_closed_is_not_open() -> None:
    hosts = FakeHosts()
    watch = hosts.watch("web")
    assert [name for name, _ in hosts.open] == ["web"]
    watch.close()
    watch.close()
    assert hosts.open == []

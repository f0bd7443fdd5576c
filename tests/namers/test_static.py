from pathlib import Path as File

import pytest
from pydantic import ValidationError

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import Address, Bound, Pending
from linkerd_tcp.naming.namer import NamerContext
from linkerd_tcp.naming.nametree import NEG, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing import FakeHosts, NamerContract
from namers.static import StaticConfig, StaticNamer
from tests.leaks import no_leaks

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


def build(hosts: FakeHosts, **services: list[object]) -> StaticNamer:
    names = {name.replace("__", "/"): items for name, items in services.items()}
    config = StaticConfig.model_validate({"kind": "io.l5d.static", "services": names})
    namer = config.build(NamerContext(hosts))
    namer.start()
    return namer


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


class TestStatic(NamerContract):
    settle_secs = 0

    @pytest.fixture
    def namer(self, hosts: FakeHosts) -> StaticNamer:
        return build(hosts, web=["127.0.0.1:80"], a__b=["127.0.0.1:81"])

    @pytest.fixture
    def known(self) -> Path:
        return Path(("a", "b", "rest"))


def test_it_is_registered_under_its_kind() -> None:
    assert registry.load("namer", "io.l5d.static") is StaticConfig


def test_a_name_is_its_items_with_weights_and_meta(hosts: FakeHosts) -> None:
    namer = build(hosts, web=["127.1:80", {"host": "10.0.0.2", "port": 81, "weight": 0.5, "meta": {"zone": "a"}}])
    [name] = leaves(namer.lookup(Path(("web", "more"))).value)
    assert str(name.id) == "/#/io.l5d.static/web"
    assert name.residual == Path(("more",))
    assert name.addr.value == Bound((Address("127.0.0.1", 80), Address("10.0.0.2", 81, 0.5, {"zone": "a"})))


def test_the_longest_name_wins_and_its_beginning_alone_is_neg(hosts: FakeHosts) -> None:
    namer = build(hosts, a=["127.0.0.1:80"], a__b__c=["127.0.0.1:81"], x__y=["127.0.0.1:82"])
    assert [str(name.id) for name in leaves(namer.lookup(Path(("a", "b", "c", "d"))).value)] == [
        "/#/io.l5d.static/a/b/c"
    ]
    assert [str(name.id) for name in leaves(namer.lookup(Path(("a", "b"))).value)] == ["/#/io.l5d.static/a"]
    assert namer.lookup(Path(("x",))).value == NEG
    assert namer.names() == ["a", "x"]


def test_host_names_are_followed_and_released(hosts: FakeHosts) -> None:
    namer = build(hosts, web=["web.example:80"])
    watch = namer.lookup(Path(("web",)))
    [name] = leaves(watch.value)
    assert name.addr.value == Pending()
    hosts.resolve("web.example", "10.0.0.1")
    assert name.addr.value == Bound((Address("10.0.0.1", 80),))
    watch.close()
    assert hosts.open == []


@pytest.mark.parametrize("name", ["", "/", "a//b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="expected a name such as web"):
        StaticConfig.model_validate({"kind": "io.l5d.static", "services": {name: []}})


def test_no_files_are_needed(tmp_path: File, hosts: FakeHosts) -> None:
    assert not hasattr(build(hosts), "check")

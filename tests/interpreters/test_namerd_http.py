from collections.abc import Iterator
from typing import Any

import pytest

from linkerd_tcp import registry
from linkerd_tcp.errors import LinkerdTcpError
from linkerd_tcp.interpreters.namerd_http import NamerdHttpConfig, NamerdHttpInterpreter
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import InterpreterContext
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing.hosts import FakeHosts
from linkerd_tcp.testing.interpreters import InterpreterContract, has_addresses
from linkerd_tcp.testing.leaks import no_leaks
from linkerd_tcp.testing.waiting import eventually
from namers.inet import Utilities
from tests.namerd_standin import Namerd
from tests.namerd_state import NEG, bound, leaf

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")
WEB = Path.read("/svc/web")


@pytest.fixture
def namerd(no_leaks: None) -> Iterator[Namerd]:
    with Namerd() as standin:
        standin.bind("/svc/web", leaf("/#/io.l5d.fs/web"))
        standin.addr("/#/io.l5d.fs/web", bound("127.0.0.1:1"))
        yield standin


def build(namerd: Namerd, dtab: str = "", hosts: FakeHosts | None = None, **options: Any) -> NamerdHttpInterpreter:
    config = registry.load("interpreter", "io.l5d.namerd.http").model_validate(  # type: ignore[attr-defined]
        {"kind": "io.l5d.namerd.http", "baseUrl": namerd.base_url, **options}
    )
    assert isinstance(config, NamerdHttpConfig)
    made: NamerdHttpInterpreter = config.build(
        InterpreterContext("web", Dtab.read(dtab), (), Utilities(hosts or FakeHosts()))
    )
    return made


class TestWatching(InterpreterContract):
    takes_extra = False  # the stand-in does not evaluate dtabs; that they are sent is held below

    @pytest.fixture
    def interpreter(self, namerd: Namerd) -> Iterator[NamerdHttpInterpreter]:
        made = build(namerd)
        yield made
        made.close()

    @pytest.fixture
    def known(self) -> Path:
        return WEB


class TestPolling(TestWatching):
    @pytest.fixture
    def interpreter(self, namerd: Namerd) -> Iterator[NamerdHttpInterpreter]:
        made = build(namerd, periodSecs=0.05)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, "/api/1/bind/default?path=/svc/web&dtab=/svc%3D%3E/x&watch=1"),
        ({"namespace": "a/b"}, "/api/1/bind/a/b?path=/svc/web&dtab=/svc%3D%3E/x&watch=1"),
        ({"periodSecs": 20}, "/api/1/resolve/default?path=/svc/web&dtab=/svc%3D%3E/x"),
        ({"periodSecs": 20, "watch": True}, "/api/1/bind/default?path=/svc/web&dtab=/svc%3D%3E/x&watch=1"),
    ],
)
def test_the_router_s_dtab_is_sent_with_every_name(namerd: Namerd, options: dict[str, Any], asked: str) -> None:
    interpreter = build(namerd, "/svc => /x", **options)
    watch = interpreter.bind(WEB)
    eventually(lambda: namerd.asked[:1] == [asked])
    watch.close()
    interpreter.close()


def test_entries_given_with_a_path_come_after_the_router_s(namerd: Namerd) -> None:
    interpreter = build(namerd, "/svc => /x")
    delegation = interpreter.delegation(WEB, Dtab.read("/svc => /y"))
    eventually(lambda: namerd.asked == ["/api/1/delegate/default?path=/svc/web&dtab=/svc%3D%3E/x%3B/svc%3D%3E/y"])
    delegation.close()
    interpreter.close()


def test_it_asks_no_namer_of_the_file_and_is_seen_under_its_router(namerd: Namerd) -> None:
    assert NamerdHttpConfig.uses_namers is False
    interpreter = build(namerd)
    [source] = interpreter.sources
    assert (interpreter.kind, source.kind, str(source.prefix)) == (
        "io.l5d.namerd.http", "io.l5d.namerd.http", "/io.l5d.namerd.http/web",
    )  # fmt: skip
    interpreter.close()
    assert namerd.accepted == 0


def test_a_host_name_is_resolved_as_all_are_and_only_once_a_name_is_asked_for(namerd: Namerd) -> None:
    hosts = FakeHosts()
    interpreter = build(namerd, hosts=hosts, baseUrl=f"http://namerd.example:{namerd.port}")
    assert hosts.open == []
    watch = interpreter.bind(WEB)
    eventually(lambda: [name for name, _ in hosts.open] == ["namerd.example"])
    hosts.set("namerd.example", Bound((Address("127.0.0.1", 0),)))
    eventually(lambda: has_addresses(watch.value))
    watch.close()
    interpreter.close()
    assert hosts.open == []


def test_a_name_that_namerd_does_not_know_is_neg(namerd: Namerd) -> None:
    namerd.bind("/svc/web", NEG)
    interpreter = build(namerd)
    watch = interpreter.bind(WEB)
    told: list[Any] = []
    watch.observe(told.append)
    eventually(lambda: told)
    assert not has_addresses(watch.value)
    watch.close()
    interpreter.close()


def test_another_dtab_is_tried_by_namerd_s_namers_alone(namerd: Namerd) -> None:
    interpreter = build(namerd, "/svc => /x")
    other = interpreter.instead(Dtab.read("/svc => /y"))
    delegation = other.delegation(WEB)
    eventually(lambda: namerd.asked == ["/api/1/delegate?path=/svc/web&dtab=/svc%3D%3E/y"])
    delegation.close()
    other.close()
    interpreter.close()


def test_what_names_are_bound_by_can_be_read(namerd: Namerd) -> None:
    namerd.state.dtabs["default"] = "/svc => /#/io.l5d.fs ; /svc/a => 2*/b & /c"
    interpreter = build(namerd, "/own => /svc")
    assert interpreter.stored(2) == Dtab.read("/svc => /#/io.l5d.fs ; /svc/a => 2*/b & /c ; /own => /svc")
    interpreter.close()
    interpreter = build(namerd, namespace="none")
    with pytest.raises(LinkerdTcpError, match="404"):
        interpreter.stored(2)
    interpreter.close()

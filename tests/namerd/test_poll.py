"""A client that polls, as linkerd-tcp did, against a stand-in of namerd."""

from typing import Any

import gevent
import pytest

from linkerd_tcp.namerd.client import NamerdClient
from linkerd_tcp.naming.addr import PENDING, Bound, Failed
from linkerd_tcp.naming.name import Binding
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.testing.leaks import no_leaks
from linkerd_tcp.testing.waiting import eventually
from tests.namerd.conftest import MakeClient
from tests.namerd_standin import Namerd
from tests.namerd_state import PENDING as PENDING_JSON
from tests.namerd_state import bound, failed, leaf

assert no_leaks
WEB = Path.read("/svc/web")
ID = "/#/io.l5d.fs/web"


@pytest.fixture
def client(make: MakeClient) -> NamerdClient:
    return make(periodSecs=0.05)


@pytest.fixture(autouse=True)
def web(namerd: Namerd) -> None:
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))


def address(watch: Watch[Binding]) -> list[str]:
    value = watch.value
    if not isinstance(value, Leaf) or not isinstance(value.value.addr.value, Bound):
        return []
    return list(map(str, value.value.addr.value.addresses))


def test_a_name_is_the_path_itself_with_the_addresses_that_namerd_resolves(
    namerd: Namerd, client: NamerdClient
) -> None:
    watch = client.bind(WEB)
    assert watch.value == PENDING
    eventually(lambda: address(watch) == ["127.0.0.1:1"])
    assert isinstance(watch.value, Leaf)
    assert (str(watch.value.value.id), str(watch.value.value.residual)) == ("/svc/web", "/")
    assert namerd.asked[0] == "/api/1/resolve/default?path=/svc/web"
    [row] = client.watches()
    assert (row.name, row.state, row.addresses) == ("/svc/web", "bound", 1)
    watch.close()
    assert list(client.watches()) == []
    eventually(lambda: namerd.connections == 0)


def test_it_is_asked_again_each_period_and_only_news_is_told(namerd: Namerd, client: NamerdClient) -> None:
    watch = client.bind(WEB)
    eventually(lambda: address(watch))
    told: list[Any] = []
    watch.observe(told.append)
    watch.value.value.addr.observe(told.append)  # type: ignore[union-attr]
    eventually(lambda: namerd.requests["resolve"] >= 5)
    assert (told, client.figures.updates) == ([], 1)
    namerd.addr(ID, bound("127.0.0.1:2"))
    eventually(lambda: address(watch) == ["127.0.0.1:2"])
    assert len(told) == 1
    watch.close()


def test_the_period_is_kept(namerd: Namerd, make: MakeClient) -> None:
    client = make(periodSecs=0.2)
    watch = client.bind(WEB)
    gevent.sleep(0.7)
    assert 2 <= namerd.requests["resolve"] <= 5
    watch.close()


def test_neg_is_definite_and_what_comes_back_is_followed(namerd: Namerd, client: NamerdClient) -> None:
    watch = client.bind(WEB)
    eventually(lambda: address(watch))
    namerd.bind("/svc/web", {"type": "neg"})
    eventually(lambda: watch.value == NEG)
    namerd.bind("/svc/web", leaf(ID))
    eventually(lambda: address(watch) == ["127.0.0.1:1"])
    watch.close()


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("status", "http_status"), ("close", "reset"), ("garbage", "protocol"), ("cut", "cut"), ("empty", "protocol")],
)
def test_whatever_goes_wrong_what_is_known_is_kept(
    namerd: Namerd, client: NamerdClient, fault: str, cause: str
) -> None:
    watch = client.bind(WEB)
    eventually(lambda: address(watch))
    namerd.fault(fault)
    eventually(lambda: client.figures.errors.get(cause, 0) >= 2)
    assert address(watch) == ["127.0.0.1:1"]
    namerd.addr(ID, bound("127.0.0.1:2"))
    namerd.heal()
    eventually(lambda: address(watch) == ["127.0.0.1:2"])
    watch.close()


def test_failed_is_told_only_before_anything_is_known(namerd: Namerd, client: NamerdClient) -> None:
    namerd.addr(ID, failed("no route"))
    watch = client.bind(WEB)
    eventually(lambda: watch.value == Failed("no route"))
    namerd.addr(ID, bound("127.0.0.1:1"))
    eventually(lambda: address(watch))
    namerd.addr(ID, failed("no route"))
    eventually(lambda: client.figures.errors["failed"] >= 3)
    assert address(watch) == ["127.0.0.1:1"]
    watch.close()


def test_a_name_that_is_pending_in_namerd_is_pending_and_asked_for_again(namerd: Namerd, make: MakeClient) -> None:
    client = make(periodSecs=0.05, readTimeoutSecs=1)
    namerd.bind("/svc/web", PENDING_JSON)
    watch = client.bind(WEB)
    eventually(lambda: client.figures.errors == {"silence": 1})
    assert watch.value == PENDING
    namerd.bind("/svc/web", leaf(ID))
    eventually(lambda: address(watch))
    watch.close()


def test_a_failed_poll_is_tried_again_no_later_than_the_next_would_be(namerd: Namerd, make: MakeClient) -> None:
    client = make(periodSecs=0.05, retry={"baseSeconds": 20, "maxSeconds": 20})
    watch = client.bind(WEB)
    eventually(lambda: address(watch))
    namerd.fault("close")
    eventually(lambda: client.figures.errors.get("reset", 0) >= 3)
    watch.close()


def test_a_name_is_held_by_who_observes_its_addresses(namerd: Namerd, client: NamerdClient) -> None:
    watch = client.bind(WEB)
    eventually(lambda: address(watch))
    cancel = watch.value.value.addr.observe(lambda _: None)  # type: ignore[union-attr]
    watch.close()
    assert [row.name for row in client.watches()] == ["/svc/web"]
    cancel()
    assert list(client.watches()) == []

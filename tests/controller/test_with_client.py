"""Our client against our server, over a real socket."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from linkerd_tcp.interpreters.namerd_http import NamerdHttpConfig, NamerdHttpInterpreter
from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import Address, Bound, Failed
from linkerd_tcp.naming.delegation import Step
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import InterpreterContext
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Leaf, Union, leaves
from linkerd_tcp.naming.path import Path
from tests.controller.conftest import ONE, TWO, FakeNamer, Plane
from tests.sockets import eventually

WEIGHTED = Bound((Address("10.0.0.1", 1, 0.25, {"zone": "a", "n": [1, {"x": None}]}), Address("::1", 2)), {"m": "x"})
FOO = Path.read("/svc/foo")


@pytest.fixture
def connect(plane: Plane) -> Iterator[Callable[..., NamerdHttpInterpreter]]:
    made: list[NamerdHttpInterpreter] = []

    def make(dtab: str = "", **options: Any) -> NamerdHttpInterpreter:
        config = NamerdHttpConfig.model_validate({"kind": "io.l5d.namerd.http", "baseUrl": plane.url, **options})
        made.append(config.build(InterpreterContext("r", Dtab.read(dtab), [], plane.utilities)))
        return made[-1]

    yield make
    for interpreter in made:
        interpreter.close()


def test_names_and_addresses_are_followed(
    plane: Plane, namer: FakeNamer, connect: Callable[..., NamerdHttpInterpreter]
) -> None:
    with_watch = connect(watch=True)
    watch = with_watch.bind(FOO)
    eventually(lambda: isinstance(watch.value, Leaf))
    addr = watch.value.value.addr
    eventually(lambda: addr.value == ONE)
    for value in (TWO, WEIGHTED, NEG_ADDR, Bound(())):
        namer.addrs["foo"].set(value)
        eventually(lambda value=value: addr.value == value)
    plane.put("default", "/svc/foo => /#/fake/two")
    eventually(lambda: str(watch.value.value.id) == "/#/fake/two")
    watch.close()
    eventually(lambda: plane.server.watchers == 0)


def test_trees_arrive_as_they_were_written(plane: Plane, connect: Callable[..., NamerdHttpInterpreter]) -> None:
    watch = connect(watch=True).bind(FOO)
    for text, tree in (("~", NEG), ("!", FAIL), ("$", EMPTY)):
        plane.put("default", f"/svc/foo => {text}")
        eventually(lambda tree=tree: watch.value == tree)
    plane.put("default", "/svc/foo => 0.001 * /#/fake/foo & 3 * /#/fake/two & 0 * /#/fake/foo")
    eventually(lambda: isinstance(watch.value, Union))
    assert [branch.weight for branch in watch.value.branches] == [0.001, 3, 0]
    assert [str(name.id) for name in leaves(watch.value)] == ["/#/fake/foo", "/#/fake/two", "/#/fake/foo"]
    watch.close()


def test_the_router_s_entries_win(plane: Plane, connect: Callable[..., NamerdHttpInterpreter]) -> None:
    watch = connect("/svc/foo => /#/fake/two", watch=True).bind(FOO)
    eventually(lambda: isinstance(watch.value, Leaf) and str(watch.value.value.id) == "/#/fake/two")
    watch.close()


def test_polling_asks_again_and_again(
    plane: Plane, namer: FakeNamer, connect: Callable[..., NamerdHttpInterpreter]
) -> None:
    watch = connect(periodSecs=0.05).bind(FOO)
    eventually(lambda: isinstance(watch.value, Leaf) and watch.value.value.addr.value == ONE)
    addr = watch.value.value.addr
    namer.addrs["foo"].set(WEIGHTED)
    eventually(lambda: addr.value == WEIGHTED)
    watch.close()


def test_a_failure_here_keeps_what_was_good_there(
    plane: Plane, namer: FakeNamer, connect: Callable[..., NamerdHttpInterpreter]
) -> None:
    interpreter = connect(watch=True)
    watch = interpreter.bind(FOO)
    eventually(lambda: isinstance(watch.value, Leaf) and watch.value.value.addr.value == ONE)
    namer.answer("foo", Failed("the disk is on strike"))
    eventually(lambda: any("on strike" in (row.error or "") for row in interpreter.sources[0].watches()))
    assert isinstance(watch.value, Leaf)
    assert watch.value.value.addr.value == ONE
    watch.close()


def test_delegations_arrive_whole(plane: Plane, connect: Callable[..., NamerdHttpInterpreter]) -> None:
    plane.put("default", "/svc => /#/fake | /x;/x => 0.5 * /#/fake/foo & ~ ; /svc/foo => !")
    watch = connect(watch=True).delegation(FOO)
    eventually(lambda: not watch.value.is_pending)
    assert {node.step for node in watch.value.walk()} >= {Step.ALT, Step.FAIL, Step.LEAF, Step.UNION, Step.NEG}
    watch.close()

"""What holds behind every transformer."""

from typing import Any

import pytest

from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import PENDING, Addr, Failed
from linkerd_tcp.naming.delegate import DelegateTree, Step, explain, to_json
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, Leaf, Union, Weighted, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.transformers.wrapped import TransformedInterpreter, TransformedNamer
from tests.transformers.conftest import BuildInterpreter, BuildNamer, Inner, bound

WEB = Path.read("/web")
SVC = Path.read("/svc/web")
PORT = {"kind": "io.l5d.port", "port": 8080}
HOST = {"kind": "io.l5d.specificHost", "host": "10.0.0.1"}


def name(id_: str, addr: Addr = PENDING, residual: str = "/") -> BoundName:
    return BoundName(Path.read(id_), Var(addr), Path.read(residual))


def only_name(tree: Any) -> BoundName:
    [found] = leaves(tree)
    assert isinstance(found, BoundName)
    return found


def test_without_transformers_nothing_stands_between(inner: Inner, namer: BuildNamer) -> None:
    assert namer() is inner


def test_ids_are_prefixed_in_the_order_of_the_list_and_residuals_kept(inner: Inner, namer: BuildNamer) -> None:
    inner.set("/web", Leaf(name("/#/inner/web", bound("10.0.0.1:1", "10.0.0.2:2"), "/left/over")))
    watch = namer(PORT, HOST).lookup(WEB)
    found = only_name(watch.value)
    assert str(found.id) == "/%/io.l5d.specificHost/%/io.l5d.port/8080/#/inner/web"
    assert str(found.residual) == "/left/over"
    assert found.addr.value == bound("10.0.0.1:8080")
    watch.close()


def test_a_prefix_may_be_chosen(inner: Inner, namer: BuildNamer) -> None:
    inner.set("/web", Leaf(name("/#/inner/web")))
    watch = namer(PORT | {"prefix": "/mine"}).lookup(WEB)
    assert str(only_name(watch.value).id) == "/%/mine/#/inner/web"
    watch.close()


def test_addresses_flow_through_live_with_their_weights_and_meta(inner: Inner, namer: BuildNamer) -> None:
    source = name("/#/inner/web", bound("10.0.0.1:1*0.5", zone="a"))
    inner.set("/web", Leaf(source))
    watch = namer(PORT).lookup(WEB)
    addr = only_name(watch.value).addr
    told: list[Addr] = []
    cancel = addr.observe(told.append)
    assert addr.value == bound("10.0.0.1:8080*0.5", zone="a")
    for value in (bound("10.0.0.2:5"), NEG_ADDR, Failed("why"), PENDING, bound()):
        source.addr.set(value)  # type: ignore[attr-defined]
    assert told == [bound("10.0.0.2:8080"), NEG_ADDR, Failed("why"), PENDING, bound()]
    source.addr.set(bound("10.0.0.3:1"))  # type: ignore[attr-defined]
    source.addr.set(bound("10.0.0.3:2"))  # type: ignore[attr-defined]
    assert told[5:] == [bound("10.0.0.3:8080")], "what is the same after the change is told once"
    cancel()
    cancel()
    source.addr.set(bound("10.0.0.4:1"))  # type: ignore[attr-defined]
    assert (len(told), addr.value) == (6, bound("10.0.0.4:8080"))
    watch.close()


def test_a_source_is_observed_only_while_somebody_observes_what_was_made_of_it(inner: Inner, namer: BuildNamer) -> None:
    source = name("/#/inner/web", bound("10.0.0.1:1"))
    inner.set("/web", Leaf(source))
    watch = namer(PORT).lookup(WEB)
    addr = only_name(watch.value).addr
    assert not source.addr.observed  # type: ignore[attr-defined]
    first, second = addr.observe(lambda _: None), addr.observe(lambda _: None)
    watch.close()
    addr.close()  # it is not one holder's
    first()
    assert source.addr.observed  # type: ignore[attr-defined]
    second()
    assert not source.addr.observed  # type: ignore[attr-defined]


def test_one_live_addr_becomes_one_for_everybody_as_long_as_anybody_has_it(inner: Inner, namer: BuildNamer) -> None:
    source = name("/#/inner/web", bound("10.0.0.1:1"))
    for path in ("/web", "/other"):
        inner.set(path, Leaf(source))
    built = namer(PORT, HOST)
    watches = [built.lookup(WEB), built.lookup(WEB), built.lookup(Path.read("/other"))]
    first, second, third = (only_name(watch.value).addr for watch in watches)
    assert first is second is third
    inner.set("/web", Leaf(BoundName(source.id, source.addr, Path.read("/more"))))
    assert only_name(watches[0].value).addr is first
    for watch in watches:
        watch.close()


def test_a_binding_that_did_not_change_is_not_told(inner: Inner, interpreter: BuildInterpreter) -> None:
    source = name("/#/inner/web", bound("10.0.0.1:1"))
    inner.set("/web", Leaf(source))
    watch = interpreter("/svc => /#/inner", PORT).bind(SVC)
    told: list[object] = []
    watch.observe(told.append)
    inner.set("/web", Leaf(BoundName(source.id, source.addr)))
    assert told == []
    other = name("/#/inner/web", bound("10.0.0.2:1"))
    inner.set("/web", Leaf(other))
    assert [only_name(tree).addr.value for tree in told] == [bound("10.0.0.2:8080")], "an equal name, another addr"
    watch.close()


def test_every_leaf_of_a_tree_is_changed(inner: Inner, namer: BuildNamer) -> None:
    one, two = name("/#/inner/one"), name("/#/inner/two")
    inner.set("/web", Alt((NEG, Union((Weighted(0.9, Leaf(one)), Weighted(0.1, Leaf(two)))), FAIL)))
    watch = namer(PORT).lookup(WEB)
    ids = [str(each.id) for each in leaves(watch.value)]  # type: ignore[arg-type, union-attr]
    assert ids == ["/%/io.l5d.port/8080/#/inner/one", "/%/io.l5d.port/8080/#/inner/two"]
    assert isinstance(watch.value, Alt)
    watch.close()


@pytest.mark.parametrize("found", [NEG, FAIL, EMPTY, PENDING, Failed("why"), Leaf(Path.read("/svc/other"))], ids=repr)
def test_what_is_no_bound_name_stays_as_it_is(inner: Inner, namer: BuildNamer, found: Any) -> None:
    inner.set("/web", found)
    watch = namer(PORT).lookup(WEB)
    assert watch.value == found
    watch.close()


def test_a_name_that_fails_later_keeps_its_addresses_alive(inner: Inner, interpreter: BuildInterpreter) -> None:
    source = name("/#/inner/web", bound("10.0.0.1:1"))
    inner.set("/web", Leaf(source))
    watch = interpreter("/svc => /#/inner", PORT).bind(SVC)
    addr = only_name(watch.value).addr
    inner.set("/web", Failed("away"))
    assert watch.value == Failed("away")
    source.addr.set(bound("10.0.0.2:1"))  # type: ignore[attr-defined]
    assert addr.value == bound("10.0.0.2:8080")
    assert [path for path, _ in inner.open] == ["/web"]
    watch.close()


def test_a_wrapped_namer_is_the_same_discovery_and_can_what_the_inner_one_can(inner: Inner, namer: BuildNamer) -> None:
    built: Any = namer(PORT)
    assert isinstance(built, TransformedNamer)
    assert (built.kind, built.prefix, built.figures, inner.started) == ("inner", inner.prefix, inner.figures, True)
    watch = built.lookup(WEB)
    assert [row.name for row in built.watches()] == ["/web"]
    assert built.check() == ["a problem"]
    assert not hasattr(built, "names")
    built.close()
    watch.close()
    assert inner.closed == 1


def test_closing_ends_what_is_open(inner: Inner, interpreter: BuildInterpreter) -> None:
    inner.set("/web", Leaf(name("/#/inner/web")))
    built: Any = interpreter("/svc => /#/inner", PORT)
    assert isinstance(built, TransformedInterpreter)
    assert (built.kind, list(built.sources), str(built.dtab)) == ("default", [], "/svc=>/#/inner")
    told: list[object] = []
    watch = built.bind(SVC)
    watch.observe(told.append)
    built.close()
    assert inner.open == []
    inner.set("/web", NEG)
    assert told == []


def test_further_entries_go_to_the_inner_interpreter(inner: Inner, interpreter: BuildInterpreter) -> None:
    inner.set("/web", Leaf(name("/#/inner/web")))
    built = interpreter("/svc => /#/inner", PORT)
    watch = built.bind(SVC, Dtab.read("/svc => ~ | /$/fail"))
    assert watch.value == FAIL
    assert built.delegate(SVC, Dtab.read("/svc => !")).step is Step.ALT
    watch.close()


# Delegation


def test_a_delegation_shows_each_change_as_a_step(inner: Inner, interpreter: BuildInterpreter) -> None:
    inner.set("/web", Leaf(name("/#/inner/web", bound("10.0.0.1:1"), "/rest")))
    built = interpreter("/svc => /#/inner", PORT, HOST)
    [first] = built.delegate(SVC).trees
    assert (first.step, str(first.path), first.message) == (Step.TRANSFORMATION, "/#/inner/web", "io.l5d.port")
    assert str(first.dentry) == "/svc=>/#/inner"
    [second] = first.trees
    assert (second.step, second.message) == (Step.TRANSFORMATION, "io.l5d.specificHost")
    [last] = second.trees
    assert last.step is Step.LEAF
    assert last.bound is not None
    assert str(last.bound.id) == "/%/io.l5d.specificHost/%/io.l5d.port/8080/#/inner/web"
    assert explain(built.delegate(SVC))[-2:] == [
        "        bound to /%/io.l5d.specificHost/%/io.l5d.port/8080/#/inner/web, left over /rest",
        "          10.0.0.1:8080",
    ]
    json = to_json(first)
    assert (json["type"], json["name"], json["bound"]["id"]) == ("transformation", "io.l5d.port", "/#/inner/web")
    assert json["tree"]["tree"]["bound"]["path"] == "/rest"


def test_a_delegation_is_live_and_follows_what_is_pending(inner: Inner, interpreter: BuildInterpreter) -> None:
    inner.set("/web", PENDING)
    built = interpreter("/svc => /#/inner | /#/inner/else", PORT)
    watch = built.delegation(SVC)
    assert watch.value.is_pending
    told: list[DelegateTree] = []
    watch.observe(told.append)
    inner.set("/web", Leaf(name("/#/inner/web", bound("10.0.0.1:1"))))
    assert [node.step for node in told[-1].walk()].count(Step.TRANSFORMATION) == 1
    assert not told[-1].is_pending
    watch.close()
    assert inner.open == []


def test_what_is_not_found_is_no_step(interpreter: BuildInterpreter) -> None:
    built = interpreter("/svc => /#/inner | ! | $", PORT)
    steps = {node.step for node in built.delegate(SVC).walk()}
    assert Step.TRANSFORMATION not in steps

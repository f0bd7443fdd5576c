"""`io.l5d.const` and `io.l5d.replace`."""

from typing import Any

import pytest

from linkerd_tcp.naming.addr import PENDING, Failed, Pending
from linkerd_tcp.naming.delegate import Step
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, Leaf, Union, Weighted, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing import FakeHosts
from tests.transformers.conftest import BuildInterpreter, BuildNamer, Inner, bound
from tests.transformers.test_wrapped import SVC, WEB, name

GATEWAY = "/$/inet/10.9.9.9/4140"
CONST = {"kind": "io.l5d.const", "path": GATEWAY}
REPLACE = {"kind": "io.l5d.replace", "path": GATEWAY}
WEB_NAME = name("/#/inner/web", bound("10.0.0.1:1"))


def ids(tree: Any) -> list[str]:
    return [str(each.id) for each in leaves(tree)]


def test_const_is_there_whatever_was_found_and_if_nothing_was(inner: Inner, namer: BuildNamer) -> None:
    built = namer(CONST)
    for found in (Leaf(WEB_NAME), NEG, FAIL, EMPTY):
        inner.set("/web", found)
        watch = built.lookup(WEB)
        assert isinstance(watch.value, Leaf)
        assert ids(watch.value) == ["/%/io.l5d.const/$/inet/10.9.9.9/4140"]
        assert watch.value.value.addr.value == bound("10.9.9.9:4140")  # type: ignore[union-attr]
        watch.close()


@pytest.mark.parametrize("options", [CONST, REPLACE], ids=["const", "replace"])
@pytest.mark.parametrize("found", [PENDING, Failed("why")], ids=repr)
def test_what_is_not_known_yet_stays_so(inner: Inner, namer: BuildNamer, options: Any, found: Any) -> None:
    inner.set("/web", found)
    watch = namer(options).lookup(WEB)
    assert watch.value == found
    watch.close()


@pytest.mark.parametrize(
    ("found", "becomes"),
    [
        (Leaf(WEB_NAME), Leaf("r")),
        (NEG, NEG),
        (FAIL, FAIL),
        (EMPTY, EMPTY),
        (Alt((NEG, Leaf(WEB_NAME))), Leaf("r")),
        (Alt((FAIL, Leaf(WEB_NAME))), FAIL),
        (
            Union((Weighted(0.9, Leaf(WEB_NAME)), Weighted(0.1, EMPTY))),
            Union((Weighted(0.9, Leaf("r")), Weighted(0.1, EMPTY))),
        ),
        (Union((Weighted(0.9, Leaf(WEB_NAME)), Weighted(0.1, NEG))), Leaf("r")),
    ],
    ids=repr,
)
def test_replace_stands_for_each_name_that_was_found(inner: Inner, namer: BuildNamer, found: Any, becomes: Any) -> None:
    inner.set("/web", found)
    watch = namer(REPLACE).lookup(WEB)
    # Names are equal when their ids are; residuals are the replacement's.
    replacement = name("/%/io.l5d.replace" + GATEWAY)
    expected = {"Leaf": Leaf(replacement)}.get(type(becomes).__name__, becomes)
    if isinstance(becomes, Union):
        expected = Union((Weighted(0.9, Leaf(replacement)), Weighted(0.1, EMPTY)))
    assert watch.value == expected
    watch.close()


@pytest.mark.parametrize("options", [CONST, REPLACE], ids=["const", "replace"])
def test_the_name_is_live_and_its_addr_is_one(
    inner: Inner, hosts: FakeHosts, namer: BuildNamer, options: dict[str, Any]
) -> None:
    inner.set("/web", Leaf(WEB_NAME))
    built = namer(options | {"path": "/$/inet/gateway.test/4140/rest"})
    first, second = built.lookup(WEB), built.lookup(WEB)
    [one], [two] = leaves(first.value), leaves(second.value)  # type: ignore[arg-type]
    assert one.addr is two.addr  # type: ignore[union-attr]
    assert str(one.residual) == "/rest"  # type: ignore[union-attr]
    assert isinstance(one.addr.value, Pending)  # type: ignore[union-attr]
    hosts.resolve("gateway.test", "10.0.0.9")
    assert one.addr.value == bound("10.0.0.9:4140")  # type: ignore[union-attr]
    first.close()
    assert len(hosts.open) == 1
    second.close()
    assert hosts.open == []


def test_replace_lets_go_of_its_name_while_nothing_is_found(inner: Inner, hosts: FakeHosts, namer: BuildNamer) -> None:
    inner.set("/web", NEG)
    watch = namer(REPLACE | {"path": "/$/inet/gateway.test/4140"}).lookup(WEB)
    told: list[Any] = []
    watch.observe(told.append)
    assert hosts.open == []
    inner.set("/web", Leaf(WEB_NAME))
    assert [name for name, _ in hosts.open] == ["gateway.test"]
    inner.set("/web", NEG)
    assert (hosts.open, told[-1]) == ([], NEG)
    watch.close()


def test_each_of_several_has_its_own_name(inner: Inner, namer: BuildNamer) -> None:
    inner.set("/web", Leaf(WEB_NAME))
    watch = namer(REPLACE, REPLACE | {"path": "/$/inet/10.8.8.8/1"}).lookup(WEB)
    assert ids(watch.value) == ["/%/io.l5d.replace/$/inet/10.8.8.8/1"]
    watch.close()
    watch = namer(REPLACE, CONST | {"path": "/$/nil"}).lookup(WEB)
    assert watch.value == EMPTY
    watch.close()


def test_closing_releases_the_name(inner: Inner, hosts: FakeHosts, namer: BuildNamer) -> None:
    built = namer(CONST | {"path": "/$/inet/gateway.test/4140"})
    built.lookup(WEB)
    assert len(hosts.open) == 1
    built.close()
    assert hosts.open == []


def test_an_interpreter_s_replacement_may_be_of_a_namer_of_the_file_and_no_dtab_is_asked(
    inner: Inner, interpreter: BuildInterpreter
) -> None:
    inner.set("/gateway", Leaf(name("/#/inner/gateway", bound("10.0.0.7:7"))))
    inner.set("/web", Leaf(WEB_NAME))
    built = interpreter("/svc => /#/inner ; /# => !", REPLACE | {"path": "/#/inner/gateway"})
    watch = built.bind(SVC)
    assert watch.value == FAIL
    watch.close()
    built = interpreter("/svc => /#/inner", REPLACE | {"path": "/#/inner/gateway"}, {"kind": "io.l5d.port", "port": 1})
    watch = built.bind(SVC)
    [found] = leaves(watch.value)  # type: ignore[arg-type]
    assert str(found.id) == "/%/io.l5d.port/1/%/io.l5d.replace/#/inner/gateway"
    assert found.addr.value == bound("10.0.0.7:1")
    inner.set("/gateway", NEG)
    assert watch.value == NEG
    watch.close()


def test_a_delegation_says_what_was_replaced(inner: Inner, interpreter: BuildInterpreter) -> None:
    inner.set("/web", Leaf(WEB_NAME))
    tree = interpreter("/svc => /#/inner | /#/inner/none", REPLACE).delegate(SVC)
    found, missing = tree.trees
    assert (found.step, found.bound, found.message) == (Step.TRANSFORMATION, WEB_NAME, "io.l5d.replace")
    assert str(found.trees[0].path) == "/%/io.l5d.replace/$/inet/10.9.9.9/4140"
    assert missing.step is Step.NEG
    tree = interpreter("/svc => /#/inner | /#/inner/none", CONST).delegate(SVC)
    assert [each.step for each in tree.trees] == [Step.TRANSFORMATION, Step.TRANSFORMATION]
    tree = interpreter("/svc => /#/inner", CONST | {"path": "/$/nope"}).delegate(SVC)
    assert [each.step for each in tree.walk()][-1] is Step.EXCEPTION


def test_in_a_union_each_branch_has_its_share(inner: Inner, interpreter: BuildInterpreter) -> None:
    inner.set("/a", Leaf(WEB_NAME))
    inner.set("/b", Leaf(WEB_NAME))
    watch = interpreter("/svc => 0.9 * /#/inner/a & 0.1 * /#/inner/b", REPLACE).bind(Path.read("/svc"))
    assert isinstance(watch.value, Union)
    assert [branch.weight for branch in watch.value.branches] == [0.9, 0.1]
    assert len(set(ids(watch.value))) == 1
    watch.close()

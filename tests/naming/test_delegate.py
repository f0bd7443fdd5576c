import json

import pytest
from hypothesis import given, settings

from linkerd_tcp.naming.addr import PENDING, Address, Bound, Failed
from linkerd_tcp.naming.bind import bind
from linkerd_tcp.naming.delegate import MAX_NODES, DelegateTree, Step, delegate, to_json
from linkerd_tcp.naming.dtab import Dentry, Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, Leaf, NegTree, Union, Weighted
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from tests.naming.strategies import paths, tangled_dtabs

ADDR = Var(Bound((Address("127.0.0.1", 80),)))


def nobody(_):
    return NEG


def node(step, path, dentry=None, *trees, **more):
    return DelegateTree(step, path and Path.read(path), dentry and Dentry.read(dentry), tuple(trees), **more)


def test_the_end_to_end_case_of_linkerd():
    base = Dtab.read("/srv => /io.l5d.w00t ; /host => /srv ; /svc => /host")
    local = Dtab.read("/host/poop => /srv/woop")
    name = BoundName(Path.read("/io.l5d.w00t/woop"), ADDR)

    def lookup(path):
        return Leaf(name) if path == name.id else NEG

    tree = delegate(base + local, Path.read("/svc/poop"), lookup)
    found = node(Step.LEAF, "/io.l5d.w00t/woop", "/srv => /io.l5d.w00t", bound=name)
    missing = node(Step.NEG, "/io.l5d.w00t/poop", "/srv => /io.l5d.w00t")
    assert tree == node(
        Step.DELEGATE,
        "/svc/poop",
        None,
        node(
            Step.ALT,
            "/host/poop",
            "/svc => /host",
            node(Step.DELEGATE, "/srv/woop", "/host/poop => /srv/woop", found),
            node(Step.DELEGATE, "/srv/poop", "/host => /srv", missing),
        ),
    )


def test_namerd_s_example_gives_namerd_s_json():
    stored = Dtab.read("/yeezy=>/yeezus")
    assert to_json(delegate(stored, Path.read("/yeezy"), nobody)) == {
        "type": "delegate",
        "path": "/yeezy",
        "delegate": {"type": "neg", "path": "/yeezus", "dentry": {"prefix": "/yeezy", "dst": "/yeezus"}},
    }
    with_extra = to_json(delegate(stored + Dtab.read("/yeezy=>/bar"), Path.read("/yeezy"), nobody))
    assert with_extra["type"] == "alt"
    assert [each["path"] for each in with_extra["alt"]] == ["/bar", "/yeezus"]


def test_every_alternative_is_followed_even_after_one_is_found():
    tree = delegate(Dtab.read("/a => ! | /b | /c"), Path.read("/a"), lambda path: Leaf(BoundName(path, ADDR)))
    assert [each.step for each in tree.trees] == [Step.FAIL, Step.LEAF, Step.LEAF]


@pytest.mark.parametrize(
    ("dtab", "child"),
    [
        ("/a => ~", node(Step.NEG, None, "/a => ~")),
        ("/a => !", node(Step.FAIL, None, "/a => !")),
        ("/a => $", node(Step.EMPTY, "/a", "/a => $")),
    ],
)
def test_an_end_written_in_an_entry_is_a_step_of_its_own(dtab, child):
    assert delegate(Dtab.read(dtab), Path.read("/a"), nobody) == node(Step.DELEGATE, "/a", None, child)


@pytest.mark.parametrize(
    ("path", "found", "tree"),
    [
        ("/$/fail/x", FAIL, node(Step.FAIL, "/$/fail/x")),
        ("/$/nil/x", EMPTY, node(Step.EMPTY, "/$/nil/x")),
        ("/a", NEG, node(Step.NEG, "/a")),
        ("/a", PENDING, node(Step.PENDING, "/a")),
        ("/a", Failed("the disk is gone"), node(Step.EXCEPTION, "/a", message="the disk is gone")),
        ("/a", Alt(()), node(Step.NEG, "/a")),
        ("/a", Alt((FAIL,)), node(Step.DELEGATE, "/a", None, node(Step.FAIL, None))),
        ("/a", Union(()), node(Step.NEG, "/a")),
        ("/a", Union((Weighted(0.5, NEG),)), node(Step.DELEGATE, "/a", None, node(Step.NEG, None))),
    ],
)
def test_what_namers_answer_is_shown_as_it_is(path, found, tree):
    assert delegate(Dtab(), Path.read(path), lambda _: found) == tree


def test_alternatives_of_one_path_are_one_list():
    tree = delegate(Dtab.read("/a => /b | (/c | /d) ; /a => /e"), Path.read("/a"), nobody)
    assert (tree.step, [str(each.path) for each in tree.trees]) == (Step.ALT, ["/e", "/b", "/c", "/d"])


def test_a_union_keeps_its_weights():
    tree = delegate(Dtab.read("/a => 3*/b & 7*/c"), Path.read("/a"), nobody)
    assert (tree.step, tree.weights) == (Step.UNION, (3.0, 7.0))


def test_a_step_that_changes_nothing_is_left_out():
    loop = delegate(Dtab.read("/a => /a"), Path.read("/a"), nobody)
    assert loop.step is Step.EXCEPTION
    assert loop.message == "Max recursion level: 100 reached in Namer lookup"


def test_pending_is_found_wherever_it_is():
    assert delegate(Dtab.read("/a => ~ | 2*/b & /c"), Path.read("/a"), lambda _: PENDING).is_pending
    pending = Leaf(BoundName(Path.read("/b"), Var(PENDING)))
    tree = delegate(Dtab.read("/a => ~ | /b"), Path.read("/a"), lambda _: pending)
    assert tree.is_pending
    pending.value.addr.set(Bound(()))
    assert not tree.is_pending


@pytest.mark.parametrize(
    "dtab",
    [
        "/s => /s/x | /s/y",
        "/s => /s/x & /s/y & /s/z",
        "/s => (/s/x & ~) | /s/y",
        "/s => /s" + "/longer" * 1000,
        ";".join(["/ => /a & ~"] * 3000),
        "/s => " + "|".join(["~"] * 30_000),
        "/s => /s/" + "a" * 100_000,
    ],
)
def test_a_tree_is_bounded_and_its_json_can_be_written(dtab):
    tree = delegate(Dtab.read(dtab), Path.read("/s"), nobody)
    assert sum(1 for _ in tree.walk()) <= MAX_NODES + 1000
    assert any(each.step is Step.EXCEPTION for each in tree.walk())
    assert len(json.dumps(to_json(tree))) < 10_000_000


@settings(max_examples=60, deadline=None)
@given(tangled_dtabs, paths)
def test_delegation_agrees_with_binding(dtab, path):
    """Following the tree by the rules of binding ends where binding ends."""

    def lookup(name):
        return Leaf(BoundName(name, ADDR)) if len(name) % 2 else NEG

    def followed(tree):
        match tree.step:
            case Step.LEAF:
                return Leaf(tree.bound)
            case Step.DELEGATE:
                return followed(tree.trees[0])
            case Step.ALT:
                return next((found for found in map(followed, tree.trees) if not isinstance(found, NegTree)), NEG)
            case Step.UNION:
                found = [Weighted(w, followed(each)) for w, each in zip(tree.weights, tree.trees, strict=True)]
                kept = tuple(each for each in found if each.tree not in (NEG, FAIL))
                return NEG if not kept else kept[0].tree if len(kept) == 1 else Union(kept)
        return {Step.NEG: NEG, Step.FAIL: FAIL, Step.EMPTY: EMPTY}[tree.step]

    tree = delegate(dtab, Path.read("/a") + path, lookup)
    if all(each.step is not Step.EXCEPTION for each in tree.walk()):
        assert followed(tree) == bind(dtab, Path.read("/a") + path, lookup)

import pytest
from hypothesis import given, settings

from linkerd_tcp.naming.addr import PENDING, Bound, Failed
from linkerd_tcp.naming.bind import MAX_NESTED_UNIONS, MAX_STEPS, bind
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, FailTree, Leaf, NegTree, Union, Weighted, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from tests.naming.strategies import paths, tangled_dtabs


def bound(text):
    return BoundName(Path.read(text), Var(Bound(())))


def leaf(text):
    return Leaf(bound(text))


def everything(path):
    """Namers that know every name, and the two utility names that are ends."""
    if path.starts_with(("$", "fail")):
        return FAIL
    if path.starts_with(("$", "nil")):
        return EMPTY
    return Leaf(BoundName(path, Var(Bound(()))))


def knowing(**answers):
    """Namers that know `/<key>` and what is below."""

    def lookup(path):
        return answers.get(path[0], NEG) if path else NEG

    return lookup


def evaluated(tree):
    """The names that the tree stands for, or None if it stands for nothing (Finagle's `eval`)."""
    dtab = Dtab.read(f"/x => {tree}")
    binding = bind(dtab, Path.read("/x"), lambda path: NEG if path == ("x",) else everything(path))
    if isinstance(binding, NegTree | FailTree):
        return None
    return {str(name.id) for name in leaves(binding)}


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        ("~", None),
        ("/ok", {"/ok"}),
        ("/ok & /ok1", {"/ok", "/ok1"}),
        ("/ok & ~ & /blah & $", {"/ok", "/blah"}),
        ("$ & $ & $", set()),
        ("~ & ~ & (~ | ~)", None),
        ("~ | /foo | /bar", {"/foo"}),
        ("~ | (~ | $) | /blah", set()),
        ("(~|$|/foo) & (/bar|/blah) & ~ & /FOO", {"/bar", "/FOO"}),
        ("! | /ok", None),
        ("/ok & !", {"/ok"}),
        ("! & ! & !", None),
        ("~ | /ok | !", {"/ok"}),
        ("~ | $ | /blah", set()),
    ],
)
def test_trees_evaluate_as_finagle_s_do(tree, names):
    assert evaluated(tree) == names


@pytest.mark.parametrize(
    ("tree", "end"),
    [
        ("(! | /test/1 | /test/2)", FAIL),
        ("(~ | /$/fail | /test/1)", FAIL),
        ("(/$/nil | /$/fail | /test/1)", EMPTY),
    ],
)
def test_fail_and_empty_end_the_search(tree, end):
    assert bind(Dtab.read(f"/x => {tree}"), Path.read("/x"), everything) == end


OK0, OK1 = leaf("/ok0"), leaf("/ok1")
BROKEN, BROKEN1 = Failed("first"), Failed("second")


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [
        (PENDING, PENDING, PENDING),
        (OK0, PENDING, OK0),
        (PENDING, OK1, OK1),
        (BROKEN, PENDING, BROKEN),
        (PENDING, BROKEN, BROKEN),
        (OK0, OK1, Union((Weighted(3, OK0), Weighted(7, OK1)))),
        (OK0, NEG, OK0),
        (NEG, OK1, OK1),
        (OK0, FAIL, OK0),
        (OK0, BROKEN, OK0),
        (BROKEN, BROKEN1, BROKEN),
        (NEG, NEG, NEG),
        (FAIL, FAIL, NEG),
        (EMPTY, NEG, EMPTY),
        # Neg is an answer: one branch's is enough for the union to be known.
        (PENDING, NEG, NEG),
        (BROKEN, NEG, NEG),
        (EMPTY, OK1, Union((Weighted(3, EMPTY), Weighted(7, OK1)))),
    ],
)
def test_a_union_has_the_state_of_its_known_branches(left, right, result):
    dtab = Dtab.read("/x => 3*/0 & 7*/1")
    assert bind(dtab, Path.read("/x"), knowing(**{"0": left, "1": right})) == result


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        (NEG, OK1, OK1),
        (OK0, OK1, OK0),
        (PENDING, OK1, PENDING),
        (BROKEN, OK1, BROKEN),
        (FAIL, OK1, FAIL),
        (EMPTY, OK1, EMPTY),
        (NEG, NEG, NEG),
    ],
)
@pytest.mark.parametrize("dtab", ["/x => /0 | /1", "/x => /1 ; /x => /0"])
def test_only_neg_falls_back(dtab, first, second, result):
    assert bind(Dtab.read(dtab), Path.read("/x"), knowing(**{"0": first, "1": second})) == result


def test_an_unmatched_path_is_neg():
    assert bind(Dtab(), Path.read("/foo/bar"), knowing()) == NEG


def test_what_follows_the_prefix_goes_along():
    found = bind(Dtab.read("/svc => /srv/a ; /srv/* => /b"), Path.read("/svc/web/x"), everything)
    assert found == leaf("/b/web/x")


def test_namers_are_asked_only_for_what_no_entry_rewrites():
    asked = []

    def lookup(path):
        asked.append(str(path))
        return NEG

    assert bind(Dtab.read("/a => /b | /c/d"), Path.read("/a"), lookup) == NEG
    assert asked == ["/b", "/c/d"]


def test_an_entry_that_says_neg_leaves_the_path_to_the_namers():
    assert bind(Dtab.read("/a => ~"), Path.read("/a"), everything) == leaf("/a")


def test_a_namer_may_answer_with_paths():
    renamed = Alt((NEG, Union((Weighted(1, Leaf(Path.read("/b"))), Weighted(3, leaf("/c"))))))
    found = bind(Dtab.read("/b => /d"), Path.read("/a"), knowing(a=renamed, d=OK0))
    assert found == Union((Weighted(1, OK0), Weighted(3, leaf("/c"))))


def test_a_binding_keeps_the_live_addresses_it_was_given():
    name = bound("/a")
    found = bind(Dtab(), Path.read("/a"), knowing(a=Leaf(name)))
    assert found.value.addr is name.addr


@pytest.mark.parametrize(
    ("dtab", "path"),
    [
        ("/foo/bar => /bar/foo ; /bar/foo => /foo/bar", "/foo/bar"),
        ("/s => /s/srv", "/s/foo/bar"),
        ("/s => /s/a | /s/b", "/s"),
        ("/s => (/s/a | /s/b) | /s/c", "/s"),
    ],
)
def test_a_loop_is_an_error_and_no_fallback(dtab, path):
    found = bind(Dtab.read(dtab), Path.read(path), everything)
    assert found == Failed("Max recursion level: 100 reached in Namer lookup")


def test_the_depth_limit_can_be_another():
    found = bind(Dtab.read("/s => /s/srv"), Path.read("/s/foo/bar"), everything, max_depth=2)
    assert found == Failed("Max recursion level: 2 reached in Namer lookup")


@pytest.mark.parametrize(("lookups", "fails"), [(100, False), (101, True)])
def test_a_hundred_lookups_one_after_another_are_allowed(lookups, fails):
    dtab = Dtab.read(";".join(f"/{n} => /{n + 1}" for n in range(1, lookups)))
    assert isinstance(bind(dtab, Path.read("/1"), everything), Failed) is fails


@pytest.mark.parametrize(
    "dtab",
    [
        "/s => /s/x & /s/y",
        "/s => ~ | (/s/x & ~) | /s/y",
        "/s => /s ; /s => /s & ~",
        "/s => /s" + "/longer" * 1000,
        ";".join(["/ => /a & ~"] * 3000),
    ],
)
def test_alternatives_that_multiply_are_given_up(dtab):
    asked = 0

    def lookup(path):
        nonlocal asked
        asked += 1
        return NEG

    assert isinstance(bind(Dtab.read(dtab), Path.read("/s"), lookup), Failed)
    assert asked <= MAX_STEPS / 2


def test_at_most_ten_thousand_lookups_are_made():
    asked = []

    def lookup(path):
        asked.append(path)
        return NEG

    dtab = Dtab.read("/s => " + "|".join("/x" for _ in range(MAX_STEPS)))
    found = bind(dtab, Path.read("/s"), lookup)
    assert isinstance(found, Failed)
    assert "More than 20000 steps to bind /s" in found.cause
    assert 5_000 < len(asked) <= 10_000


def test_unions_in_unions_end_where_the_stack_would():
    def depth(tree):
        return 1 + max(depth(each.tree) for each in tree.branches) if isinstance(tree, Union) else 0

    found = bind(Dtab.read("/s => /s/x & /ok"), Path.read("/s"), knowing(ok=OK0))
    assert 30 <= depth(found) <= MAX_NESTED_UNIONS
    assert found == bind(Dtab.read("/s => /s/x & /ok"), Path.read("/s"), knowing(ok=OK0))
    assert hash(found)
    assert repr(found)


def test_trees_in_trees_do_not_reach_the_stack_s_end():
    nest = "(" * 50 + "/s | ~" + ")" * 49 + " | ~)"
    assert isinstance(bind(Dtab.read(f"/s => {nest}"), Path.read("/s"), everything), Failed)


@settings(max_examples=60, deadline=None)
@given(tangled_dtabs, paths)
def test_binding_always_ends_in_a_tree_without_alternatives(dtab, path):
    def complete(tree):
        if isinstance(tree, Union):
            return len(tree.branches) > 1 and all(complete(each.tree) for each in tree.branches)
        return not isinstance(tree, Alt)

    found = bind(dtab, Path.read("/a") + path, lambda name: OK0 if len(name) % 2 else NEG)
    assert isinstance(found, Failed) or complete(found)


def test_the_limits_leave_room_for_real_dtabs(monkeypatch):
    """A thousand services, each with its own entry and a chain of fallbacks, need a hundredth of the steps."""
    entries = "".join(f"/svc/s{n} => /host/s{n} ;" for n in range(1000))
    chain = "/host => /a ; /host => /b ; /host => /c ; /b => /b1 & /b2 & /b3 ;"
    monkeypatch.setattr("linkerd_tcp.naming.bind.MAX_STEPS", MAX_STEPS // 100)
    assert bind(Dtab.read(entries + chain), Path.read("/svc/s7"), knowing(a=OK0)) == OK0

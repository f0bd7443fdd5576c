import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.naming.nametree import (
    EMPTY,
    FAIL,
    NEG,
    Alt,
    Leaf,
    NameTree,
    Union,
    Weighted,
    choose,
    leaves,
    map_leaves,
    show,
    simplified,
)
from linkerd_tcp.naming.parser import read_tree
from linkerd_tcp.naming.path import Path
from tests.naming.strategies import trees, weights

A, B, C = Leaf("a"), Leaf("b"), Leaf("c")


def union(*branches):
    return Union(tuple(Weighted(weight, tree) for weight, tree in branches))


@given(trees())
def test_a_printed_tree_reads_as_the_same_tree(tree: NameTree[Path]):
    assert read_tree(show(tree)) == tree


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (Alt((A, union((1, B), (0.3, C)))), "a | b & 0.3*c"),
        (union((1, Alt((A, B))), (0.25, C)), "(a | b) & 0.25*c"),
        (Alt((Alt((A, B)), C)), "(a | b) | c"),
        (union((2, union((1, A), (1, B))), (1, C)), "2*(a & b) & c"),
        (union((0.005, A), (0.001, B)), "0.005*a & 0.001*b"),
        (union((0, A), (1e22, B)), "0*a & 10000000000000000000000*b"),
        (union((1e-7, A), (100.0, B)), "0.0000001*a & 100*b"),
        (Alt((A,)), "a"),
        (union((0.3, Alt((A, B)))), "a | b"),
        (union((1, Alt((union((9, Alt((A, B)))),))), (1, C)), "(a | b) & c"),
        (Alt(()), "~"),
        (Alt((FAIL, NEG, EMPTY)), "! | ~ | $"),
    ],
)
def test_weights_are_exact_and_parentheses_only_where_needed(tree, text):
    assert show(tree) == text


@given(weights)
def test_a_printed_weight_is_the_same_number(weight):
    tree = Union((Weighted(weight, Leaf(Path(("a",)))), Weighted(1.0, NEG)))
    assert read_tree(show(tree)) == tree


@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_a_weight_is_finite_and_not_negative(weight):
    with pytest.raises(ValueError, match="not finite and at least 0"):
        Weighted(weight, A)


@pytest.mark.parametrize(
    ("tree", "simple"),
    [
        (Alt((NEG, A, NEG, B)), Alt((A, B))),
        (Alt((A, FAIL, B)), Alt((A, FAIL))),
        (Alt((FAIL, A)), FAIL),
        (Alt((NEG, A)), A),
        (Alt(()), NEG),
        (Alt((NEG, NEG)), NEG),
        (union((1, A), (2, NEG), (3, FAIL), (4, B)), union((1, A), (4, B))),
        (union((0.5, A), (1, NEG)), A),
        (union((1, EMPTY), (1, NEG)), EMPTY),
        (union((1, FAIL), (1, FAIL)), NEG),
        (union((1, Alt((NEG, union((1, A))))), (1, B)), union((1, A), (1, B))),
        (Union(()), NEG),
        (EMPTY, EMPTY),
    ],
)
def test_what_has_no_effect_is_left_out(tree, simple):
    assert simplified(tree) == simple


@given(trees())
def test_simplifying_twice_changes_nothing_more(tree):
    assert simplified(simplified(tree)) == simplified(tree)


def test_leaves_are_mapped_and_listed_left_to_right():
    tree = Alt((A, union((1, B), (2, NEG), (3, C)), EMPTY))
    assert list(leaves(tree)) == ["a", "b", "c"]
    assert map_leaves(tree, str.upper) == Alt((Leaf("A"), union((1, Leaf("B")), (2, NEG), (3, Leaf("C"))), EMPTY))


def shares(tree, draws=20_000):
    source = random.Random(7)
    counts = Counter(choose(tree, source.random) for _ in range(draws))
    return {choice: count / draws for choice, count in counts.items()}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (union((0.7, A), (0.3, B)), {A: 0.7, B: 0.3}),
        (union((1, A), (0, B)), {A: 1.0}),
        (union((0, A), (1, B), (0, C)), {B: 1.0}),
        (union((0, A), (0, B)), {A: 0.5, B: 0.5}),
        (union((1, union((1, A), (3, B))), (1, C)), {A: 0.125, B: 0.375, C: 0.5}),
        (union((9, EMPTY), (1, A)), {EMPTY: 0.9, A: 0.1}),
        (union((1e308, A), (1e308, B), (1e308, C)), {A: 1 / 3, B: 1 / 3, C: 1 / 3}),
        (union((5e-324, A), (5e-324, B)), {A: 0.5, B: 0.5}),
        (A, {A: 1.0}),
        (FAIL, {FAIL: 1.0}),
        (Alt((NEG, B, A)), {B: 1.0}),
        (Alt((FAIL, A)), {FAIL: 1.0}),
    ],
)
def test_branches_are_chosen_in_proportion_to_their_weights(tree, expected):
    got = shares(tree)
    assert got.keys() == expected.keys()
    assert all(abs(got[choice] - share) < 0.02 for choice, share in expected.items())


@given(st.lists(weights, min_size=1, max_size=5), st.floats(0, 1, exclude_max=True))
def test_a_branch_of_weight_0_is_chosen_only_when_all_are(found, point):
    tree = Union(tuple(Weighted(weight, Leaf(index)) for index, weight in enumerate(found)))
    chosen = choose(tree, lambda: point)
    assert found[chosen.value] > 0 or not any(found)


@pytest.mark.parametrize("tree", [Union(()), Alt(()), Alt((NEG, NEG))])
def test_nothing_to_choose_from_is_neg(tree):
    assert choose(tree, lambda: 0.5) == NEG

"""Name trees: how several names make one (Finagle's `NameTree`).

Leaf(value)        a name
Alt(trees)         the first of them that is not Neg: fallback
Union(branches)    all of them at once, one chosen for each connection by weight
NEG                nothing here, look on           `~`
FAIL               nothing here, and look no further   `!`
EMPTY              here, but with no address          `$`
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Leaf(Generic[T_co]):
    """One name."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Alt(Generic[T_co]):
    """Alternatives in order of preference."""

    trees: "tuple[NameTree[T_co], ...]"


@dataclass(frozen=True, slots=True)
class Weighted(Generic[T_co]):
    """A branch of a union; `weight` is relative to its siblings, finite and not negative (else ValueError)."""

    weight: float
    tree: "NameTree[T_co]"

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight {self.weight} is not finite and at least 0")


@dataclass(frozen=True, slots=True)
class Union(Generic[T_co]):
    """Branches used side by side."""

    branches: tuple[Weighted[T_co], ...]


@dataclass(frozen=True, slots=True)
class NegTree:
    """No such name."""


@dataclass(frozen=True, slots=True)
class FailTree:
    """No such name, and no alternative is to be tried."""


@dataclass(frozen=True, slots=True)
class EmptyTree:
    """A name that exists and has no address."""


NameTree: TypeAlias = Leaf[T_co] | Alt[T_co] | Union[T_co] | NegTree | FailTree | EmptyTree

NEG: Final = NegTree()
FAIL: Final = FailTree()
EMPTY: Final = EmptyTree()


def leaves(tree: NameTree[T]) -> Iterator[T]:
    """The value of every leaf, left to right."""
    match tree:
        case Leaf():
            yield tree.value
        case Alt():
            for child in tree.trees:
                yield from leaves(child)
        case Union():
            for branch in tree.branches:
                yield from leaves(branch.tree)
        case _:
            pass


def map_leaves(tree: NameTree[T], change: Callable[[T], U]) -> NameTree[U]:
    """`tree` with `change` applied to the value of every leaf."""
    match tree:
        case Leaf():
            return Leaf(change(tree.value))
        case Alt():
            return Alt(tuple(map_leaves(child, change) for child in tree.trees))
        case Union():
            return Union(tuple(Weighted(each.weight, map_leaves(each.tree, change)) for each in tree.branches))
        case _:
            return tree


def union_of(branches: tuple[Weighted[T], ...]) -> NameTree[T]:
    """The union of simplified branches, simplified: Neg and Fail dropped, a lone survivor unweighted, none Neg."""
    kept = tuple(each for each in branches if not isinstance(each.tree, NegTree | FailTree))
    if not kept:
        return NEG
    return kept[0].tree if len(kept) == 1 else Union(kept)


def simplified(tree: NameTree[T]) -> NameTree[T]:
    """A tree that means the same and holds nothing without effect. Simplifying it again changes nothing."""
    match tree:
        case Alt():
            kept: list[NameTree[T]] = []
            for each in tree.trees:
                child = simplified(each)
                if not isinstance(child, NegTree):
                    kept.append(child)
                if isinstance(child, FailTree):
                    break
            return Alt(tuple(kept)) if len(kept) > 1 else kept[0] if kept else NEG
        case Union():
            return union_of(tuple(Weighted(branch.weight, simplified(branch.tree)) for branch in tree.branches))
        case _:
            return tree


def choose(tree: NameTree[T], random: Callable[[], float]) -> Leaf[T] | NegTree | FailTree | EmptyTree:
    """Where one connection goes: each union's branch by weight, uniformly if all its weights are 0.

    `random` gives uniform numbers in [0, 1). A branch that leads nowhere is not avoided: it is chosen as often as its
    weight says, as Finagle does (`NameTreeFactory`).
    """
    while True:
        match tree:
            case Union(branches=()):
                return NEG
            case Union():
                tree = _branch(tree.branches, random())
            case Alt():
                choices = (choose(child, random) for child in tree.trees)
                return next((choice for choice in choices if not isinstance(choice, NegTree)), NEG)
            case _:
                return tree


def _branch(branches: tuple[Weighted[T], ...], point: float) -> NameTree[T]:
    heaviest = max(each.weight for each in branches)
    if heaviest == 0:
        return branches[min(int(point * len(branches)), len(branches) - 1)].tree
    # Divided by the heaviest, so that no sum of finite weights overflows.
    weights = [each.weight / heaviest for each in branches]
    left = point * sum(weights)
    for each, weight in zip(branches, weights, strict=True):
        left -= weight
        if left < 0:
            return each.tree
    # Rounding left a crumb: it belongs to the last branch that may be chosen at all.
    return next(each.tree for each in reversed(branches) if each.weight > 0)


def show(tree: NameTree[T]) -> str:
    """`tree` as text that reads as the same tree; parentheses only where they are needed."""
    return _show(tree, 0)


def _show(tree: NameTree[T], tightness: int) -> str:
    """`tightness` is that of the operator around: 0 none, 1 for `|`, 2 for `&`."""
    match tree:
        case Alt(trees=(only,)):
            return _show(only, tightness)
        case Union(branches=(branch,)):
            return _show(branch.tree, tightness)
        case Alt() if tree.trees:
            text = " | ".join(_show(child, 1) for child in tree.trees)
            return f"({text})" if tightness >= 1 else text
        case Union() if tree.branches:
            text = " & ".join(show_weight(each.weight) + _show(each.tree, 2) for each in tree.branches)
            return f"({text})" if tightness >= 2 else text
        case Leaf():
            return str(tree.value)
        case FailTree():
            return "!"
        case EmptyTree():
            return "$"
        case _:
            return "~"


def show_weight(weight: float) -> str:
    """`0.3*`, or nothing for 1: the shortest digits that read as the same number, never with an exponent."""
    if weight == 1:
        return ""
    digits = format(Decimal(repr(float(weight))), "f")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + "*"

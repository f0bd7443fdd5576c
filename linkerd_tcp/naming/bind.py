"""Binding: a path, sent through a dtab and the namers until only bound names are left (Finagle's `Namer.bind`).

Alt      the first alternative that is not Neg. Fail ends the search; so does one that is pending or failed.
Union    each branch by itself. Those known make the union, however many are pending or failed; of those, Neg and
         Fail are dropped, and a lone survivor loses its weight. None known: the first failure, else pending.
Path     the dtab's entries; only if none matches, or the one that does says Neg, the namers.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from linkerd_tcp.naming.addr import PENDING, Failed, Pending
from linkerd_tcp.naming.dtab import Dentry, Dtab
from linkerd_tcp.naming.name import Binding, BoundName, Found, Name
from linkerd_tcp.naming.nametree import NEG, Alt, EmptyTree, FailTree, Leaf, NameTree, NegTree, Weighted, union_of
from linkerd_tcp.naming.path import ROOT, Path
from linkerd_tcp.naming.trampoline import Steps, run

MAX_DEPTH: Final = 100
"""How many lookups may follow one from another (Finagle's `namerMaxDepth`)."""

MAX_STEPS: Final = 20_000
"""Work for one name: a step a tree node, an entry that matches, a path looked up. At most 10 000 lookups."""

MAX_NESTED_UNIONS: Final = 32
"""A union inside a union inside ...: deeper, that branch fails."""

Lookup: TypeAlias = Callable[[Path], Found]
"""Asks the namers, in their order; Neg when none of them knows."""


class _TooManySteps(Exception):
    pass


def too_deep(max_depth: int) -> str:
    """Finagle's words for a path that delegates to itself, in whatever number of steps."""
    return f"Max recursion level: {max_depth} reached in Namer lookup"


def by_namers(entries: list[Dentry]) -> bool:
    """Whether the namers are to be asked for a path that `entries` match."""
    return not entries or (len(entries) == 1 and isinstance(entries[0].dst, NegTree))


def bind(dtab: Dtab, path: Path, lookup: Lookup, max_depth: int = MAX_DEPTH) -> Binding:
    """What `path` is bound to now. Pure: the same answers from `lookup` give the same binding. Always ends.

    Failed if `path` needs more than `max_depth` lookups one after another, or MAX_STEPS steps in all.
    """
    try:
        return run(_Evaluation(dtab, lookup, max_depth).path(path, 0, 0))
    except _TooManySteps:
        return Failed(f"More than {MAX_STEPS} steps to bind {path}: the dtab's alternatives multiply without end")


class _Evaluation:
    """One run of `bind`. `depth` counts lookups and `unions` the unions around; both go down, steps add up."""

    __slots__ = ("_dtab", "_lookup", "_max_depth", "_steps_left")

    def __init__(self, dtab: Dtab, lookup: Lookup, max_depth: int) -> None:
        self._dtab = dtab
        self._lookup = lookup
        self._max_depth = max_depth
        self._steps_left = MAX_STEPS

    def _spend(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise _TooManySteps

    def path(self, path: Path, depth: int, unions: int) -> Steps[Binding]:
        entries = self._dtab.matches(path)
        # A path that grows at each lookup costs more and more to carry on: its length counts as well.
        self._spend(1 + len(entries) + len(path) // 16)
        if by_namers(entries):
            found = self._lookup(path)
            if isinstance(found, Pending | Failed):
                return found
            binding: Binding = yield self._tree(found, ROOT, depth + 1, unions)
        else:
            trees = ((entry.dst, path.drop(len(entry.prefix))) for entry in entries)
            binding = yield self._first(trees, depth + 1, unions)
        return binding

    def _first(self, trees: Iterable[tuple[NameTree[Name], Path]], depth: int, unions: int) -> Steps[Binding]:
        for tree, rest in trees:
            binding: Binding = yield self._tree(tree, rest, depth, unions)
            if not isinstance(binding, NegTree):
                return binding
        return NEG

    def _tree(self, tree: NameTree[Name], rest: Path, depth: int, unions: int) -> Steps[Binding]:
        """Bind `tree`, `rest` appended to the paths at its leaves."""
        self._spend(1)
        if depth > self._max_depth:
            return Failed(too_deep(self._max_depth))
        if isinstance(tree, NegTree | FailTree | EmptyTree):
            return tree
        binding: Binding
        if isinstance(tree, Leaf):
            if isinstance(tree.value, BoundName):
                return Leaf(tree.value)
            binding = yield self.path(tree.value + rest, depth, unions)
        elif isinstance(tree, Alt):
            binding = yield self._first(((each, rest) for each in tree.trees), depth, unions)
        elif len(tree.branches) == 1:
            binding = yield self._tree(tree.branches[0].tree, rest, depth, unions)
        else:
            binding = yield self._union(tree.branches, rest, depth, unions + 1)
        return binding

    def _union(self, branches: tuple[Weighted[Name], ...], rest: Path, depth: int, unions: int) -> Steps[Binding]:
        if unions > MAX_NESTED_UNIONS:
            return Failed(f"Unions nested deeper than {MAX_NESTED_UNIONS}")
        known: list[Weighted[BoundName]] = []
        failure: Failed | None = None
        for branch in branches:
            binding: Binding = yield self._tree(branch.tree, rest, depth, unions)
            if isinstance(binding, Failed):
                failure = failure or binding
            elif not isinstance(binding, Pending):
                known.append(Weighted(branch.weight, binding))
        if known or not branches:
            return union_of(tuple(known))
        return failure or PENDING

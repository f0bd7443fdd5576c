"""Delegation: how a path is resolved, every step and every alternative of it, for people.

Binding stops at the first alternative that is found; this looks at all of them. The tree and its JSON are linkerd 1's
(`DelegateTree`, `DelegateApiHandler`), so that its tools and namerd's go on working.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from linkerd_tcp.naming.addr import Failed, Pending
from linkerd_tcp.naming.bind import MAX_DEPTH, Lookup, by_namers, too_deep
from linkerd_tcp.naming.delegation import DelegateTree, Step
from linkerd_tcp.naming.dtab import Dentry, Dtab
from linkerd_tcp.naming.name import BoundName, Name
from linkerd_tcp.naming.nametree import Alt, EmptyTree, FailTree, Leaf, NameTree, NegTree
from linkerd_tcp.naming.path import ROOT, Path
from linkerd_tcp.naming.shapes import addr_json, binding_json, explain, to_json
from linkerd_tcp.naming.trampoline import Steps, run

__all__ = [
    "MAX_NESTING",
    "MAX_NODES",
    "TOO_MANY",
    "TOO_NESTED",
    "DelegateTree",
    "Step",
    "addr_json",
    "binding_json",
    "delegate",
    "explain",
    "to_json",
]

MAX_NODES: Final = 10_000
"""Of one tree, 256 characters of what they will print counting as one more; the rest is cut off, and that is said."""

MAX_NESTING: Final = 150
"""So that whatever walks the tree, JSON encoders included, may do it on the stack."""

TOO_MANY: Final = f"more than {MAX_NODES} steps: the rest is left out"
TOO_NESTED: Final = f"nested deeper than {MAX_NESTING} steps"
"""What stands where a tree is cut off: it does not say what becomes of the name."""


def delegate(dtab: Dtab, path: Path, lookup: Lookup) -> DelegateTree:
    """Every step from `path` down to what it is bound to, simplified as linkerd 1 does. Always ends.

    A delegation too deep, or a tree too large (MAX_NODES), is an EXCEPTION node at that place.
    """
    return run(_Delegation(dtab, lookup).path(path, None, 0, 0))


class _Delegation:
    """One run of `delegate`. `depth` counts lookups, `nesting` nodes; both go down."""

    __slots__ = ("_chars", "_dtab", "_lookup", "_nodes_left")

    def __init__(self, dtab: Dtab, lookup: Lookup) -> None:
        self._dtab = dtab
        self._lookup = lookup
        self._nodes_left = MAX_NODES
        self._chars: dict[int, int] = {}
        """How much each entry prints, by its identity."""

    def _spend(self, path: Path, dentry: Dentry | None) -> None:
        # A path that grows at each lookup, or an entry of a mebibyte at each node, would print without end.
        chars = len(path) + sum(map(len, path))
        if dentry is not None:
            if id(dentry) not in self._chars:
                self._chars[id(dentry)] = len(str(dentry))
            chars += self._chars[id(dentry)]
        self._nodes_left -= 1 + chars // 256

    def path(self, path: Path, dentry: Dentry | None, depth: int, nesting: int) -> Steps[DelegateTree]:
        """What becomes of `path`; `dentry` is the entry that led here."""
        entries = self._dtab.matches(path)
        self._spend(path, dentry)
        if not by_namers(entries):
            trees = ((entry.dst, path.drop(len(entry.prefix)), path, entry) for entry in entries)
            children: tuple[DelegateTree, ...] = yield self._all(trees, depth + 1, nesting + 1)
            return _alternatives(path, dentry, children)
        found = self._lookup(path)
        if isinstance(found, Pending):
            return DelegateTree(Step.PENDING, path, dentry)
        if isinstance(found, Failed):
            return DelegateTree(Step.EXCEPTION, path, dentry, message=found.cause)
        if not isinstance(found, NegTree):
            tree: DelegateTree = yield self._tree(found, ROOT, path, dentry, depth + 1, nesting)
            return tree
        if entries:  # one, and it says `~`
            return _through(path, dentry, DelegateTree(Step.NEG, None, entries[0]))
        return DelegateTree(Step.NEG, path, dentry)

    def _all(
        self, trees: Iterable[tuple[NameTree[Name], Path, Path, Dentry | None]], depth: int, nesting: int
    ) -> Steps[tuple[DelegateTree, ...]]:
        """Each of `trees`, as far as there is room for them."""
        children: list[DelegateTree] = []
        for tree, rest, path, dentry in trees:
            if children and self._nodes_left < 0:
                # Said wherever something is missing: whoever reads the tree must not take it for the whole.
                if children[-1].message != TOO_MANY:
                    children.append(DelegateTree(Step.EXCEPTION, path, dentry, message=TOO_MANY))
                break
            children.append((yield self._tree(tree, rest, path, dentry, depth, nesting)))
        return tuple(children)

    def _tree(
        self, tree: NameTree[Name], rest: Path, path: Path, dentry: Dentry | None, depth: int, nesting: int
    ) -> Steps[DelegateTree]:
        """`tree` stands in the entry `dentry`, or is a namer's answer to `path`; `rest` goes after its paths."""
        self._spend(path, dentry)
        over = self._over(depth, nesting)
        if over:
            return DelegateTree(Step.EXCEPTION, path, dentry, message=over)
        if isinstance(tree, NegTree):
            return DelegateTree(Step.NEG, None, dentry)
        if isinstance(tree, FailTree):
            return DelegateTree(Step.FAIL, path if path.starts_with(_FAIL) else None, dentry)
        if isinstance(tree, EmptyTree):
            return DelegateTree(Step.EMPTY, path, dentry)
        if isinstance(tree, Leaf):
            if isinstance(tree.value, BoundName):
                return DelegateTree(Step.LEAF, path, dentry, bound=tree.value)
            target: DelegateTree = yield self.path(tree.value + rest, dentry, depth, nesting)
            return target
        inner = tree.trees if isinstance(tree, Alt) else tuple(branch.tree for branch in tree.branches)
        trees = ((each, rest, path, dentry) for each in inner)
        children: tuple[DelegateTree, ...] = yield self._all(trees, depth, nesting + 1)
        if isinstance(tree, Alt):
            return _alternatives(path, dentry, children)
        return _union(path, dentry, children, tuple(branch.weight for branch in tree.branches))

    def _over(self, depth: int, nesting: int) -> str:
        if depth > MAX_DEPTH:
            return too_deep(MAX_DEPTH)
        if nesting > MAX_NESTING:
            return TOO_NESTED
        return TOO_MANY if self._nodes_left < 0 else ""


_FAIL: Final = Path(("$", "fail"))


def _through(path: Path, dentry: Dentry | None, tree: DelegateTree) -> DelegateTree:
    """`path` delegates to `tree`. A step that changes nothing is left out, unless it is an end by itself."""
    if tree.path == path and tree.step not in (Step.NEG, Step.FAIL, Step.EMPTY):
        return replace(tree, dentry=dentry)
    return DelegateTree(Step.DELEGATE, path, dentry, (tree,))


def _alternatives(path: Path, dentry: Dentry | None, trees: tuple[DelegateTree, ...]) -> DelegateTree:
    if not trees:
        return DelegateTree(Step.NEG, path, dentry)
    if len(trees) == 1:
        return _through(path, dentry, trees[0])
    flat: list[DelegateTree] = []
    for tree in trees:
        flat.extend(tree.trees if tree.step is Step.ALT and tree.path == path else (tree,))
    return DelegateTree(Step.ALT, path, dentry, tuple(flat))


def _union(
    path: Path, dentry: Dentry | None, trees: tuple[DelegateTree, ...], weights: tuple[float, ...]
) -> DelegateTree:
    if len(weights) < 2:
        return _alternatives(path, dentry, trees)
    # Branches may have been cut off; their weights go with them.
    return DelegateTree(Step.UNION, path, dentry, trees, weights[: len(trees)])

"""A namer, and an interpreter, with transformers behind it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, TypeVar

from linkerd_tcp.interpreters.tracked import Tracked
from linkerd_tcp.naming.addr import Failed, Pending
from linkerd_tcp.naming.delegate import DelegateTree, Step
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName, Found
from linkerd_tcp.naming.namer import Discovery, Interpreter, Namer
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, EmptyTree, FailTree, Leaf, NameTree, NegTree, Union, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.transformer import Transformer
from linkerd_tcp.naming.watch import Read, Watch

V = TypeVar("V")


class _Behind:
    """What both have: the transformers, the watches that are open, and whatever else the inner one can do."""

    def __init__(self, inner: Any, transformers: Sequence[Transformer]) -> None:
        self._inner = inner
        self._transformers = tuple(transformers)
        self._open: dict[Tracked[Any], None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # `check` and `names`, where the inner one has them

    def close(self) -> None:
        for tracked in tuple(self._open):
            tracked.close()
        self._inner.close()
        for transformer in self._transformers:
            transformer.close()

    def _track(self, tracked: Tracked[Any]) -> Tracked[Any]:
        self._open[tracked] = None
        return tracked

    def _forget(self, tracked: Tracked[Any]) -> None:
        self._open.pop(tracked, None)

    def _transformed(self, binding: Binding, read: Read) -> Binding:
        """`binding` after every transformer."""
        for place, transformer in enumerate(self._transformers):
            if isinstance(binding, Pending | Failed):
                break
            binding = transformer.transform(binding, _at(place, read))
        return binding


def _at(place: int, read: Read) -> Read:
    """`read` for one transformer, whose keys are its own."""

    def read_there(key: Any, open_watch: Callable[[], Watch[V]]) -> V:
        return read((place, key), open_watch)

    return read_there


class TransformedNamer(_Behind):
    """`namer`, its bound names changed. A path that it answers with is looked up again by whoever asked, and so is
    not changed.
    """

    def __init__(self, namer: Namer, transformers: Sequence[Transformer]) -> None:
        super().__init__(namer, transformers)
        self.kind = namer.kind
        self.prefix = namer.prefix
        self.figures = namer.figures

    def start(self) -> None:
        self._inner.start()

    def lookup(self, path: Path) -> Watch[Found]:
        def compute(read: Read) -> Found:
            found: Found = read("found", lambda: self._inner.lookup(path))
            if isinstance(found, Pending | Failed):
                return found
            bound = _bound(found)
            return found if bound is None else self._transformed(bound, read)

        return self._track(Tracked(compute, _is_tree, _same, self._forget))

    def watches(self) -> Any:
        return self._inner.watches()


class TransformedInterpreter(_Behind):
    """`interpreter`, what it binds to changed. A delegation shows each change as a step of its own."""

    def __init__(self, interpreter: Interpreter, transformers: Sequence[Transformer]) -> None:
        super().__init__(interpreter, transformers)
        self.kind = interpreter.kind
        if hasattr(interpreter, "instead"):
            self.instead = self._instead

    @property
    def sources(self) -> Sequence[Discovery]:
        sources: Sequence[Discovery] = self._inner.sources
        return sources

    def bind(self, path: Path, extra: Dtab | None = None) -> Watch[Binding]:
        def compute(read: Read) -> Binding:
            return self._transformed(read("bound", lambda: self._inner.bind(path, extra)), read)

        return self._track(Tracked(compute, _is_tree, _same, self._forget))

    def delegation(self, path: Path, extra: Dtab | None = None) -> Watch[DelegateTree]:
        def compute(read: Read) -> DelegateTree:
            return self._shown(read("delegated", lambda: self._inner.delegation(path, extra)), read)

        return self._track(Tracked(compute, lambda _: True, DelegateTree.__eq__, self._forget))

    def delegate(self, path: Path, extra: Dtab | None = None) -> DelegateTree:
        tree: DelegateTree = self._inner.delegate(path, extra)
        watch = Tracked(lambda read: self._shown(tree, read), lambda _: True, DelegateTree.__eq__, lambda _: None)
        watch.close()
        return watch.value

    def _instead(self, dtab: Dtab) -> Interpreter:
        """The inner one with another dtab, and the same transformers: they stay this one's to close."""
        return _Instead(self._inner.instead(dtab), self._transformers)

    def _shown(self, tree: DelegateTree, read: Read) -> DelegateTree:
        for place, transformer in enumerate(self._transformers):
            tree = _with_steps(tree, transformer, _at(place, read))
        return tree


class _Instead(TransformedInterpreter):
    """Beside another, whose transformers it borrows."""

    def close(self) -> None:
        for tracked in tuple(self._open):
            tracked.close()
        self._inner.close()


def _with_steps(tree: DelegateTree, transformer: Transformer, read: Read) -> DelegateTree:
    """`tree` with a step in the place of each end of it that `transformer` changes."""
    end = _end(tree)
    if end is None:
        # Not into what an earlier transformer changed from: the change is in `trees`.
        return replace(tree, trees=tuple(_with_steps(each, transformer, read) for each in tree.trees))
    after = transformer.transform(end, read)
    if _same(end, after):
        return tree
    path = tree.path or Path()
    return DelegateTree(
        Step.TRANSFORMATION, path, tree.dentry, (_tree_of(after, path),), bound=tree.bound, message=transformer.kind
    )


def _end(tree: DelegateTree) -> NameTree[BoundName] | None:
    """What binding gives for a node that leads no further."""
    match tree.step:
        case Step.LEAF if tree.bound is not None:
            return Leaf(tree.bound)
        case Step.NEG:
            return NEG
        case Step.FAIL:
            return FAIL
        case Step.EMPTY:
            return EMPTY
    return None


def _tree_of(binding: Binding, path: Path) -> DelegateTree:
    """`binding` as a delegation; `path` stands where there is no name."""
    match binding:
        case Leaf():
            return DelegateTree(Step.LEAF, binding.value.id, bound=binding.value)
        case Union():
            trees = tuple(_tree_of(each.tree, path) for each in binding.branches)
            return DelegateTree(Step.UNION, path, None, trees, tuple(each.weight for each in binding.branches))
        case Pending():
            return DelegateTree(Step.PENDING, path)
        case Failed():
            return DelegateTree(Step.EXCEPTION, path, message=binding.cause)
        case FailTree():
            return DelegateTree(Step.FAIL, path)
        case EmptyTree():
            return DelegateTree(Step.EMPTY, path)
        case NegTree():
            return DelegateTree(Step.NEG, path)
    return DelegateTree(Step.ALT, path, None, tuple(_tree_of(each, path) for each in binding.trees))


def _bound(found: NameTree[Any]) -> NameTree[BoundName] | None:
    """`found`, if nothing in it has to be looked up again."""
    return found if all(isinstance(name, BoundName) for name in leaves(found)) else None


def _is_tree(found: Found) -> bool:
    return not isinstance(found, Pending | Failed)


def _same(before: Found, after: Found) -> bool:
    """Equal, and with the very same live addresses."""
    if before != after or isinstance(before, Pending | Failed) or isinstance(after, Pending | Failed):
        return before == after
    pairs: Iterable[tuple[Any, Any]] = zip_longest(leaves(before), leaves(after))
    return all(getattr(old, "addr", None) is getattr(new, "addr", None) for old, new in pairs)

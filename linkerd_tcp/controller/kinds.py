"""What can be watched: how each comes by its state, and how that is shown."""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import gevent

from linkerd_tcp.controller import shapes
from linkerd_tcp.controller.dtabs import pieces
from linkerd_tcp.controller.namespaces import Namespace, Namespaces
from linkerd_tcp.controller.storage import Broken, StoreError, Versioned
from linkerd_tcp.controller.topic import Failure, Kind, State
from linkerd_tcp.interpreters.tracked import Read
from linkerd_tcp.naming.addr import NEG, Addr, Bound, Failed, Pending
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.namer import Namer, shown_prefix
from linkerd_tcp.naming.nametree import EmptyTree, FailTree, Leaf, NameTree, NegTree, choose, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.throttle import Throttle

T = TypeVar("T")

NAMES_SECS: Final = 1.0
"""How often the namers are asked which names they have, while somebody watches that."""

_NAMER: Final = Path(("#",))
_log: Final = logging.getLogger(__name__)
_throttle: Final = Throttle()


class Borrowed(Watch[T]):
    """Another's watch: closing this leaves it open."""

    def __init__(self, watch: Watch[T]) -> None:
        self._watch = watch

    @property
    def value(self) -> T:
        return self._watch.value

    def observe(self, callback: Callable[[T], None]) -> Callable[[], None]:
        return self._watch.observe(callback)

    def close(self) -> None:
        pass


def namespace_list(namespaces: Namespaces) -> Kind:
    """The names of all namespaces."""

    def compute(read: Read) -> State:
        try:
            return read(namespaces.generation, namespaces.store.namespaces)
        except StoreError as error:
            return Failure(str(error))

    return Kind(compute, shapes.strings)


def dtab(namespaces: Namespaces, ns: str, media_type: str) -> Kind:
    """The dtab of one namespace; unknown while there is none."""

    def compute(read: Read) -> State:
        try:
            state = read(namespaces.generation, lambda: namespaces.store.watch(ns))
        except StoreError as error:
            return Failure(str(error))
        return Failure(state.cause) if isinstance(state, Broken) else state

    def render(state: Versioned) -> Iterator[str]:
        return pieces(state.dtab, media_type)

    return Kind(compute, render, lambda before, after: before.version == after.version)


def binding(namespaces: Namespaces, ns: str, path: Path, extra: Dtab | None) -> Kind:
    """What a path is bound to: told when the names change, with the addresses of that moment."""

    def compute(read: Read) -> State:
        tree = _bound(read, namespaces, ns, path, extra)
        if tree is None or isinstance(tree, Failure):
            return tree
        return None if any(isinstance(_addr(read, name), Pending) for name in leaves(tree)) else tree

    return Kind(compute, shapes.binding_pieces)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A bound tree, and the addresses of each of its leaves."""

    tree: NameTree[BoundName]
    addrs: tuple[Addr, ...]


def resolution(namespaces: Namespaces, ns: str, path: Path, extra: Dtab | None) -> Kind:
    """The addresses of one leaf, chosen by weight for each client, again when the tree changes."""

    def compute(read: Read) -> State:
        tree = _bound(read, namespaces, ns, path, extra)
        if tree is None or isinstance(tree, Failure):
            return tree
        return Resolved(tree, tuple(_addr(read, name) for name in leaves(tree)))

    def one_of(state: Resolved, seed: float) -> State:
        chosen = choose(state.tree, random.Random(seed).random)
        if not isinstance(chosen, Leaf):
            return NEG
        at = next(at for at, name in enumerate(leaves(state.tree)) if name is chosen.value)
        return None if isinstance(state.addrs[at], Pending) else state.addrs[at]

    return Kind(compute, shapes.addr_pieces, epoch=lambda state: state.tree, choose=one_of)


def addresses(namespaces: Namespaces, bound_id: Path) -> Kind:
    """The addresses behind an id. Which namespace it came from does not matter: ids lead to namers."""
    name = without_transformers(bound_id)

    def compute(read: Read) -> State:
        tree = _bound(read, namespaces, None, name, None)
        match tree:
            case None | Failure():
                return tree
            case Leaf():
                addr = _addr(read, tree.value)
                return None if isinstance(addr, Pending) else addr
            case EmptyTree():
                return Bound(())
            case FailTree():
                return Failure("name tree failed")
            case NegTree():
                return NEG
            case _:
                return Failure(f"{bound_id} is not a concrete bound id")

    return Kind(compute, shapes.addr_pieces)


def without_transformers(bound_id: Path) -> Path:
    """Without `/%/io.l5d.port/8080`: the namer that made the id has its transformers by itself."""
    if bound_id[:1] != ("%",):
        return bound_id
    start = next((at for at, label in enumerate(bound_id) if label in ("#", "$")), len(bound_id))
    return bound_id.drop(start)


def _bound(
    read: Read, namespaces: Namespaces, ns: str | None, path: Path, extra: Dtab | None
) -> NameTree[BoundName] | Failure | None:
    try:
        namespace: Namespace = read("namespace", lambda: namespaces.hold(ns))
    except StoreError as error:
        return Failure(str(error))
    if namespace.broken is not None:
        return Failure(namespace.broken)
    tree: Binding = read(("binding", namespace.generation), lambda: namespace.interpreter.bind(path, extra))
    match tree:
        case Pending():
            return None
        case Failed(cause=cause):
            return Failure(cause)
        case _:
            return tree


def _addr(read: Read, name: BoundName) -> Addr:
    return read(("addr", id(name.addr)), lambda: Borrowed(name.addr))


def bound_names(namespaces: Namespaces) -> Kind:
    """The ids that namers have, as far as they can say."""

    def compute(read: Read) -> State:
        return read(namespaces.generation, lambda: _watch_names(namespaces.namers))

    return Kind(compute, shapes.strings)


def _watch_names(namers: tuple[Namer, ...]) -> Watch[tuple[str, ...]]:
    polling = gevent.Greenlet(lambda: _poll())
    names = Var(list_names(namers), on_close=lambda: polling.kill(block=False))

    def _poll() -> None:
        while True:
            gevent.sleep(NAMES_SECS)
            names.set(list_names(namers))

    polling.start()
    return names


def list_names(namers: tuple[Namer, ...]) -> tuple[str, ...]:
    """Every id that a namer of these names, sorted."""
    found: set[str] = set()
    for namer in namers:
        names: Any = getattr(namer, "names", None)
        try:
            found.update(str(_NAMER + namer.prefix + (name,)) for name in (names() if names is not None else ()))
        except Exception:  # noqa: BLE001  a plug-in's trouble must not keep the others' names from who watches them
            if _throttle.ask(namer.prefix) is not None:
                _log.exception("%s cannot list its names", shown_prefix(namer))
    return tuple(sorted(found))

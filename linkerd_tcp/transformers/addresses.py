"""The base of transformers that change the addresses of each bound name and nothing else."""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from linkerd_tcp.naming.addr import NEG, Addr, Address, Bound
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.nametree import NameTree, map_leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Read, Var, Watch

Change = Callable[[Bound], Addr]


class DerivedAddr:
    """The live addresses `source`, changed. It observes `source` only while somebody observes it, so that those who
    feed `source` know whether it is needed; closing it does nothing, since it is not one holder's.

    `besides` is what `change` depends on besides, if there is anything.
    """

    __slots__ = ("__weakref__", "_besides", "_cancels", "_change", "_made", "_made_of", "_out", "_source")

    def __init__(self, source: Watch[Addr], change: Change, besides: Watch[Any] | None = None) -> None:
        self._source = source
        self._change = change
        self._besides = besides
        self._made: Addr = NEG
        self._made_of: tuple[Any, Any] | None = None
        self._out: Var[Addr] = Var(NEG)
        self._cancels: list[Callable[[], None]] = []

    @property
    def value(self) -> Addr:
        addr = self._source.value
        besides = None if self._besides is None else self._besides.value
        # Of the very same values it is not made again: it may be asked for often, and there may be thousands of them.
        if self._made_of is None or self._made_of[0] is not addr or self._made_of[1] is not besides:
            self._made = self._change(addr) if isinstance(addr, Bound) else addr
            self._made_of = (addr, besides)
        return self._made

    def observe(self, callback: Callable[[Addr], None]) -> Callable[[], None]:
        if not self._cancels:
            self._out.set(self.value)  # told to nobody: it is where the next change starts from
            watches: Iterable[Watch[Any]] = (self._source,) if self._besides is None else (self._source, self._besides)
            self._cancels = [watch.observe(self._update) for watch in watches]
        cancel = self._out.observe(callback)

        def cancel_and_release() -> None:
            cancel()
            if not self._out.observed:
                cancels, self._cancels = self._cancels, []
                for each in cancels:
                    each()

        return cancel_and_release

    def close(self) -> None:
        """Nothing; see the class."""

    def _update(self, _: object) -> None:
        self._out.set(self.value)


class AddressTransformer:
    """Gives each bound name the id `id_prefix` and its own behind it, and its addresses through `change`.

    Residuals, address weights and meta stay as they are. One live addr has one derived from it, for as long as
    anybody has that.
    """

    def __init__(self, kind: str, id_prefix: Path, change: Change, besides: Watch[Any] | None = None) -> None:
        self.kind = kind
        self._id_prefix = id_prefix
        self._change = change
        self._besides = besides
        # By the source's id(): whoever is derived from it holds it, so that number is nobody else's meanwhile.
        self._derived: WeakValueDictionary[int, DerivedAddr] = WeakValueDictionary()

    def transform(self, tree: NameTree[BoundName], _read: Read) -> Binding:
        return map_leaves(tree, self._changed)

    def close(self) -> None:
        """Nothing runs here."""

    def _changed(self, name: BoundName) -> BoundName:
        derived = self._derived.get(id(name.addr))
        if derived is None:
            derived = DerivedAddr(name.addr, self._change, self._besides)
            self._derived[id(name.addr)] = derived
        return BoundName(self._id_prefix + name.id, derived, name.residual)


def only(keep: Callable[[Address], bool]) -> Change:
    """A change that leaves those addresses for which `keep` is true; none left is Neg, as linkerd 1 has it."""

    def change(bound: Bound) -> Addr:
        kept = tuple(address for address in bound.addresses if keep(address))
        return Bound(kept, bound.meta) if kept else NEG

    return change

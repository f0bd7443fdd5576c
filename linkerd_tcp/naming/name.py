"""What the leaves of a name tree are: a path still to be looked up, or a name bound to live addresses."""

from dataclasses import dataclass, field
from typing import TypeAlias

from linkerd_tcp.naming.addr import Addr, Failed, Pending
from linkerd_tcp.naming.nametree import NameTree, leaves
from linkerd_tcp.naming.path import ROOT, Path
from linkerd_tcp.naming.watch import Watch


@dataclass(frozen=True, slots=True)
class BoundName:
    """A concrete name: its `id` (`/#/io.l5d.fs/web`), its live addresses, and what of the path was left over.

    Two of them are equal when id and residual are: the addresses behind them are then the same.
    """

    id: Path
    addr: Watch[Addr] = field(compare=False, repr=False)
    residual: Path = ROOT


Name: TypeAlias = Path | BoundName
"""A leaf that a namer may answer with: a path is looked up again through the dtab."""

Found: TypeAlias = NameTree[Name] | Pending | Failed
"""A namer's answer."""

Binding: TypeAlias = NameTree[BoundName] | Pending | Failed
"""An interpreter's answer: a tree without alternatives left open (Leaf, Union of Leafs, or one of Neg, Fail, Empty)."""


def same_binding(before: Binding, after: Binding) -> bool:
    """Equal, and with the very same live addresses: those of one id may come from elsewhere than before."""
    if isinstance(before, Pending | Failed) or isinstance(after, Pending | Failed):
        return before == after
    pairs = zip(leaves(before), leaves(after), strict=False)
    return before == after and all(old.addr is new.addr for old, new in pairs)

"""What a transformer is: it changes what names are bound to, behind one namer or behind an interpreter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.nametree import NameTree
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Read, Watch


class Transformer(Protocol):
    """A plug-in implements this. What it changes gets an id of its own, which begins with `/%` and its prefix."""

    kind: str

    def transform(self, tree: NameTree[BoundName], read: Read) -> Binding:
        """What is there instead of `tree`. Never blocks and never raises.

        Whatever it depends on besides is asked through `read`, and it is called again when that changes. The same
        bound name always becomes a name with the very same live addresses (one object) while anybody has them: that
        is how a binding that did not change is known.
        """

    def close(self) -> None:
        """End what it keeps running. Nothing calls back afterwards. Closing twice is harmless."""


@dataclass(frozen=True, slots=True)
class TransformerContext:
    """What a transformer's configuration is built into a transformer with."""

    bind: Callable[[Path], Watch[Binding]]
    """Binds a concrete name, with no dtab: `/$/...`; behind an interpreter `/#/...` of this file's namers, too."""

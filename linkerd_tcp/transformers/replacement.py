"""A concrete name that stands in the place of others: what const and replace have in common."""

from typing import Final

from pydantic import field_validator

from linkerd_tcp.config.fields import PathText, refuse
from linkerd_tcp.config.transformers import TransformerOptions
from linkerd_tcp.naming.addr import Failed, Pending
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.nametree import map_leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.naming.watch import Read

_CONCRETE: Final = ("#", "$")


class ReplacementOptions(TransformerOptions):
    """Options of a kind that binds a name of its own."""

    path: PathText
    """A concrete name, `/$/inet/gateway.internal/4140` or `/#/io.l5d.fs/gateway`; the dtab is not asked."""

    @field_validator("path")
    @classmethod
    def _is_concrete(cls, path: Path) -> Path:
        if path[:1] not in (("#",), ("$",)):
            refuse(f"expected a concrete name, /#/... or /$/..., got {path} (the dtab is not asked here)", 0)
        return path

    @property
    def uses_namers(self) -> bool:
        """Whether a namer of the file finds it."""
        return self.path[:1] == ("#",)


class Replacement:
    """What the options' path is bound to, live, under an id that begins with their prefix."""

    def __init__(self, options: ReplacementOptions, context: TransformerContext) -> None:
        self.kind = options.kind
        self._options = options
        self._context = context

    def close(self) -> None:
        """Nothing runs here."""

    def _bound(self, read: Read) -> Binding:
        binding: Binding = read("path", lambda: self._context.bind(self._options.path))
        return binding if isinstance(binding, Pending | Failed) else map_leaves(binding, self._renamed)

    def _renamed(self, name: BoundName) -> BoundName:
        return BoundName(self._options.id_prefix + name.id, name.addr, name.residual)

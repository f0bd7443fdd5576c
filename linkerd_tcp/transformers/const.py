"""`io.l5d.const`: one name, whatever was found, and if nothing was."""

from typing import Literal

from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.nametree import NameTree
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.naming.watch import Read
from linkerd_tcp.transformers.replacement import Replacement, ReplacementOptions


class ConstConfig(ReplacementOptions):
    """`path` instead of everything."""

    kind: Literal["io.l5d.const"] = "io.l5d.const"

    def build(self, context: TransformerContext) -> "ConstTransformer":
        return ConstTransformer(self, context)


class ConstTransformer(Replacement):
    """See the module. What is pending or failed stays so."""

    def transform(self, _tree: NameTree[BoundName], read: Read) -> Binding:
        return self._bound(read)

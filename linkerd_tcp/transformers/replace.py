"""`io.l5d.replace`: one name in the place of each that was found; what was not found stays so."""

from typing import Literal

from linkerd_tcp.naming.addr import Failed, Pending
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.nametree import Alt, Leaf, NameTree, Union, Weighted, leaves, simplified
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.naming.watch import Read
from linkerd_tcp.transformers.replacement import Replacement, ReplacementOptions


class ReplaceConfig(ReplacementOptions):
    """`path` instead of each name that was found."""

    kind: Literal["io.l5d.replace"] = "io.l5d.replace"

    def build(self, context: TransformerContext) -> "ReplaceTransformer":
        return ReplaceTransformer(self, context)


class ReplaceTransformer(Replacement):
    """See the module."""

    def transform(self, tree: NameTree[BoundName], read: Read) -> Binding:
        if next(leaves(tree), None) is None:
            return tree
        bound = self._bound(read)
        return bound if isinstance(bound, Pending | Failed) else simplified(_replaced(tree, bound))


def _replaced(tree: NameTree[BoundName], by: NameTree[BoundName]) -> NameTree[BoundName]:
    match tree:
        case Leaf():
            return by
        case Alt():
            return Alt(tuple(_replaced(each, by) for each in tree.trees))
        case Union():
            return Union(tuple(Weighted(each.weight, _replaced(each.tree, by)) for each in tree.branches))
    return tree

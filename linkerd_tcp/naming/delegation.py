"""The delegation tree: what became of a path, every step and every alternative (linkerd 1's `DelegateTree`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from linkerd_tcp.naming.addr import Pending
from linkerd_tcp.naming.dtab import Dentry
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.path import Path


class Step(StrEnum):
    """What a node of a delegation says; the `type` of its JSON. PENDING is ours: namerd does not answer until then."""

    LEAF = "leaf"
    NEG = "neg"
    FAIL = "fail"
    EMPTY = "empty"
    ALT = "alt"
    UNION = "union"
    DELEGATE = "delegate"
    TRANSFORMATION = "transformation"
    EXCEPTION = "exception"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class DelegateTree:
    """One step: what became of `path`, which the entry `dentry` led to (None at the top, or where no entry did).

    `path` is None for a `~` or `!` written in the entry itself. `trees` are the alternatives of ALT, the branches of
    UNION (`weights` beside them), the one tree of DELEGATE and TRANSFORMATION. `bound` belongs to LEAF and
    TRANSFORMATION, `message` is EXCEPTION's text and TRANSFORMATION's name.
    """

    step: Step
    path: Path | None
    dentry: Dentry | None = None
    trees: "tuple[DelegateTree, ...]" = ()
    weights: tuple[float, ...] = ()
    bound: BoundName | None = None
    message: str = ""

    def walk(self) -> "Iterator[DelegateTree]":
        """This node and all below it."""
        yield self
        for tree in self.trees:
            yield from tree.walk()

    @property
    def is_pending(self) -> bool:
        """Whether something in it is not known yet: a namer's answer, or a leaf's addresses."""
        return any(
            node.step is Step.PENDING or (node.bound is not None and isinstance(node.bound.addr.value, Pending))
            for node in self.walk()
        )

"""Where a connection goes, of a delegation in namerd's JSON: what binding makes of the same tree (`naming.bind`).

A delegation has every alternative; binding takes the first that is not Neg, and of a union those branches that are
known and lead somewhere. A transformer changes what was taken: which alternative that is, is decided before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from linkerd_tcp.naming.bind import MAX_NESTED_UNIONS
from linkerd_tcp.naming.delegate import TOO_MANY, TOO_NESTED
from linkerd_tcp.wire.namerd import TOO_LONG

Json: TypeAlias = dict[str, Any]

LEAF, UNION, NEG, FAIL, EMPTY = "leaf", "union", "neg", "fail", "empty"
FAILED, PENDING, CUT = "failed", "pending", "cut"
"""CUT: the tree ends before its answer, so the answer is not in it."""

_CUTS: Final = frozenset({TOO_MANY, TOO_NESTED, TOO_LONG})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a node comes to. `bound` belongs to LEAF, `branches` (at least two) to UNION, `words` say why FAILED or CUT.

    `after` is what a transformer made of it.
    """

    kind: str
    bound: Json | None = None
    branches: "tuple[tuple[float, Outcome], ...]" = ()
    words: str = ""
    after: "Outcome | None" = None


class Outcomes:
    """The outcome of each node of one tree, worked out once. Nodes are told apart by identity."""

    def __init__(self, tree: Json) -> None:
        self._tree = tree  # kept, so that the ids below stay its nodes'
        self._known: dict[tuple[int, int], Outcome] = {}

    def of(self, node: Json, unions: int = 0) -> Outcome:
        """`unions` is how many unions are around it."""
        key = (id(node), unions)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._work_out(node, unions)
        return found

    def _work_out(self, node: Json, unions: int) -> Outcome:
        match node["type"]:
            case "leaf":
                return Outcome(LEAF, node["bound"])
            case "delegate":
                return self.of(node["delegate"], unions)
            case "alt":
                return self._first(node["alt"], unions)
            case "union":
                return self._union(node["union"], unions)
            case "transformation":
                before = Outcome(LEAF, node["bound"]) if "bound" in node else Outcome(NEG)
                return Outcome(before.kind, before.bound, after=resolved(self.of(node["tree"], unions)))
            case "exception":
                words = str(node.get("message", ""))
                return Outcome(CUT if words in _CUTS else FAILED, words=words)
            case "pending":
                return Outcome(PENDING)
            case "fail":
                return Outcome(FAIL)
            case "empty":
                return Outcome(EMPTY)
            case _:
                return Outcome(NEG)

    def _first(self, trees: list[Json], unions: int) -> Outcome:
        outcome = Outcome(NEG)
        for tree in trees:
            outcome = self.of(tree, unions)
            if outcome.kind != NEG:
                break
        return outcome

    def _union(self, branches: list[Json], unions: int) -> Outcome:
        if unions + 1 > MAX_NESTED_UNIONS:
            return Outcome(FAILED, words=f"Unions nested deeper than {MAX_NESTED_UNIONS}")
        found = [(float(each["weight"]), self.of(each["tree"], unions + 1)) for each in branches]
        cut = next((outcome for _, outcome in found if outcome.kind == CUT), None)
        if cut is not None:
            return cut
        known = tuple((weight, outcome) for weight, outcome in found if outcome.kind not in (FAILED, PENDING))
        if known or not branches:
            return _union_of(known)
        return next((outcome for _, outcome in found if outcome.kind == FAILED), Outcome(PENDING))


def _union_of(branches: tuple[tuple[float, Outcome], ...]) -> Outcome:
    kept = tuple((weight, outcome) for weight, outcome in branches if outcome.kind not in (NEG, FAIL))
    if not kept:
        # What a transformer makes of nothing is the same, whichever nothing it was.
        return next((outcome for _, outcome in branches if outcome.after is not None), Outcome(NEG))
    return kept[0][1] if len(kept) == 1 else Outcome(UNION, branches=kept)


def resolved(outcome: Outcome) -> Outcome:
    """With the transformers' changes in the places of what they changed."""
    if outcome.after is not None:
        return resolved(outcome.after)
    if outcome.kind == UNION:
        return _union_of(tuple((weight, resolved(each)) for weight, each in outcome.branches))
    return outcome


def shares(weights: list[float]) -> list[float]:
    """What part of the connections each gets, as `naming.nametree.choose` draws: alike, if all weights are 0."""
    heaviest = max(weights, default=0.0)
    if heaviest == 0:
        return [1 / len(weights) for _ in weights]
    # Divided by the heaviest, so that no sum of finite weights overflows.
    parts = [weight / heaviest for weight in weights]
    whole = sum(parts)
    return [part / whole for part in parts]


def ends(outcome: Outcome, share: float = 1.0) -> Iterator[tuple[float, Outcome]]:
    """Where connections end up, each end with its share of them; of a resolved outcome."""
    if outcome.kind != UNION:
        yield share, outcome
        return
    parts = shares([weight for weight, _ in outcome.branches])
    for part, (_, each) in zip(parts, outcome.branches, strict=True):
        yield from ends(each, share * part)

"""A delegation as rows of an indented tree: of namerd's JSON, which /delegator.json answers with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from linkerd_tcp.dashboard import outcome as oc
from linkerd_tcp.dashboard.cells import BAD, GOOD, WARN, Cell, Row, cut, mark
from linkerd_tcp.dashboard.outcome import Json, Outcome, Outcomes, shares

MOST_ROWS: Final = 300
MOST_ADDRESSES: Final = 20
"""Of one name."""

MOST_DEPTH: Final = 24
"""Indented; what is deeper stays there."""

States = Mapping[str, Mapping[str, Cell]]
"""What balancers know: by bound name, by address, how an endpoint is."""

_NO_STATES: Final[Mapping[str, Cell]] = {}


@dataclass(slots=True)
class _Way:
    """How a node is come by: whether connections do (`taken`), what part of them, and words for its place."""

    depth: int
    taken: bool
    share: float = 1.0
    place: Cell = ""
    part: str = ""
    dentry: Json | None = None
    """The entry of the node above, of which this is a part."""


@dataclass(slots=True)
class Tree:
    """`rows` in the order of the tree, `more` steps that are left out; `used` are the numbers of entries in it."""

    rows: list[Row] = field(default_factory=list)
    more: int = 0
    used: set[int] = field(default_factory=set)
    pending: bool = False
    """Whether something in it is not known yet."""


def tree(shape: Json, numbers: Mapping[tuple[str, str], list[int]], states: States) -> Tree:
    """The rows of a delegation. `numbers` are those of the entries in the text beside it, by prefix and tree.

    Cells: `depth`, `entries` (numbers), `on` (yes where connections come by), `path`, `rule`, `kind`, `place`, `part`.
    """
    drawing = _Drawing(shape, numbers, states)
    drawing.node(shape, _Way(0, True), "0")
    return drawing.done


class _Drawing:
    """One run of `tree`."""

    def __init__(self, shape: Json, numbers: Mapping[tuple[str, str], list[int]], states: States) -> None:
        self._outcomes = Outcomes(shape)
        self._numbers = numbers
        self._states = states
        self.done = Tree()

    def node(self, node: Json, way: _Way, key: str) -> None:
        numbers = self._numbers_of(node)
        self.done.used.update(numbers)
        self.done.pending |= node["type"] == "pending" or _addr(node) == "pending"
        if len(self.done.rows) >= MOST_ROWS:
            self.done.more += 1
        else:
            # A branch stands in the entry that its union stands in: said once.
            rule = "" if node.get("dentry") == way.dentry else self._rule(node, numbers)
            self._add(key, way, _text(node), rule, _kind(node), numbers)
        if "bound" in node and node["type"] == "leaf":
            self._addresses(node["bound"], way, key)
        for number, (child, child_way) in enumerate(self._children(node, way)):
            self.node(child, child_way, f"{key}.{number}")

    def _add(self, key: str, way: _Way, path: Cell, rule: str, kind: Cell, numbers: list[int]) -> None:
        self.done.rows.append(
            {
                "key": key,
                "depth": str(min(way.depth, MOST_DEPTH)),
                "level": f"Level {way.depth + 1}: ",
                "entries": " ".join(map(str, numbers[:20])),
                "on": "yes" if way.taken else "no",
                "path": path,
                "rule": rule,
                "kind": kind,
                "place": way.place,
                "part": way.part,
            }
        )

    def _numbers_of(self, node: Json) -> list[int]:
        dentry = node.get("dentry")
        return [] if dentry is None else self._numbers.get((dentry["prefix"], dentry["dst"]), [])

    def _rule(self, node: Json, numbers: list[int]) -> str:
        dentry = node.get("dentry")
        if dentry is None:
            return ""
        which = f"rule {' or '.join(map(str, numbers[:3]))}: " if numbers else "rule: "
        return which + cut(f"{dentry['prefix']} => {dentry['dst']}")

    # What is below a node, and how it is come by

    def _children(self, node: Json, way: _Way) -> list[tuple[Json, _Way]]:
        below = way.depth + 1
        match node["type"]:
            case "delegate":
                return [(node["delegate"], _Way(below, way.taken, way.share))]
            case "transformation":
                return [(node["tree"], _Way(below, way.taken, way.share))]
            case "alt":
                return self._alternatives(node, way)
            case "union":
                return self._branches(node, way)
        return []

    def _alternatives(self, node: Json, way: _Way) -> list[tuple[Json, _Way]]:
        trees, dentry = node["alt"], node.get("dentry")
        found: list[tuple[Json, _Way]] = []
        stopped: Outcome | None = None
        for each in trees:
            outcome = self._outcomes.of(each)
            if stopped is not None:
                place: Cell = _NOT_TRIED.get(stopped.kind, "tried only if the one above is not found")
                found.append((each, _Way(way.depth + 1, False, place=place, dentry=dentry)))
            elif outcome.kind == oc.NEG:
                words = (
                    "tried: not found, so the next one is tried" if each is not trees[-1] else "tried, as the last one"
                )
                shown = words if way.taken else ""
                found.append((each, _Way(way.depth + 1, way.taken, way.share, shown, dentry=dentry)))
            else:
                stopped = outcome
                taken = _TAKEN.get(outcome.kind, _ENDED) if way.taken else ""
                found.append((each, _Way(way.depth + 1, way.taken, way.share, taken, dentry=dentry)))
        return found

    def _branches(self, node: Json, way: _Way) -> list[tuple[Json, _Way]]:
        branches = node["union"]
        outcomes = [self._outcomes.of(each["tree"]) for each in branches]
        kept = [outcome.kind in _CHOSEN for outcome in outcomes]
        weights = [float(each["weight"]) for each, is_kept in zip(branches, kept, strict=True) if is_kept]
        parts = iter(shares(weights))
        whole = sum(weights)
        found: list[tuple[Json, _Way]] = []
        for each, outcome, is_kept in zip(branches, outcomes, kept, strict=True):
            part = next(parts) if is_kept else 0.0
            text = _part(float(each["weight"]), whole, part, way.share if way.taken else 1.0, is_kept)
            place: Cell = _LEFT_OUT.get(outcome.kind, "") if not is_kept else ""
            if is_kept and way.taken and part:
                place = mark("taken", GOOD, "by this part of the connections")
            taken = way.taken and is_kept and part > 0
            found.append((each["tree"], _Way(way.depth + 1, taken, way.share * part, place, text, node.get("dentry"))))
        return found

    # Addresses

    def _addresses(self, bound: Json, way: _Way, key: str) -> None:
        states = self._states.get(bound["id"], _NO_STATES)
        addresses = bound["addr"].get("addrs", [])
        for number, address in enumerate(addresses[:MOST_ADDRESSES]):
            if len(self.done.rows) >= MOST_ROWS:
                self.done.more += 1
                continue
            text = _address(address)
            weight = float(address.get("meta", {}).get("endpoint_addr_weight", 1))
            inside = _Way(way.depth + 1, way.taken, part="" if weight == 1 else f"weight {weight:g}")
            self._add(
                f"{key}.a{number}",
                inside,
                cut(text),
                "",
                states.get(text, "state not known yet"),
                [],
            )
        if len(addresses) > MOST_ADDRESSES and len(self.done.rows) < MOST_ROWS:
            rest = f"and {len(addresses) - MOST_ADDRESSES} more addresses"
            self._add(f"{key}.more", _Way(way.depth + 1, way.taken), rest, "", "", [])


_TAKEN: Final[Mapping[str, Cell]] = {
    oc.LEAF: mark("taken", GOOD),
    oc.UNION: mark("taken", GOOD),
    oc.EMPTY: mark("taken", WARN),
    oc.FAIL: mark("taken: the search ends here", WARN),
}
_ENDED: Final[Cell] = mark("the search ends here", WARN)
_CHOSEN: Final = frozenset({oc.LEAF, oc.UNION, oc.EMPTY, oc.CUT})
_NOT_TRIED: Final[Mapping[str, str]] = {
    oc.FAIL: "never tried: the one above fails, and that ends the search",
    oc.FAILED: "not tried: what the one above leads to cannot be known now",
    oc.PENDING: "not tried while the one above is not known",
}
_LEFT_OUT: Final[Mapping[str, str]] = {
    oc.NEG: "left out: nothing is found there",
    oc.FAIL: "left out: it fails",
    oc.FAILED: "left out while it cannot be known",
    oc.PENDING: "left out while it is not known",
}


def _part(weight: float, whole: float, part: float, of_all: float, is_kept: bool) -> str:
    """`3 of 4 = 75 %`, and how much of everything that is, where it is of a part only."""
    if not is_kept:
        return f"weight {weight:g}"
    text = f"{weight:g} of {whole:g} = {percent(part)}" if whole else f"weight 0 like all others: {percent(part)}"
    return text if of_all == 1.0 else f"{text}, {percent(part * of_all)} of all"


def percent(part: float) -> str:
    """`75 %`, `0.25 %`, `< 0.01 %`."""
    if 0 < part < 0.0001:
        return "< 0.01 %"
    return f"{part * 100:.3g} %" if part < 0.9995 or part == 1 else f"{part * 100:.2f} %"


def _addr(node: Json) -> str:
    return str(node["bound"]["addr"]["type"]) if "bound" in node else ""


def _text(node: Json) -> Cell:
    path = cut(str(node.get("path") or "/"))
    bound = node.get("bound")
    if bound is None or node["type"] != "leaf" or bound["id"] == node.get("path"):
        return path
    return cut(str(bound["id"]))


def _kind(node: Json) -> Cell:
    """What a node is, in words; how it stands, where it is an end."""
    match node["type"]:
        case "leaf":
            return _bound_words(node["bound"])
        case "transformation":
            return f"changed by {cut(str(node.get('name', 'a transformer')))}"
        case "exception":
            return mark(f"cannot be known: {cut(str(node.get('message', '')))}", BAD)
    return _KINDS.get(node["type"], cut(str(node["type"])))


_KINDS: Final[Mapping[str, Cell]] = {
    "delegate": "leads on",
    "alt": "alternatives: the first that is found",
    "union": "a split: one of these for each connection, by weight",
    "neg": mark("not found", WARN),
    "fail": mark("fails (!): nothing else is tried", BAD),
    "empty": mark("exists, with no address ($)", BAD),
    "pending": mark("not known yet: its namer has not answered", WARN),
}


def _bound_words(bound: Json) -> Cell:
    left_over = bound.get("path") or "/"
    residual = f", {cut(left_over)} left over" if left_over != "/" else ""
    words, state = address_words(bound)
    return mark(f"bound: {words}{residual}", state)


def address_words(bound: Json) -> tuple[str, str]:
    """`2 addresses`, or why there is none, and how that stands."""
    addr = bound["addr"]
    match addr["type"]:
        case "bound":
            addresses = addr.get("addrs", [])
            if addresses and all(each.get("meta", {}).get("endpoint_addr_weight", 1) == 0 for each in addresses):
                return f"{count(len(addresses))}, each of weight 0", WARN
            return count(len(addresses)), GOOD if addresses else BAD
        case "pending":
            return "addresses not known yet", WARN
        case "failed":
            return f"addresses cannot be known: {cut(str(addr.get('cause', '')))}", BAD
    return "no addresses any more", BAD


def count(addresses: int) -> str:
    return "no address" if not addresses else "1 address" if addresses == 1 else f"{addresses} addresses"


def _address(address: Json) -> str:
    ip, port = address["ip"], address["port"]
    return f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"

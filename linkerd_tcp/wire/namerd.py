"""namerd's JSON (linkerd 1's `DelegateApiHandler`) as names and addresses: what `naming.shapes` writes, and more.

Liberal in what is read: absent and unknown keys, values of other types and addresses that cannot be used do no harm
where the meaning of the rest is clear. Where it is not, WireError says what is wrong and where; nothing else is
raised, whatever goes in that `wire.json_documents` let through.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed, Pending
from linkerd_tcp.naming.delegation import DelegateTree, Step
from linkerd_tcp.naming.dtab import Dentry, Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import EMPTY, FAIL, Leaf, NameTree, NegTree, Weighted, union_of
from linkerd_tcp.naming.nametree import NEG as NEG_TREE
from linkerd_tcp.naming.path import ROOT, Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.wire.parsing import WireError

MAX_ADDRESSES: Final = 100_000
MAX_LEAVES: Final = 1_000
"""Of one bound tree: each may be watched."""

MAX_TREE_NESTING: Final = 64
MAX_NESTING: Final = 160
"""Of a delegation, a little more than ours (`naming.delegate`): what is deeper, or more, is left out, and that is
said.
"""

MAX_NODES: Final = 10_000
TOO_LONG: Final = "the rest of namerd's answer is left out"
MAX_TEXT_CHARS: Final = 500
"""Of a cause or message."""

PAUSE_EVERY: Final = 64
MAX_WEIGHT: Final = sys.float_info.max
WEIGHT_KEY: Final = "endpoint_addr_weight"

_IPV4: Final = re.compile(r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}")
_ZONE: Final = re.compile(r"[0-9A-Za-z_.-]{1,15}")

Remark: TypeAlias = Callable[[str], None]
"""Told of each thing that was left out."""


@dataclass(frozen=True, slots=True)
class BoundLeaf:
    """A leaf of a bound tree; `addr` is a snapshot, Pending where there is none."""

    id: Path
    residual: Path
    addr: Addr


BoundTree: TypeAlias = NameTree[BoundLeaf] | Pending | Failed
"""Leaf, Union of such, or one of Neg, Fail, Empty."""


def _nothing(*_: object) -> None:
    pass


def read_addr(value: Any, remark: Remark = _nothing, pause: Callable[[], None] = _nothing) -> Addr:
    """The document of `/addr` and `/resolve`, also what stands inside a leaf.

    An address without a usable `ip` and `port` is left out; if no other is there, WireError. A weight that is no
    finite number of 0 or more is 1. `pause` is called every few addresses: there may be 100 000 of them.
    """
    match _type(value, "an address set"):
        case "bound":
            return Bound(_addresses(value.get("addrs"), remark, pause), _meta(value.get("meta")))
        case "neg":
            return NEG
        case "pending":
            return PENDING
        case "failed":
            return Failed(_text(value.get("cause")) or "failed, and namerd does not say why")
        case other:
            raise _wrong("type", "bound, neg, failed or pending", other)


def read_tree(value: Any, remark: Remark = _nothing, pause: Callable[[], None] = _nothing) -> BoundTree:
    """The document of `/bind`. Alternatives, which namerd has decided on, are the first that is not Neg."""
    if isinstance(value, dict) and value.get("type") in ("pending", "failed"):
        addr = read_addr(value)
        assert isinstance(addr, Pending | Failed)
        return addr
    return _TreeReader(remark, pause).tree(value, 0)


def read_delegation(value: Any) -> DelegateTree:
    """The document of `/delegate`. Addresses in it are snapshots."""
    return _DelegationReader().node(value, 0)


# -- addresses


def _addresses(value: Any, remark: Remark, pause: Callable[[], None]) -> tuple[Address, ...]:
    if not isinstance(value, list):
        # Not none at all: that would take every endpoint away.
        raise _wrong("addrs", "a list", value)
    if len(value) > MAX_ADDRESSES:
        raise _wrong("addrs", f"at most {MAX_ADDRESSES} addresses", len(value))
    found: dict[tuple[str, int], Address] = {}
    for index, each in enumerate(value):
        try:
            address = _address(each, f"addrs[{index}]")
            found.setdefault((address.ip, address.port), address)
        except WireError as error:
            if index == len(value) - 1 and not found:
                raise
            remark(str(error))
        if index % PAUSE_EVERY == PAUSE_EVERY - 1:
            pause()
    return tuple(found.values())


def _address(value: Any, where: str) -> Address:
    if not isinstance(value, dict):
        raise _wrong(where, "an address", value)
    port = value.get("port")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise _wrong(f"{where}.port", "a port from 1 to 65535", port)
    ip = _ip(value.get("ip"), where)
    meta = value.get("meta")
    if not meta or not isinstance(meta, dict):
        return Address(ip, port)
    weight = 1.0
    if WEIGHT_KEY in meta:
        weight = _weight(meta[WEIGHT_KEY], 1.0)
        meta = {key: each for key, each in meta.items() if key != WEIGHT_KEY}
    return Address(ip, port, weight, meta)


def _ip(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{where}.ip", "an IP address", value)
    if _IPV4.fullmatch(value):
        return value
    bare, percent, zone = value.strip("[]").partition("%")
    try:
        if percent and not _ZONE.fullmatch(zone):
            raise ValueError(zone)
        return str(ip_address(bare)) + percent + zone
    except ValueError:
        raise _wrong(f"{where}.ip", "an IP address", value) from None


def _weight(value: Any, instead: float) -> float:
    """Finagle takes what is no number for 1 (`WeightedAddress.extract`)."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_WEIGHT:
        return float(value)
    return instead


def _meta(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# -- bound trees


class _TreeReader:
    """One run of `read_tree`."""

    def __init__(self, remark: Remark, pause: Callable[[], None]) -> None:
        self._remark = remark
        self._pause = pause
        self._leaves = 0

    def tree(self, value: Any, nesting: int) -> NameTree[BoundLeaf]:
        if nesting > MAX_TREE_NESTING:
            raise _wrong("tree", f"at most {MAX_TREE_NESTING} levels", "more")
        match _type(value, "a tree"):
            case "leaf":
                return Leaf(self._leaf(value.get("bound")))
            case "union":
                return union_of(tuple(self._branch(each, nesting + 1) for each in _list(value, "union")))
            case "alt":
                return self._first(_list(value, "alt"), nesting + 1)
            case "neg":
                return NEG_TREE
            case "fail":
                return FAIL
            case "empty":
                return EMPTY
            case other:
                raise _wrong("type", "leaf, union, alt, neg, fail or empty", other)

    def _leaf(self, value: Any) -> BoundLeaf:
        self._leaves += 1
        if self._leaves > MAX_LEAVES:
            raise _wrong("tree", f"at most {MAX_LEAVES} bound names", "more")
        if not isinstance(value, dict):
            raise _wrong("bound", "a bound name", value)
        bound_id, residual = _path(value.get("id"), "bound.id"), value.get("path")
        addr = value.get("addr")
        return BoundLeaf(
            bound_id,
            ROOT if residual is None else _path(residual, "bound.path"),
            PENDING if addr is None else read_addr(addr, self._remark, self._pause),
        )

    def _branch(self, value: Any, nesting: int) -> Weighted[BoundLeaf]:
        if not isinstance(value, dict):
            raise _wrong("union", "branches with weight and tree", value)
        weight = _weight(value.get("weight", 1.0), -1.0)
        if weight < 0:
            # A split that cannot be told is none to guess.
            raise _wrong("union.weight", "a weight of 0 or more", value.get("weight"))
        return Weighted(weight, self.tree(value.get("tree"), nesting))

    def _first(self, values: list[Any], nesting: int) -> NameTree[BoundLeaf]:
        trees = [self.tree(each, nesting) for each in values]
        return next((tree for tree in trees if not isinstance(tree, NegTree)), NEG_TREE)


# -- dtabs


def read_dtab(value: Any, pause: Callable[[], object] = lambda: None) -> Dtab:
    """A namespace's entries, `[{"prefix": ..., "dst": ...}]`; WireError. `pause` is called now and then."""
    entries: list[Dentry] = []
    for item in _items(value):
        entry = _dentry({"dentry": item})
        if entry is None:
            raise _wrong(f"entry {len(entries) + 1}", 'an entry, {"prefix": ..., "dst": ...}', item)
        entries.append(entry)
        pause()
    return Dtab(entries)


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong("document", "a dtab, a list of entries", value)
    return value


# -- delegations


class _DelegationReader:
    """One run of `read_delegation`."""

    def __init__(self) -> None:
        self._nodes = 0

    def node(self, value: Any, nesting: int) -> DelegateTree:
        path, dentry = (_path_or_none(value), _dentry(value)) if isinstance(value, dict) else (None, None)
        self._nodes += 1
        if nesting > MAX_NESTING or self._nodes > MAX_NODES:
            return DelegateTree(Step.EXCEPTION, path, dentry, message=TOO_LONG)
        kind = _type(value, "a delegation")
        match kind:
            case "leaf":
                return DelegateTree(Step.LEAF, path, dentry, bound=_bound_name(value))
            case "neg" | "fail" | "empty" | "pending":
                return DelegateTree(Step(kind), path, dentry)
            case "exception" | "failed":
                message = _text(value.get("message", value.get("cause"))) or "failed, and namerd does not say why"
                return DelegateTree(Step.EXCEPTION, path, dentry, message=message)
            case "alt":
                return DelegateTree(Step.ALT, path, dentry, self._all(_list(value, "alt"), nesting))
            case "union":
                return self._union(_list(value, "union"), path, dentry, nesting)
            case "delegate":
                return DelegateTree(Step.DELEGATE, path, dentry, self._all([value.get("delegate")], nesting))
            case "transformation":
                trees, name = self._all([value.get("tree")], nesting), _text(value.get("name"))
                bound = _bound_name(value) if isinstance(value.get("bound"), dict) else None
                return DelegateTree(Step.TRANSFORMATION, path, dentry, trees, bound=bound, message=name)
        raise _wrong("type", "a step of a delegation", kind)

    def _all(self, values: list[Any], nesting: int) -> tuple[DelegateTree, ...]:
        nodes: list[DelegateTree] = []
        for each in values:
            if nodes and self._nodes > MAX_NODES:
                # Said wherever something is missing: whoever reads the tree must not take it for the whole.
                if nodes[-1].message != TOO_LONG:
                    nodes.append(DelegateTree(Step.EXCEPTION, None, message=TOO_LONG))
                break
            nodes.append(self.node(each, nesting + 1))
        return tuple(nodes)

    def _union(self, values: list[Any], path: Path | None, dentry: Dentry | None, nesting: int) -> DelegateTree:
        branches = [each if isinstance(each, dict) else {} for each in values]
        trees = self._all([each.get("tree") for each in branches], nesting)
        weights = tuple(_weight(each.get("weight"), 1.0) for each in branches[: len(trees)])
        return DelegateTree(Step.UNION, path, dentry, trees, weights)


def _bound_name(value: dict[str, Any]) -> BoundName:
    leaf = _TreeReader(_nothing, _nothing)._leaf(value.get("bound"))
    return BoundName(leaf.id, Var(leaf.addr), leaf.residual)


def _path_or_none(value: dict[str, Any]) -> Path | None:
    """None also for `~` and `!`, which a step has that is written in an entry itself."""
    text = value.get("path")
    try:
        return Path.read(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _dentry(value: dict[str, Any]) -> Dentry | None:
    entry = value.get("dentry")
    if not isinstance(entry, dict) or not isinstance(entry.get("prefix"), str) or not isinstance(entry.get("dst"), str):
        return None
    try:
        return Dentry.read(f"{entry['prefix']} => {entry['dst']}")
    except ValueError:
        return None


# -- words


def _type(value: Any, expected: str) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise _wrong("document", f"{expected}, an object with a type", value)
    kind: str = value["type"]
    return kind


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list):
        raise _wrong(key, "a list", found)
    return found


def _path(value: Any, where: str) -> Path:
    if isinstance(value, str):
        try:
            return Path.read(value)
        except ValueError:
            pass
    raise _wrong(where, "a path", value)


def _text(value: Any) -> str:
    """Text of namerd's that can be logged: one line of printable characters; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    cut = value[:MAX_TEXT_CHARS] + ("..." if len(value) > MAX_TEXT_CHARS else "")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)


def _wrong(where: str, expected: str, found: Any) -> WireError:
    """A value has no offset: its place says where it is."""
    kinds = {dict: "an object", list: "a list", type(None): "nothing"}
    text = kinds.get(type(found)) or ascii(found)[:100]
    error = WireError(0, f"{expected} as {where}", text)
    error.args = (f"{where}: expected {expected}, found {text}",)
    return error

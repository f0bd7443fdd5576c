"""Addresses, bindings and delegations as namerd's JSON, and as lines to read."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from linkerd_tcp.naming.addr import Addr, Address, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.delegation import DelegateTree, Step
from linkerd_tcp.naming.dtab import Dentry
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.nametree import Alt as AltTree
from linkerd_tcp.naming.nametree import EmptyTree, FailTree, Leaf, Union, show, show_weight

Json: TypeAlias = dict[str, Any]
Says: TypeAlias = Callable[[DelegateTree], Iterable[str]]


def addr_json(addr: Addr) -> Json:
    """`{"type": "bound", "addrs": [{"ip", "port", "meta"}], "meta": {}}`, or the type and, if failed, the cause."""
    match addr:
        case Bound():
            return {"type": "bound", "addrs": list(map(address_json, addr.addresses)), "meta": dict(addr.meta)}
        case Neg():
            return {"type": "neg"}
        case Pending():
            return {"type": "pending"}
        case Failed():
            return {"type": "failed", "cause": addr.cause}


def address_json(address: Address) -> Json:
    """`{"ip", "port", "meta"}`; a weight other than 1 is in the meta."""
    meta = dict(address.meta) | ({"endpoint_addr_weight": address.weight} if address.weight != 1 else {})
    return {"ip": address.ip, "port": address.port, "meta": meta}


def _bound_json(name: BoundName) -> Json:
    return {"addr": addr_json(name.addr.value), "id": str(name.id), "path": str(name.residual)}


def binding_json(binding: Binding) -> Json:
    """The shape of namerd's `/bind`; pending and failed as an address has them. Addresses are those of this moment."""
    match binding:
        case Pending() | Failed():
            return addr_json(binding)
        case Leaf():
            return {"type": "leaf", "bound": _bound_json(binding.value)}
        case Union():
            branches = [{"weight": each.weight, "tree": binding_json(each.tree)} for each in binding.branches]
            return {"type": "union", "union": branches}
        case AltTree():
            return {"type": "alt", "alt": [binding_json(each) for each in binding.trees]}
        case FailTree():
            return {"type": "fail"}
        case EmptyTree():
            return {"type": "empty"}
        case _:
            return {"type": "neg"}


def dentry_json(dentry: Dentry) -> Json:
    return {"prefix": str(dentry.prefix), "dst": show(dentry.dst)}


def to_json(tree: DelegateTree) -> Json:
    """The shape of namerd's `/delegate`, and a type `pending` for what is not known yet."""
    json: Json = {"type": str(tree.step), "path": _literal(tree)}
    if tree.dentry is not None:
        json["dentry"] = dentry_json(tree.dentry)
    if tree.bound is not None:
        json["bound"] = _bound_json(tree.bound)
    match tree.step:
        case Step.DELEGATE:
            json["delegate"] = to_json(tree.trees[0])
        case Step.ALT:
            json["alt"] = [to_json(each) for each in tree.trees]
        case Step.UNION:
            pairs = zip(tree.weights, tree.trees, strict=True)
            json["union"] = [{"weight": weight, "tree": to_json(each)} for weight, each in pairs]
        case Step.TRANSFORMATION:
            json |= {"name": tree.message, "tree": to_json(tree.trees[0])}
        case Step.EXCEPTION:
            json["message"] = tree.message
    return json


def _literal(tree: DelegateTree) -> str:
    if tree.path is not None:
        return str(tree.path)
    return "!" if tree.step is Step.FAIL else "~"


def _nothing(_: DelegateTree) -> Iterable[str]:
    return ()


def explain(tree: DelegateTree, says: Says = _nothing) -> list[str]:
    """The delegation as indented lines: each path, the entry that led to it, down to addresses and their states.

    Below each step the lines that `says` has of it.
    """
    return list(_lines(tree, says, "", ""))


_SAYS = {
    Step.NEG: "not found",
    Step.FAIL: "fails, and nothing else is tried",
    Step.EMPTY: "exists, with no address",
    Step.ALT: "the first of these that is found",
    Step.UNION: "one of these for each connection, by weight",
    Step.PENDING: "not known yet",
}


def _lines(tree: DelegateTree, says: Says, indent: str, lead: str) -> Iterator[str]:
    by = f"  ({tree.dentry.prefix} => {show(tree.dentry.dst)})" if tree.dentry is not None else ""
    words = tree.message or _SAYS.get(tree.step, "")
    yield f"{indent}{lead}{_literal(tree)}{by}" + (f": {words}" if words else "")
    deeper = indent + "  "
    if tree.bound is not None:
        yield from _bound_lines(tree.bound, deeper)
    yield from (f"{deeper}{line}" for line in says(tree))
    for index, each in enumerate(tree.trees):
        weight = (show_weight(tree.weights[index]) or "1*") + " " if tree.weights else ""
        yield from _lines(each, says, deeper, weight)


def _bound_lines(name: BoundName, indent: str) -> Iterator[str]:
    residual = f", left over {name.residual}" if name.residual else ""
    yield f"{indent}bound to {name.id}{residual}"
    match name.addr.value:
        case Bound(addresses=()):
            yield f"{indent}  no address"
        case Bound(addresses=addresses):
            for address in addresses:
                weight = "" if address.weight == 1 else f" weight {show_weight(address.weight)[:-1]}"
                yield f"{indent}  {address}{weight}"
        case Neg():
            yield f"{indent}  no such address"
        case Pending():
            yield f"{indent}  addresses not known yet"
        case Failed(cause=cause):
            yield f"{indent}  failed: {cause}"

"""What a namerd knows, set by the test: trees by path, addresses by bound id; and the documents that say it."""

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

NEG: Json = {"type": "neg"}
FAIL: Json = {"type": "fail"}
EMPTY: Json = {"type": "empty"}
PENDING: Json = {"type": "pending"}
"""Never on the wire: whoever asks gets silence until it is something else."""


def leaf(bound_id: str, residual: str = "/") -> Json:
    """A bound name in a tree; its address is looked up by id when the tree is sent."""
    return {"type": "leaf", "bound": {"id": bound_id, "path": residual}}


def union(*branches: tuple[float, Json]) -> Json:
    return {"type": "union", "union": [{"weight": weight, "tree": tree} for weight, tree in branches]}


def bound(*addresses: str | tuple[str, float], **meta: Any) -> Json:
    """An address set of `ip:port` or (`ip:port`, weight)."""
    return {"type": "bound", "addrs": [_address(each) for each in addresses], "meta": meta}


def failed(cause: str) -> Json:
    return {"type": "failed", "cause": cause}


def _address(each: str | tuple[str, float]) -> Json:
    where, meta = (each, {}) if isinstance(each, str) else (each[0], {"endpoint_addr_weight": each[1]})
    ip, _, port = where.rpartition(":")
    return {"ip": ip, "port": int(port), "meta": meta}


def leaves(tree: Mapping[str, Any]) -> Iterator[Json]:
    """The `bound` of every leaf, from left to right."""
    if tree["type"] == "leaf":
        yield tree["bound"]
    for branch in tree.get("union", ()):
        yield from leaves(branch["tree"])
    for each in tree.get("alt", ()):
        yield from leaves(each)


def chosen_id(tree: Mapping[str, Any]) -> str | None:
    """As namerd flattens for `resolve`: a branch of a union at random by weight, the first of an alt that has one."""
    match tree["type"]:
        case "leaf":
            return str(tree["bound"]["id"])
        case "union":
            weights = [branch["weight"] for branch in tree["union"]]
            equal = [1.0] * len(weights)
            [branch] = random.choices(tree["union"], weights if any(weights) else equal)
            return chosen_id(branch["tree"])
        case "alt":
            return next((found for each in tree["alt"] if (found := chosen_id(each)) is not None), None)
        case _:
            return None


class State:
    """Plain data, as JSON can carry it; a namespace that is not there is an empty dtab: all its names are neg."""

    def __init__(self) -> None:
        self.binds: dict[str, dict[str, Json]] = {}
        self.addrs: dict[str, Json] = {}
        self.delegates: dict[str, dict[str, Json]] = {}
        self.dtabs: dict[str, str] = {}

    def to_json(self) -> Json:
        return dict(vars(self))

    def replace(self, state: Mapping[str, Any]) -> None:
        """All of it; what is not in `state` is nothing."""
        for name in vars(self):
            setattr(self, name, dict(state.get(name, {})))

    def tree(self, namespace: str, path: str) -> Json:
        return self.binds.get(namespace, {}).get(path, NEG)

    def addr(self, bound_id: str) -> Json:
        return self.addrs.get(_without_transformers(bound_id), NEG)

    def bind_document(self, namespace: str, path: str) -> Json | None:
        """The tree with its addresses of this moment; None while it or one of them is pending."""
        tree = self.tree(namespace, path)
        return None if tree == PENDING else self._filled(tree)

    def delegate_document(self, namespace: str, path: str) -> Json | None:
        """What the test gave, or a single step."""
        given = self.delegates.get(namespace, {}).get(path)
        document = given or self.bind_document(namespace, path)
        return document if given or document is None else {"type": document["type"], "path": path, **document}

    def _filled(self, tree: Json) -> Json | None:
        filled = json.loads(json.dumps(tree))
        for name in leaves(filled):
            addr = self.addr(name["id"])
            if addr == PENDING:
                return None
            # namerd's order of keys.
            bound_id, residual = name.pop("id"), name.pop("path")
            name |= {"addr": addr, "id": bound_id, "path": residual}
        return filled


def _without_transformers(bound_id: str) -> str:
    elements = bound_id.split("/")[1:]
    if elements[:1] == ["%"]:
        while elements and elements[0] not in ("#", "$"):
            elements.pop(0)
    return "/" + "/".join(elements)

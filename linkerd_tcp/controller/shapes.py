"""namerd's JSON in small pieces, without blanks, each document with a newline at its end."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from linkerd_tcp.naming.addr import Addr, Bound
from linkerd_tcp.naming.delegation import DelegateTree
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import Leaf, NameTree, Union
from linkerd_tcp.naming.shapes import addr_json, address_json, binding_json, to_json

_encoder: Final = json.JSONEncoder(separators=(",", ":"), default=str, allow_nan=False)


def dumps(value: Any) -> str:
    """JSON. Metadata may hold numbers that JSON has no words for: those are texts here."""
    try:
        return _encoder.encode(value)
    except ValueError:
        return _encoder.encode(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value


def strings(values: Iterable[str]) -> Iterator[str]:
    yield "["
    for number, value in enumerate(values):
        yield ("," if number else "") + dumps(value)
    yield "]\n"


def addr_pieces(addr: Addr) -> Iterator[str]:
    yield from _addr(addr)
    yield "\n"


def _addr(addr: Addr) -> Iterator[str]:
    if not isinstance(addr, Bound):
        yield dumps(addr_json(addr))
        return
    yield '{"type":"bound","addrs":['
    for number, address in enumerate(addr.addresses):
        yield ("," if number else "") + dumps(address_json(address))
    yield f'],"meta":{dumps(dict(addr.meta))}}}'


def binding_pieces(tree: NameTree[BoundName]) -> Iterator[str]:
    yield from _tree(tree)
    yield "\n"


def _tree(tree: NameTree[BoundName]) -> Iterator[str]:
    match tree:
        case Leaf():
            yield '{"type":"leaf","bound":{"addr":'
            yield from _addr(tree.value.addr.value)
            yield f',"id":{dumps(str(tree.value.id))},"path":{dumps(str(tree.value.residual))}}}}}'
        case Union():
            yield '{"type":"union","union":['
            for number, each in enumerate(tree.branches):
                yield f'{"," if number else ""}{{"weight":{dumps(each.weight)},"tree":'
                yield from _tree(each.tree)
                yield "}"
            yield "]}"
        case _:
            yield dumps(binding_json(tree))


def delegation_pieces(tree: DelegateTree) -> Iterable[str]:
    """Without a newline, as namerd has it."""
    shape = to_json(tree)
    return json.JSONEncoder(separators=(",", ":"), default=str).iterencode(shape)

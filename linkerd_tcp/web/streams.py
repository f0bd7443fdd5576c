"""Long answers in small pieces: the loop turns between them, and a slow reader costs one block of memory."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from flask import Response, request

from linkerd_tcp.net.turns import Turns

BLOCK_BYTES: Final = 32 * 1024
JSON_TYPE: Final = "application/json"

_encoder: Final = json.JSONEncoder(default=str)
dumps: Final = _encoder.encode
"""For what is small: a few hundred values."""

dump_pieces: Final = _encoder.iterencode
"""For what may be large."""


def stream(pieces: Iterable[str | bytes], content_type: str = JSON_TYPE) -> Response:
    """An answer written as it is made. `pieces` are small, and no longer touch the request."""
    response = Response(_blocks(pieces), content_type=content_type)
    if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        # It has no chunks: only the end of the connection says that the answer is whole.
        response.headers["Connection"] = "close"
    return response


def _blocks(pieces: Iterable[str | bytes]) -> Iterator[bytes]:
    turns = Turns()
    block = bytearray()
    for piece in pieces:
        # Names come from files and strangers, and may hold what UTF-8 cannot.
        block += piece.encode("utf-8", "backslashreplace") if isinstance(piece, str) else piece
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
        turns.rest()
    if block:
        yield bytes(block)


def array(items: Iterable[Iterable[str]]) -> Iterator[str]:
    """A JSON array of values that come as pieces of JSON each."""
    yield "["
    for number, item in enumerate(items):
        if number:
            yield ", "
        yield from item
    yield "]"


def rows(values: Iterable[Any]) -> Iterator[str]:
    """A JSON array of small values."""
    return array((dumps(value),) for value in values)

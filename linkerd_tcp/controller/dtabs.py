"""A dtab as the body of a request or an answer: `application/json`, or its text as `application/dtab`, `text/plain`."""

import json
from collections.abc import Iterator
from typing import Any, Final

from linkerd_tcp.errors import DtabError, LinkerdTcpError
from linkerd_tcp.naming.dtab import Dentry, Dtab, Prefix
from linkerd_tcp.naming.nametree import show
from linkerd_tcp.naming.parser import read_tree
from linkerd_tcp.net.turns import Turns

JSON: Final = "application/json"
MEDIA_TYPES: Final = (JSON, "application/dtab", "text/plain")
MAX_BODY_BYTES: Final = 1024 * 1024
MAX_ENTRIES: Final = 10_000
"""Of a dtab that comes by a request: looking up the first path in it takes a microsecond for each."""

SPOT_CHARS: Final = 60
"""Of a long text, what is shown on either side of an error."""


class BadDtab(LinkerdTcpError, ValueError):
    """What came is no dtab; the text says why."""


def accepted(header: str | None) -> str:
    """The media type to answer an `Accept` header with: the first one listed that there is, JSON if there is none."""
    for each in (header or "").split(","):
        media_type = media_type_of(each)
        if media_type is not None:
            return media_type
    return JSON


def media_type_of(content_type: str | None) -> str | None:
    """Which of MEDIA_TYPES a `Content-Type` names, its parameters aside; None if none."""
    name = (content_type or "").partition(";")[0].strip().lower()
    return name if name in MEDIA_TYPES else None


def read_body(media_type: str, body: bytes) -> Dtab:
    """The dtab that a body of this type spells; BadDtab. To be called in a greenlet: it gives way to others."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadDtab(f"Invalid dtab: byte {error.start} is not UTF-8") from None
    return _read_json(text) if media_type == JSON else read_text(text)


def read_text(text: str) -> Dtab:
    """As `read_body`, for text."""
    try:
        return _collected(Dtab.entries(text))
    except DtabError as error:
        raise BadDtab(f"Invalid dtab: {marked(error)}") from None


def _read_json(text: str) -> Dtab:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDtab(f"Invalid dtab: the body is no JSON: {error}") from None
    if not isinstance(items, list):
        raise BadDtab('Invalid dtab: expected a JSON array of {"prefix": ..., "dst": ...}')
    return _collected(_entry(item, number) for number, item in enumerate(items))


def _collected(entries: Iterator[Dentry]) -> Dtab:
    turns = Turns()
    collected: list[Dentry] = []
    for entry in entries:
        collected.append(entry)
        if len(collected) > MAX_ENTRIES:
            raise BadDtab(f"Invalid dtab: more than {MAX_ENTRIES} entries")
        turns.rest()
    return Dtab(collected)


def _entry(item: Any, number: int) -> Dentry:
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ("prefix", "dst")):
        raise BadDtab(f'Invalid dtab: entry {number} is not {{"prefix": "/svc", "dst": "/#/io.l5d.fs"}}')
    try:
        return Dentry(Prefix.read(item["prefix"]), read_tree(item["dst"]))
    except DtabError as error:
        raise BadDtab(f"Invalid dtab: entry {number}: {marked(error)}") from None


def marked(error: DtabError) -> str:
    """What was expected and where; of a long text only what is around the spot."""
    start, end = max(error.offset - SPOT_CHARS, 0), error.offset + SPOT_CHARS
    before, found, after = (
        error.text[start : error.offset],
        error.text[error.offset : error.offset + 1],
        error.text[error.offset + 1 : end],
    )
    spot = f"{'...' if start else ''}{before}[{found}]{after}{'...' if end < len(error.text) else ''}"
    return f"{error.expected} expected at '{spot}'"


def pieces(dtab: Dtab, media_type: str) -> Iterator[str]:
    """`dtab` as a body, a newline at its end."""
    if media_type == JSON:
        yield "["
        for number, entry in enumerate(dtab):
            comma = "," if number else ""
            yield f'{comma}{{"prefix":{json.dumps(str(entry.prefix))},"dst":{json.dumps(show(entry.dst))}}}'
        yield "]\n"
        return
    for number, entry in enumerate(dtab):
        yield f"{';' if number else ''}{entry}"
    yield "\n"

"""/delegator.json: how a path is resolved, with more dtab entries or other ones if given; namerd's shapes."""

from contextlib import closing
from typing import Any, Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.errors import DtabError
from linkerd_tcp.interpreters.asked import settled
from linkerd_tcp.naming.delegate import DelegateTree, to_json
from linkerd_tcp.naming.dtab import Dentry, Dtab
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.router import Router
from linkerd_tcp.web.inputs import body_fields, refuse
from linkerd_tcp.web.streams import JSON_TYPE, dump_pieces, dumps, stream

MAX_BODY_BYTES: Final = 1024 * 1024
PENDING_SECS: Final = 2.0
MAX_PATH_CHARS: Final = 8192
MAX_ENTRIES: Final = 5_000
"""Looking up the first path in a new dtab takes a microsecond for each of its entries."""

OK: Final = 200
_TRUE: Final = frozenset({"1", "t", "true", "yes", "on"})

SPOT_CHARS: Final = 60
"""Of a long text, what is shown on either side of an error."""


def blueprint(app: Controls) -> Blueprint:
    routes = Blueprint("delegator", __name__)

    @routes.get("/delegator.json")
    def get() -> Response:
        return _answer(app, request.args.to_dict())

    @routes.post("/delegator.json")
    def post() -> Response:
        return _answer(app, body_fields())

    return routes


def _answer(app: Controls, fields: dict[str, Any]) -> Response:
    status, shape = _delegation(app, fields)
    return stream(dump_pieces(shape)) if status == OK else _small(shape, status)


def _small(shape: dict[str, Any], status: int) -> Response:
    return Response(dumps(shape) + "\n", status=status, content_type=JSON_TYPE)


def delegation(app: Controls, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The status and shape that /delegator.json answers to these fields."""
    try:
        return _delegation(app, fields)
    except HTTPException as error:
        return error.code or 500, {"error": str(error.description)}


def _delegation(app: Controls, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    router = _router(app, fields)
    try:
        path, dtab = _path(fields), _dtab(fields)
    except _Unparsed as wrong:
        return 400, wrong.shape()
    tree = _delegate(router, path, dtab, is_true(fields, "replace"))
    if tree.is_pending and not is_true(fields, "pending"):
        refuse(f"{path} is still pending after {PENDING_SECS:g} s; /namers.json says what its namer waits for", 503)
    return OK, to_json(tree)


def is_true(fields: dict[str, Any], key: str) -> bool:
    """Whether a field says yes: JSON's `true`, or `1`, `true` and so on in a query or a form."""
    value = fields.get(key)
    return value is True or (isinstance(value, str) and value.lower() in _TRUE)


def _router(app: Controls, fields: dict[str, Any]) -> Router:
    """That of `router`, or `namespace` in namerd's words; the only one needs no name."""
    label = fields.get("router") or fields.get("namespace")
    routers = app.routers
    if not label and len(routers) == 1:
        return next(iter(routers.values()))
    if not label:
        refuse(f"'router' is missing; there are {', '.join(routers)}")
    if not isinstance(label, str) or label not in routers:
        refuse(f"no router {label!r}; there are {', '.join(routers)}", 404)
    return routers[label]


class _Unparsed(Exception):
    def __init__(self, key: str, error: DtabError) -> None:
        super().__init__(key)
        self.key, self.error = key, error

    def shape(self) -> dict[str, Any]:
        """With the spot marked and as a number; of a long text only what is around it."""
        error = self.error
        start, end = max(error.offset - SPOT_CHARS, 0), error.offset + SPOT_CHARS
        before, after = error.text[start : error.offset], error.text[error.offset + 1 : end]
        marked = f"{'...' if start else ''}{before}[{error.text[error.offset : error.offset + 1]}]{after}"
        return {
            "error": f"{self.key}: {error.expected} expected at '{marked}{'...' if end < len(error.text) else ''}'",
            "field": self.key,
            "expected": error.expected,
            "offset": error.offset,
        }


def _text(fields: dict[str, Any], key: str, most_chars: int) -> str:
    text = fields.get(key) or ""
    if not isinstance(text, str):
        refuse(f"{key!r} is no text")
    if len(text) > most_chars:
        refuse(f"{key!r} is longer than {most_chars} characters")
    return text


def _path(fields: dict[str, Any]) -> Path:
    text = _text(fields, "path", MAX_PATH_CHARS)
    if not text:
        refuse("'path' is missing; expected a path as /svc/web")
    try:
        return Path.read(text)
    except DtabError as error:
        raise _Unparsed("path", error) from None


def _dtab(fields: dict[str, Any]) -> Dtab:
    """The entries of `dtab`, read in turns: a long text takes half a second."""
    turns = Turns()
    entries: list[Dentry] = []
    try:
        for entry in Dtab.entries(_text(fields, "dtab", MAX_BODY_BYTES)):
            entries.append(entry)
            turns.rest()
            if len(entries) > MAX_ENTRIES:
                refuse(f"'dtab' has more than {MAX_ENTRIES} entries")
    except DtabError as error:
        raise _Unparsed("dtab", error) from None
    return Dtab(entries)


def _delegate(router: Router, path: Path, dtab: Dtab, replaces: bool) -> DelegateTree:
    """The delegation once nothing in it is pending, or as it is after PENDING_SECS. Nothing stays watched after it."""
    if not replaces:
        return settled(router.interpreter.delegation(path, dtab or None), PENDING_SECS)
    if not hasattr(router.interpreter, "instead"):
        refuse(
            f"the dtab of {router.label!r} is not here ({router.interpreter.kind} has it) and cannot be replaced; "
            "without 'replace' the entries come behind it"
        )
    with closing(router.interpreter.instead(dtab)) as interpreter:
        return settled(interpreter.delegation(path), PENDING_SECS)

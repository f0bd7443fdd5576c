"""/delegator.json: how a path is resolved, with more dtab entries if given; namerd's shapes."""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final, TypeVar

import gevent
from flask import Blueprint, Response, request
from gevent.hub import get_hub

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.inputs import body_fields, refuse
from linkerd_tcp.admin.streams import JSON_TYPE, dump_pieces, dumps, stream
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.delegate import DelegateTree, to_json
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.path import Path
from linkerd_tcp.router import Router

MAX_BODY_BYTES: Final = 1024 * 1024
PENDING_SECS: Final = 2.0
POLL_SECS: Final = 0.01
LONG_TEXT_CHARS: Final = 4096
"""Longer texts are parsed in a native thread: half a second of it would hold up every connection."""

SPOT_CHARS: Final = 60
"""Of a long text, what is shown on either side of an error."""

T = TypeVar("T")


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
    router = _router(app, fields)
    try:
        path = _parsed(Path.read, fields, "path")
        if path is None:
            refuse("'path' is missing; expected a path as /svc/web")
        extra = _parsed(Dtab.read, fields, "dtab")
    except _Unparsed as wrong:
        return wrong.response()
    tree = _delegate(router, path, extra)
    if tree is None:
        refuse(f"{path} is still pending after {PENDING_SECS:g} s; /namers.json says what its namer waits for", 503)
    return stream(dump_pieces(to_json(tree)))


def _router(app: Controls, fields: dict[str, Any]) -> Router:
    """That of `router`, or `namespace` in namerd's words; the only one needs no name."""
    label = fields.get("router") or fields.get("namespace")
    routers = app.routers
    if label is None and len(routers) == 1:
        return next(iter(routers.values()))
    if label is None:
        refuse(f"'router' is missing; there are {', '.join(routers)}")
    if label not in routers:
        refuse(f"no router {label!r}; there are {', '.join(routers)}", 404)
    return routers[label]


class _Unparsed(Exception):
    def __init__(self, key: str, error: DtabError) -> None:
        super().__init__(key)
        self.key, self.error = key, error

    def response(self) -> Response:
        """400, with the spot marked and as a number; of a long text only what is around it."""
        error = self.error
        start, end = max(error.offset - SPOT_CHARS, 0), error.offset + SPOT_CHARS
        before, after = error.text[start : error.offset], error.text[error.offset + 1 : end]
        marked = f"{'...' if start else ''}{before}[{error.text[error.offset : error.offset + 1]}]{after}"
        shape = {
            "error": f"{self.key}: {error.expected} expected at '{marked}{'...' if end < len(error.text) else ''}'",
            "field": self.key,
            "expected": error.expected,
            "offset": error.offset,
        }
        return Response(dumps(shape) + "\n", status=400, content_type=JSON_TYPE)


def _parsed(read: Callable[[str], T], fields: dict[str, Any], key: str) -> T | None:
    text = fields.get(key)
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        refuse(f"{key!r} is no text")
    if len(text) <= LONG_TEXT_CHARS:
        result = _attempt(read, text)
    else:
        # The error comes as a value: the pool would print the traceback of a raised one.
        result = get_hub().threadpool.apply(_attempt, (read, text))
    if isinstance(result, DtabError):
        raise _Unparsed(key, result)
    return result


def _attempt(read: Callable[[str], T], text: str) -> T | DtabError:
    try:
        return read(text)
    except DtabError as error:
        return error


def _delegate(router: Router, path: Path, extra: Dtab | None) -> DelegateTree | None:
    """The delegation once nothing in it is pending; None if that is not soon. Nothing stays watched after it."""
    watch = router.interpreter.delegation(path, extra)
    until = monotonic() + PENDING_SECS
    try:
        while watch.value.is_pending:
            if monotonic() >= until:
                return None
            gevent.sleep(POLL_SECS)
        return watch.value
    finally:
        watch.close()

"""/delegate: how a path is resolved, every step of it."""

import json
from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, Response, request

from linkerd_tcp.controller.answers import settle, words
from linkerd_tcp.controller.control import Control
from linkerd_tcp.controller.dtab_routes import ANY
from linkerd_tcp.controller.inputs import checked, dtab_param, param, path_param, read_dtab, read_path
from linkerd_tcp.controller.shapes import delegation_pieces
from linkerd_tcp.controller.storage import StoreError
from linkerd_tcp.interpreters.asked import settled
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.path import Path
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import stream

PENDING_SECS: Final = 2.0
SHOWN_CHARS: Final = 200


def add_delegations(routes: Blueprint, control: Callable[[], Control]) -> None:
    @routes.route("/delegate/<path:ns>", methods=ANY)
    def of_namespace(ns: str) -> Response:
        return _delegation(control(), checked(ns), path_param(), dtab_param())

    @routes.route("/delegate", methods=ANY)
    def of_namers() -> Response:
        if request.method in ("GET", "HEAD"):
            return _delegation(control(), _namespace(param("namespace")), path_param(), dtab_param())
        if request.method != "POST":
            answer = words("a delegation is asked for with GET or POST", 405)
            answer.headers["Allow"] = "GET, HEAD, POST"
            return answer
        if request.mimetype != "application/json":
            return words(
                'expected Content-Type: application/json and {"path": ..., "dtab": ..., "namespace": ...}', 415
            )
        fields = _fields(request.get_data())
        ns, path, dtab = (fields.get(key) for key in ("namespace", "path", "dtab"))
        return _delegation(control(), _namespace(ns), read_path(path), read_dtab(dtab))


def _namespace(ns: str | None) -> str | None:
    return None if ns is None else checked(ns)


def _fields(body: bytes) -> dict[str, str | None]:
    try:
        fields: Any = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    keys = ("namespace", "path", "dtab")
    if not isinstance(fields, dict) or not all(isinstance(fields.get(key), str | None) for key in keys):
        shown = body[:SHOWN_CHARS].decode("utf-8", "backslashreplace")
        refuse(f"Malformed delegation request: {shown}")
    return fields


def _delegation(control: Control, ns: str | None, path: Path, extra: Dtab | None) -> Response:
    settle(control, ns)
    try:
        held = control.namespaces.hold(ns)
    except StoreError as error:
        return words(str(error), 500)
    try:
        namespace = held.value
        if namespace.broken is not None:
            return words(namespace.broken, 500)
        tree = settled(namespace.interpreter.delegation(path, extra), PENDING_SECS)
    finally:
        held.close()
    if tree.is_pending:
        refuse(f"Request timed out: {path} is still pending after {PENDING_SECS:g} s", 503)
    return stream(delegation_pieces(tree))

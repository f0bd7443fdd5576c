"""/dtabs: the namespaces, and each one's dtab, read and written."""

import base64
import binascii
import logging
from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, request

from linkerd_tcp.controller import dtabs, kinds, shapes
from linkerd_tcp.controller.answers import done, refused, without_end, words
from linkerd_tcp.controller.control import Control
from linkerd_tcp.controller.inputs import checked, watches
from linkerd_tcp.controller.storage import Broken, Exists, Store, StoreError, Versioned
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import stream

_log: Final = logging.getLogger(__name__)

ANY: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def add_dtabs(routes: Blueprint, control: Callable[[], Control]) -> None:
    @routes.route("/dtabs", methods=ANY)
    @routes.route("/dtabs/", methods=ANY)
    def namespaces() -> Response:
        if watches():
            return without_end(control(), ("namespaces",), kinds.namespace_list)
        watch = control().store.namespaces()
        try:
            return stream(shapes.strings(watch.value))
        finally:
            watch.close()

    @routes.route("/dtabs/<path:ns>", methods=ANY)
    def dtab(ns: str) -> Response:
        answer = _BY_METHOD.get(request.method)
        if answer is None:
            return words("a dtab is read with GET and HEAD, written with POST, PUT and DELETE", 404)
        try:
            return answer(control(), checked(ns))
        except StoreError as error:
            return refused(error)


def _get(control: Control, ns: str) -> Response:
    media_type = dtabs.accepted(request.headers.get("Accept"))
    if watches():
        key = ("dtab", ns, media_type)
        return without_end(control, key, lambda its: kinds.dtab(its, ns, media_type), media_type)
    state = control.store.get(ns)
    if state is None:
        return words(f"there is no namespace {ns!r}", 404)
    if isinstance(state, Broken):
        return words(state.cause, 500)
    answer = stream(dtabs.pieces(state.dtab, media_type), media_type)
    answer.headers["ETag"] = base64.b64encode(state.version).decode()
    return answer


def _post(control: Control, ns: str) -> Response:
    dtab = _body()
    control.store.create(ns, dtab)
    _say(ns, "created", dtab)
    return done()


def _put(control: Control, ns: str) -> Response:
    dtab = _body()
    if request.headers.get("If-None-Match", "").strip() == "*":
        try:
            control.store.create(ns, dtab)
        except Exists as error:
            return words(str(error), 412)
    else:
        control.store.put(ns, dtab, _version(control.store, ns))
    _say(ns, "put", dtab)
    return done()


def _delete(control: Control, ns: str) -> Response:
    if "If-Match" in request.headers:
        refuse("If-Match is not looked at by DELETE: PUT an empty dtab with If-Match first, or leave it out")
    control.store.delete(ns)
    _say(ns, "deleted", None)
    return done()


def _say(ns: str, what: str, dtab: Dtab | None) -> None:
    """Who moved everybody's traffic, and when."""
    entries = "" if dtab is None else f", {len(dtab)} {'entry' if len(dtab) == 1 else 'entries'}"
    _log.info("dtab %s %s by %s%s", ns, what, request.remote_addr, entries)


_BY_METHOD: Final[dict[str, Callable[[Control, str], Response]]] = {
    "GET": _get,
    "HEAD": _get,
    "POST": _post,
    "PUT": _put,
    "DELETE": _delete,
}


def _body() -> Dtab:
    content_type = request.headers.get("Content-Type", "")
    media_type = dtabs.media_type_of(content_type)
    if media_type is None:
        refuse(f'Invalid Content-Type "{content_type[:200]}": expected {", ".join(dtabs.MEDIA_TYPES)}')
    try:
        return dtabs.read_body(media_type, request.get_data())
    except dtabs.BadDtab as error:
        refuse(str(error))


def _version(store: Store, ns: str) -> bytes | None:
    """What `If-Match` says: the version that must be there, None if any may. Of several, that of the moment."""
    header = request.headers.get("If-Match")
    if header is None:
        return None
    state = store.get(ns)
    current = state.version if isinstance(state, Versioned) else b""
    versions = [_decoded(tag.strip(), current) for tag in header.split(",")]
    return current if current in versions else versions[0]


def _decoded(tag: str, current: bytes) -> bytes:
    """A tag as we send it, or in quotes as HTTP has it; what is no version at all matches none."""
    if tag == "*":
        return current
    tag = tag.removeprefix("W/")
    tag = tag[1:-1] if len(tag) > 1 and tag[0] == tag[-1] == '"' else tag
    try:
        return base64.b64decode(tag, validate=True)
    except (ValueError, binascii.Error):
        return b"?"

"""Answers of namerd's API, and its errors as plain words."""

from typing import Final

from flask import Response, request
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound

from linkerd_tcp.controller.control import ANSWER_SECS, Control, Make
from linkerd_tcp.controller.storage import (
    BadName,
    Exists,
    Forbidden,
    Full,
    Mismatch,
    Missing,
    StoreError,
    TooLarge,
)
from linkerd_tcp.controller.topic import Failure
from linkerd_tcp.web.following import Follower, TooManyFollowers
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import JSON_TYPE, stream

TEXT: Final = "text/plain; charset=utf-8"
BLOCK_BYTES: Final = 32 * 1024
NOTHING_THERE: Final = "there is no such path: below /api/1 are dtabs, bind, addr, resolve, delegate and bound-names"

STATUS: Final[tuple[tuple[type[StoreError], int], ...]] = (
    (BadName, 400),
    (Missing, 404),
    (Exists, 409),
    (Mismatch, 412),
    (TooLarge, 413),
    (Forbidden, 403),
    (Full, 507),
    (StoreError, 500),
)
"""What a store's refusals are in HTTP; the first that fits."""


def refused(error: StoreError) -> Response:
    """What the store says, to the client."""
    return words(str(error), next(status for kind, status in STATUS if isinstance(error, kind)))


def words(text: str, status: int) -> Response:
    return Response(f"{text}\n".encode("utf-8", "backslashreplace"), status=status, content_type=TEXT)


def done() -> Response:
    """204: there is nothing to say, and so no type of it."""
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    return answer


def in_words(error: HTTPException) -> Response:
    """As a Flask error handler."""
    if isinstance(error, InternalServerError):
        return words("This request failed here; the log has the details.", 500)
    if isinstance(error, NotFound) and error.description == NotFound.description:
        return words(NOTHING_THERE, 404)
    answer = words(str(error.description), error.code or 500)
    allowed = error.get_response().headers.get("Allow")
    if allowed:
        answer.headers["Allow"] = allowed
    return answer


def settle(control: Control, ns: str | None) -> None:
    """Wait until what is bound in `ns` goes by its dtab as it was last written; 503 if that takes too long."""
    if ns is not None and not control.settle(ns):
        refuse(f"the dtab of {ns!r} was changed and is not applied yet; ask again", 503)


def once(control: Control, key: tuple[object, ...], make: Make) -> Response:
    """The document of `key`, when it is known."""
    document = control.ask(key, make)
    if document is None:
        refuse(f"still not known after {ANSWER_SECS:g} s; /namers.json of admin says what is waited for", 503)
    if isinstance(document, Failure):
        return words(document.words, 500)
    if len(document) <= BLOCK_BYTES:
        return Response(document, content_type=JSON_TYPE)
    return stream(document[at : at + BLOCK_BYTES] for at in range(0, len(document), BLOCK_BYTES))


def without_end(control: Control, key: tuple[object, ...], make: Make, content_type: str = JSON_TYPE) -> Response:
    """Every document of `key`, as they come."""
    headers = {"Connection": "close"}
    if request.method == "HEAD":
        return Response(content_type=content_type, headers=headers)
    try:
        follower = Follower(request.environ)
    except TooManyFollowers:
        refuse("as many watches are open as this server takes; ask again later, or without watch", 503)
    return Response(control.follow(key, make, follower), content_type=content_type, headers=headers)

"""A Flask app as ours are: every path behind the guard, every error in words, every answer with careful headers."""

import logging
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.exceptions import Forbidden, HTTPException, InternalServerError, MethodNotAllowed, NotFound

from linkerd_tcp.web.guard import NO_TOKEN, TOKEN_FIELD, TOKEN_HEADER, Guard
from linkerd_tcp.web.inputs import body_fields
from linkerd_tcp.web.streams import JSON_TYPE, dumps

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    # Of what browsers know today; copying a text is what pages do.
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), "
        "microphone=(), midi=(), payment=(), usb=(), serial=(), hid=()"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

REVALIDATE: Final = "no-cache"
"""Of static files: kept, and asked about again each time, with the mark that they came with (ETag)."""

_log = logging.getLogger(__name__)


class Refused(Forbidden):
    """By the guard: nothing of ours is shown."""


class GuardedApp(Flask):
    """Flask behind `guard`; at most `max_body_bytes` of a body are read, unless a path says more."""

    def __init__(self, name: str, guard: Guard, max_body_bytes: int, **options: Any) -> None:
        super().__init__(name, **options)
        self._guard = guard
        self.config["MAX_CONTENT_LENGTH"] = max_body_bytes
        # A redirect would lead to whatever name the request came by.
        self.url_map.merge_slashes = False
        self.before_request(self._check)
        self.after_request(_add_headers)
        self.register_error_handler(HTTPException, self._error)

    def log_exception(self, exc_info: Any) -> None:
        _log.error("%s %s failed; please report this", request.method, request.path, exc_info=exc_info)

    def _check(self) -> None:
        why_not = self._guard.refusal(request.environ)
        if why_not is not None:
            raise Refused(why_not)
        if self._guard.needs_token(request.environ) and not self._guard.is_token(_token()):
            raise Refused(NO_TOKEN)

    def error_page(self, error: HTTPException, words: str) -> Response | None:
        """How this app shows an error to people; None: as plain text."""
        return None

    def _error(self, error: HTTPException) -> Response:
        """In words; as JSON, but for who asks for a page."""
        words = _words(error)
        response = None
        if "text/html" not in request.headers.get("Accept", "") or request.path.endswith(".json"):
            response = _plain(dumps({"error": words}), JSON_TYPE)
        elif not isinstance(error, Refused):
            response = self.error_page(error, words)
        if response is None:
            response = _plain(words, "text/plain; charset=utf-8")
        response.status_code = error.code or InternalServerError.code
        allowed = error.get_response().headers.get("Allow")
        if allowed:
            response.headers["Allow"] = allowed
        return response


def _words(error: HTTPException) -> str:
    if isinstance(error, InternalServerError):
        return "This request failed here; the log has the details."
    if error.description == NotFound.description:
        return f"There is nothing at {request.path[:200]!r} here."
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return f"{request.method[:20]} is not allowed at {request.path[:200]!r}: it takes {allowed}."
    return str(error.description)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    if request.endpoint == "static" and response.status_code in (200, 304):
        response.headers["Cache-Control"] = REVALIDATE
    return response


def _plain(text: str, content_type: str) -> Response:
    return Response(f"{text}\n".encode("utf-8", "backslashreplace"), content_type=content_type)


def _token() -> str | None:
    """The token sent as header or, by a form, as field."""
    token = request.headers.get(TOKEN_HEADER)
    if token is None and request.mimetype == "application/x-www-form-urlencoded":
        token = body_fields().get(TOKEN_FIELD)
    return token if isinstance(token, str) else None

"""A Flask app as ours are: every path behind the guard, every error in words, every answer with careful headers."""

import logging
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from linkerd_tcp.web.guard import NO_TOKEN, TOKEN_FIELD, TOKEN_HEADER, Guard
from linkerd_tcp.web.inputs import body_fields, refuse
from linkerd_tcp.web.streams import JSON_TYPE, dumps

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_log = logging.getLogger(__name__)


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
        self.register_error_handler(HTTPException, _error)

    def log_exception(self, exc_info: Any) -> None:
        _log.error("%s %s failed; please report this", request.method, request.path, exc_info=exc_info)

    def _check(self) -> None:
        why_not = self._guard.refusal(request.environ)
        if why_not is not None:
            refuse(why_not, 403)
        if self._guard.needs_token(request.environ) and not self._guard.is_token(_token()):
            refuse(NO_TOKEN, 403)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response


def _token() -> str | None:
    """The token sent as header or, by a form, as field."""
    token = request.headers.get(TOKEN_HEADER)
    if token is None and request.mimetype == "application/x-www-form-urlencoded":
        token = body_fields().get(TOKEN_FIELD)
    return token if isinstance(token, str) else None


def _error(error: HTTPException) -> Response:
    """In words; as JSON, but for who asks for a page."""
    words = str(error.description)
    if isinstance(error, InternalServerError):
        words = "This request failed here; the log has the details."
    as_page = "text/html" in request.headers.get("Accept", "") and not request.path.endswith(".json")
    body = f"{words}\n" if as_page else dumps({"error": words}) + "\n"
    response = Response(
        body.encode("utf-8", "backslashreplace"),
        status=error.code,
        content_type="text/plain; charset=utf-8" if as_page else JSON_TYPE,
    )
    allowed = error.get_response().headers.get("Allow")
    if allowed:
        response.headers["Allow"] = allowed
    return response

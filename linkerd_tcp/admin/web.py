"""The Flask app: every path behind the guard, every error in words, every answer with a careful server's headers."""

import logging
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from linkerd_tcp.admin import actions, delegator, reads
from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.guard import NO_TOKEN, TOKEN_FIELD, TOKEN_HEADER, Guard
from linkerd_tcp.admin.inputs import body_fields, refuse
from linkerd_tcp.admin.streams import JSON_TYPE, dumps

MAX_BODY_BYTES: Final = 64 * 1024

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


class _Web(Flask):
    def log_exception(self, exc_info: Any) -> None:
        _log.error("%s %s failed; please report this", request.method, request.path, exc_info=exc_info)


def create(app: Controls, guard: Guard) -> Flask:
    """The WSGI application over `app`."""
    web = _Web("linkerd_tcp.admin")
    web.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    # A redirect would lead to whatever name the request came by.
    web.url_map.merge_slashes = False
    # Compiled here: at the first request it would hold up the loop for some milliseconds.
    web.jinja_env.get_template("overview.html")

    @web.before_request
    def check() -> None:
        why_not = guard.refusal(request.environ)
        if why_not is not None:
            refuse(why_not, 403)
        if request.path == "/delegator.json":
            request.max_content_length = delegator.MAX_BODY_BYTES
        if guard.needs_token(request.environ) and not guard.is_token(_token()):
            refuse(NO_TOKEN, 403)

    @web.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    web.register_error_handler(HTTPException, _error)
    web.register_blueprint(reads.blueprint(app, guard))
    web.register_blueprint(delegator.blueprint(app))
    web.register_blueprint(actions.blueprint(app))
    return web


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

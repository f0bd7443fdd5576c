"""namerd's HTTP API (linkerd 1's `io.l5d.httpController`), below any prefix. docs/namerd-api.md says what differs."""

from collections.abc import Callable
from typing import Final

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from linkerd_tcp.controller.answers import NOTHING_THERE, in_words
from linkerd_tcp.controller.control import Control
from linkerd_tcp.controller.delegations import add_delegations
from linkerd_tcp.controller.dtab_routes import ANY, add_dtabs
from linkerd_tcp.controller.dtabs import MAX_BODY_BYTES
from linkerd_tcp.controller.name_routes import add_names
from linkerd_tcp.web.app import GuardedApp
from linkerd_tcp.web.guard import SAFE_METHODS, Guard
from linkerd_tcp.web.inputs import refuse

PREFIX: Final = "/api/1"


def blueprint(
    find: Callable[[], Control | None], prefix: str = PREFIX, refuse_writes: Callable[[], str | None] = lambda: None
) -> Blueprint:
    """The API of the control plane that `find` finds at the moment. `refuse_writes` says why nothing may be changed."""
    routes = Blueprint("namerd", __name__, url_prefix=prefix)

    @routes.before_request
    def check() -> None:
        if find() is None:
            refuse("no control plane runs here: the configuration has no namerd section", 404)
        why_not = refuse_writes()
        if why_not is not None and "/dtabs/" in request.path and request.method not in SAFE_METHODS:
            refuse(why_not, 403)

    def control() -> Control:
        found = find()
        assert found is not None
        return found

    routes.register_error_handler(HTTPException, in_words)
    add_dtabs(routes, control)
    add_names(routes, control)
    add_delegations(routes, control)

    @routes.route("/<path:rest>", methods=ANY)
    def nothing(rest: str) -> Response:
        refuse(NOTHING_THERE, 404)

    return routes


def create(find: Callable[[], Control | None], guard: Guard) -> Flask:
    """The API as a WSGI application."""
    app = GuardedApp("linkerd_tcp.controller", guard, MAX_BODY_BYTES, static_folder=None)
    app.register_blueprint(blueprint(find))
    app.register_error_handler(HTTPException, in_words)
    return app

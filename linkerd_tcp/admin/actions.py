"""What can be done. Every path here is a POST, and refused (403) where `admin.readOnly` is set."""

import logging
import math
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from linkerd_tcp.admin.controls import Actions
from linkerd_tcp.errors import ConfigError, StartError
from linkerd_tcp.levels import MOST_SECS
from linkerd_tcp.web.inputs import body_fields, refuse, text_field
from linkerd_tcp.web.streams import JSON_TYPE, dumps

_log = logging.getLogger(__name__)


def blueprint(app: Actions) -> Blueprint:
    routes = Blueprint("actions", __name__)

    @routes.before_request
    def refuse_if_read_only() -> None:
        why_not = read_only(app)
        if why_not is not None:
            refuse(why_not, 403)

    _add_traffic(routes, app)
    _add_process(routes, app)
    return routes


def read_only(app: Actions) -> str | None:
    """Why nothing may be changed, where that is so."""
    if app.config.admin.read_only:
        return "admin.readOnly is set in the configuration: nothing can be changed from here"
    return None


def _add_traffic(routes: Blueprint, app: Actions) -> None:
    @routes.post("/connections/<id_>/close")
    def close_connection(id_: str) -> Response:
        if not app.end_connection(id_):
            refuse(f"no open connection has the id {id_!r}; /connections.json lists them", 404)
        return _done({"id": id_, "closing": True})

    @routes.post("/endpoints/drain")
    def drain() -> Response:
        return _drain(app, True)

    @routes.post("/endpoints/undrain")
    def undrain() -> Response:
        return _drain(app, False)

    @routes.post("/logging.json")
    def set_level() -> Response:
        fields = body_fields()
        logger, level = text_field(fields, "logger"), text_field(fields, "level")
        for_secs, by = _for_secs(fields), request.remote_addr or ""
        try:
            app.logs.set_level(logger, level, by, for_secs)
        except LookupError as error:
            refuse(str(error.args[0]), 404)
        except ValueError as error:
            refuse(str(error))
        until = "" if for_secs is None else f" for {for_secs:g} s"
        _log.info("level of %s set to %s%s, as %s asked", logger, level, until, by or "somebody")
        return Response(dumps(app.logs.levels()) + "\n", content_type=JSON_TYPE)


def _for_secs(fields: dict[str, Any]) -> float | None:
    """`forSecs` of the fields, a number or its text; None where it is not given."""
    value = fields.get("forSecs")
    if value is None or value == "":
        return None
    try:
        secs = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        secs = math.nan
    if not 1 <= secs <= MOST_SECS:
        refuse(f"forSecs is a number of seconds from 1 to {MOST_SECS}, not {str(value)[:100]!r}")
    return secs


def _drain(app: Actions, on: bool) -> Response:
    fields = body_fields()
    bound, address = text_field(fields, "bound"), text_field(fields, "address")
    if not app.drain(bound, address, on, request.remote_addr or None):
        refuse(f"{bound} has no endpoint {address} here; /bindings.json lists them", 404)
    return _done({"bound": bound, "address": address, "drained": on})


def _add_process(routes: Blueprint, app: Actions) -> None:
    @routes.post("/shutdown")
    @routes.post("/admin/shutdown")
    def shutdown() -> Response:
        text = request.args.get("graceSecs")
        grace_secs = None if text is None else _seconds(text)
        shown = app.config.admin.grace_secs if grace_secs is None else grace_secs
        return _then({"stopping": True, "graceSecs": shown}, lambda: app.shutdown(grace_secs))

    @routes.post("/abort")
    def abort() -> Response:
        return _then({"aborting": True}, app.abort)

    @routes.post("/reload")
    def reload() -> Response:
        try:
            return _done({"changed": app.reload()})
        except ConfigError as error:
            return _done({"errors": error.problems}, 422)
        except StartError as error:
            return _done({"errors": [str(error)]}, 422)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        refuse(f"graceSecs is a number of seconds, 0 or more, not {text!r}")
    return seconds


def _done(shape: object, status: int = 200) -> Response:
    return Response(dumps(shape) + "\n", status=status, content_type=JSON_TYPE)


def _then(shape: object, action: Callable[[], object]) -> Response:
    """The answer, and then, once it is written or the client has gone, the action."""
    response = _done(shape)
    response.headers["Connection"] = "close"
    response.call_on_close(action)
    return response

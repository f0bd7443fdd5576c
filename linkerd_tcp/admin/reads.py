"""What can be read: figures, state and configuration. Nothing here changes anything."""

from collections.abc import Iterator
from typing import Any, Final

from flask import Blueprint, Response, current_app, request

from linkerd_tcp import __version__
from linkerd_tcp.admin import connections, names
from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.overview import overview
from linkerd_tcp.admin.process import process_collectors
from linkerd_tcp.config.load import effective
from linkerd_tcp.metrics import CONTENT_TYPE, AppCollector, exposition
from linkerd_tcp.record import address_text
from linkerd_tcp.web.guard import Guard
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import dump_pieces, dumps, stream

TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"


def blueprint(app: Controls, guard: Guard) -> Blueprint:
    routes = Blueprint("reads", __name__)
    _add_probes(routes, app)
    _add_metrics(routes, app)
    _add_state(routes, app)

    @routes.get("/")
    def page() -> Response:
        template = current_app.jinja_env.get_template("overview.html")
        # In pieces: a table of two hundred rows takes longer to draw than connections should wait.
        return stream(template.generate(view=overview(app), token=guard.token, version=__version__), HTML)

    @routes.get("/overview.json")
    def overview_json() -> Response:
        return stream(dump_pieces(overview(app)))

    return routes


def _add_probes(routes: Blueprint, app: Controls) -> None:
    @routes.get("/ping")
    @routes.get("/admin/ping")
    def ping() -> Response:
        return Response("pong", content_type=TEXT)

    @routes.get("/live")
    @routes.get("/admin/live")
    def live() -> Response:
        return Response("live\n", content_type=TEXT)

    @routes.get("/ready")
    @routes.get("/admin/ready")
    def ready() -> Response:
        is_ready, remarks = app.ready
        lines = ["ready" if is_ready else "not ready", *remarks]
        text = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        return Response(text, status=200 if is_ready else 503, content_type=TEXT)


def _add_metrics(routes: Blueprint, app: Controls) -> None:
    collectors = (AppCollector(app), *process_collectors(app.started_at))

    @routes.get("/metrics")
    @routes.get("/admin/metrics")
    @routes.get("/admin/metrics/prometheus")
    def metrics() -> Response:
        return stream(exposition(collectors), CONTENT_TYPE)


def _add_state(routes: Blueprint, app: Controls) -> None:
    @routes.get("/config.json")
    def config() -> Response:
        shape = {**effective(app.config), "listening": listening(app)}
        if app.namerd_address is not None:
            shape["namerdListening"] = address_text(app.namerd_address)
        return stream(dump_pieces(shape))

    @routes.get("/bindings.json")
    def bindings() -> Response:
        return stream(names.bindings(app))

    @routes.get("/namers.json")
    def namers() -> Response:
        return stream(names.namers(app))

    @routes.get("/connections.json")
    def connections_json() -> Response:
        try:
            query = connections.Query.read(request.args.to_dict())
        except ValueError as error:
            refuse(str(error))
        return stream(connections.pieces(app.book, query))

    @routes.get("/logging.json")
    def logging_json() -> Response:
        return stream(_levels(app))


def _levels(app: Controls) -> Iterator[str]:
    yield dumps(app.logs.levels()) + "\n"


def listening(app: Controls) -> list[dict[str, Any]]:
    """Where each server really listens: a port 0 in the file is some port here."""
    return [{"router": server.router.label, "address": server.label} for server in app.servers]

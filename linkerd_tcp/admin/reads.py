"""What can be read: figures, state and configuration. Nothing here changes anything."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flask import Blueprint, Response, request

from linkerd_tcp.admin import connections, names
from linkerd_tcp.admin.controls import Controls, Probed
from linkerd_tcp.admin.process import process_collectors
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import effective
from linkerd_tcp.metrics import CONTENT_TYPE, AppCollector, exposition
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.record import address_text
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import dump_pieces, dumps, stream

TEXT: Final = "text/plain; charset=utf-8"


def blueprint(app: Controls) -> Blueprint:
    routes = Blueprint("reads", __name__)
    add_probes(routes, app)
    _add_metrics(routes, app)
    _add_state(routes, app)
    return routes


def add_probes(routes: Blueprint, app: Probed) -> None:
    """/ping, /live, /ready and linkerd 1's names for them."""

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
        listening = [(server.router.label, server.label) for server in app.servers]
        return stream(dump_pieces(config_json(app.config, listening, app.namerd_address)))

    @routes.get("/bindings.json")
    def bindings() -> Response:
        return stream(names.bindings(app))

    @routes.get("/namers.json")
    def namers() -> Response:
        return stream(names.namers(app))

    @routes.get("/workers.json")
    def workers() -> Response:
        return stream((dumps([_worker(app, request.environ)]) + "\n",))

    @routes.get("/connections.json")
    def connections_json() -> Response:
        arguments = request.args.to_dict()
        arguments.pop("worker", None)
        try:
            query = connections.Query.read(arguments)
        except ValueError as error:
            refuse(str(error))
        return stream(connections.pieces(app.book, query))

    @routes.get("/logging.json")
    def logging_json() -> Response:
        return stream(_levels(app))


def _worker(app: Controls, environ: Mapping[str, Any]) -> dict[str, Any]:
    """This process, as the only row of /workers.json."""
    return {
        "worker": 0,
        "pid": os.getpid(),
        "startedAt": app.started_at,
        "state": "serving" if app.ready[0] else "leaving",
        "restarts": 0,
        "connections": len(app.book.open),
        "answers": True,
        "address": f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
    }


def _levels(app: Controls) -> Iterator[str]:
    yield dumps(app.logs.levels()) + "\n"


def config_json(
    config: AppConfig, listening: Iterable[tuple[str, str]], namerd_address: tuple[str, int] | None
) -> dict[str, Any]:
    """With (router, address) of where each server really listens: a port 0 in the file is some port here."""
    shape = {
        **effective(config, Turns().rest),
        "listening": [{"router": router, "address": address} for router, address in listening],
    }
    if namerd_address is not None:
        shape["namerdListening"] = address_text(namerd_address)
    return shape

"""What the admin process asks of a worker, on the worker's UNIX socket and nowhere else: what /metrics, /bindings.json
and so on show, in lines that are small enough to be read one at a time.
"""

import os
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Final

from flask import Blueprint, Response, request
from prometheus_client import Metric

from linkerd_tcp.admin import connections, names
from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.dtabs import dtabs
from linkerd_tcp.admin.frame import frame_lines
from linkerd_tcp.admin.process import process_collectors
from linkerd_tcp.figures import Histogram
from linkerd_tcp.metrics import Source, readings
from linkerd_tcp.record import as_json
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import dump_pieces, dumps, stream

PREFIX: Final = "/private"
LINES: Final = "application/x-ndjson"


def blueprint(app: Controls) -> Blueprint:
    """`app` is the worker."""
    routes = Blueprint("private", __name__, url_prefix=PREFIX)
    collectors = process_collectors(app.started_at)

    @routes.get("/state")
    def state() -> Response:
        return stream((dumps(_state(app)) + "\n",))

    @routes.get("/figures")
    def figures() -> Response:
        process = (metric for collector in collectors for metric in collector.collect())
        return stream(figure_lines(app, app.started_at, process), LINES)

    @routes.get("/bindings")
    def bindings() -> Response:
        return stream(names.binding_lines(app), LINES)

    @routes.get("/namers")
    def namers() -> Response:
        return stream(names.namer_lines(app.namers), LINES)

    @routes.get("/frame")
    def frame() -> Response:
        return stream(frame_lines(app, request.args.get("known", 0, type=int)), LINES)

    @routes.get("/dtabs")
    def router_dtabs() -> Response:
        return stream((dumps(dtabs(app)),))

    @routes.get("/connections")
    def connection_lines() -> Response:
        return stream(connections.lines(app.book, _query()), LINES)

    @routes.get("/connections/counts")
    def connection_counts() -> Response:
        return stream((dumps(connections.counts(app.book, _query())),))

    @routes.get("/connections/<id_>")
    def connection(id_: str) -> Response:
        """`null` if there is none."""
        record = connections.one(app.book, id_)
        return stream(dump_pieces(None if record is None else as_json(record)))

    @routes.get("/log")
    def log() -> Response:
        after = request.args.get("after", 0.0, type=float)
        return stream((dumps(line) + "\n" for line in app.logs.last_lines(after)), LINES)

    return routes


def _query() -> connections.Query:
    try:
        return connections.Query.read(request.args.to_dict())
    except ValueError as error:
        refuse(str(error))


def _state(app: Controls) -> dict[str, Any]:
    is_ready, remarks = app.ready
    return {"pid": os.getpid(), "ready": is_ready, "remarks": remarks, "connections": len(app.book.open)}


def figure_lines(source: Source, started_at: float, process: Iterator[Metric] | Sequence[Metric]) -> Iterator[str]:
    """What /metrics shows, as numbers. `{"startedAt": .., "at": ..}`, which tells processes and their answers apart;
    then `["family", [[[label, ...], value], ...]]`, in slices; then `{"name": ...}` for each metric of `process`.

    The value of a histogram is a list: how many in each bucket (not cumulative), then the sum of seconds.
    """
    yield dumps({"startedAt": started_at, "at": monotonic()}) + "\n"
    for family, part in readings(source):
        yield dumps([family.name, [[labels, _plain(value)] for labels, value in part]]) + "\n"
    for metric in process:
        yield dumps(metric_json(metric)) + "\n"


def metric_json(metric: Metric) -> dict[str, Any]:
    """With its samples as [name, labels, value]."""
    samples = [[sample.name, sample.labels, sample.value] for sample in metric.samples]
    return {"name": metric.name, "help": metric.documentation, "type": metric.type, "samples": samples}


def _plain(value: float | Histogram) -> float | list[float]:
    return [*value.counts, value.total] if isinstance(value, Histogram) else value

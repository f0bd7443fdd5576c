"""What can be read of all workers, or with `?worker=1` of one."""

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from time import time
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from linkerd_tcp.admin.connections import Query
from linkerd_tcp.admin.names import namer_lines
from linkerd_tcp.admin.private import figure_lines, metric_json
from linkerd_tcp.admin.process import OtherCollector, process_collectors
from linkerd_tcp.admin.reads import add_probes, config_json
from linkerd_tcp.book import Book
from linkerd_tcp.metrics import CONTENT_TYPE, exposition
from linkerd_tcp.naming.namer import Discovery
from linkerd_tcp.record import address_text
from linkerd_tcp.router import Router
from linkerd_tcp.server import Server
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import array, dump_pieces, dumps, rows, stream
from linkerd_tcp.workers.everyone import Everyone
from linkerd_tcp.workers.fleet import WorkerRow
from linkerd_tcp.workers.gather import Question, Silence, lines, values
from linkerd_tcp.workers.merge import (
    Binding,
    binding_pieces,
    merge_bindings,
    merge_namers,
    merge_pages,
    read_page,
    unanswered,
)
from linkerd_tcp.workers.sums import Figures, Ledger, Processes, Summed, Workers, read_snapshot

METRICS: Final = ("/metrics", "/admin/metrics", "/admin/metrics/prometheus")
_FORWARDED: Final = frozenset(
    {
        *METRICS, "/ready", "/admin/ready", "/config.json", "/bindings.json", "/connections.json", "/namers.json",
        "/delegator.json",
    }
)  # fmt: skip
OF_ONE: Final = _FORWARDED
"""The paths that take `worker`."""

DELEGATION_SECS: Final = 4.0
"""A worker waits for two seconds for what is not known yet."""


def blueprint(everyone: Everyone) -> Blueprint:
    routes = Blueprint("answers", __name__)

    @routes.before_request
    def forward() -> Response | None:
        number = request.args.get("worker")
        return None if number is None else _of(everyone, everyone.worker(number))

    measured = Measured(everyone)
    add_probes(routes, everyone)
    _add_metrics(routes, everyone, measured)
    _add_state(routes, everyone)
    _add_delegator(routes, everyone)
    return routes


def _of(everyone: Everyone, row: WorkerRow) -> Response:
    """One worker's own answer to this request."""
    arguments = [(key, value) for key, value in request.args.items(multi=True) if key != "worker"]
    target = request.path + (f"?{urlencode(arguments)}" if arguments else "")
    return _said(_forwarded(everyone, row, target), f"worker {row.number} does not answer")


def _said(response: Response | Silence, otherwise: str) -> Response:
    if isinstance(response, Silence):
        refuse(f"{otherwise}: {response.why}", 504)
    return response


def _forwarded(everyone: Everyone, row: WorkerRow, target: str) -> Response | Silence:
    if request.method == "POST":
        question = Question(target, "POST", request.get_data(), request.content_type)
    else:
        question = Question(target)
    reply = everyone.ask_one(row, question, DELEGATION_SECS)
    return reply if isinstance(reply, Silence) else Response(reply.body, reply.status, content_type=reply.content_type)


def _add_delegator(routes: Blueprint, everyone: Everyone) -> None:
    @routes.route("/delegator.json", methods=("GET", "POST"))
    def delegator() -> Response:
        """They all have the same dtabs and namers: the first that answers will do."""
        response: Response | Silence = Silence("there is none")
        for row in everyone.fleet.workers:
            response = _forwarded(everyone, row, request.full_path)
            if not isinstance(response, Silence):
                break
        return _said(response, "no worker answers")


class Measured:
    """The metrics of everybody."""

    def __init__(self, everyone: Everyone) -> None:
        self._everyone = everyone
        self.started_at = time()
        self._collectors = process_collectors(self.started_at)
        self._ledger = Ledger()

    def ask(self, of: Container[int] | None = None) -> tuple[Figures, Mapping[str, list[dict[str, Any]]], set[int]]:
        """(what all make together, what each process says of itself, which workers have answered); only these workers
        (`of`, or all) are asked.
        """
        found, _ = self._everyone.ask("/figures", of=of)
        heard = {str(worker): read_snapshot(values(body)) for worker, body in found.items()}
        metrics = (metric for collector in self._collectors for metric in collector.collect())
        heard["admin"] = read_snapshot(map(json.loads, figure_lines(_Own(self._everyone), self.started_at, metrics)))
        processes = {name: snapshot.process for name, snapshot in heard.items()}
        processes["supervisor"] = [
            metric_json(metric) for metric in OtherCollector(self._everyone.fleet.supervisor_pid).collect()
        ]
        return self._ledger.add(heard), processes, set(found)


class _Own:
    """What is measured of the admin process itself: no traffic, but what its control plane asks."""

    def __init__(self, everyone: Everyone) -> None:
        self.routers: dict[str, Router] = {}
        self.servers: list[Server] = []
        self.namers: list[Discovery] = list(everyone.beside.namers)
        self.admin_identities = everyone.admin_identities
        self.book = Book(1)
        self.last_reload_ok = everyone.fleet.last_reload.ok
        dropped = everyone.own_logs.dropped
        self.dropped_lines: dict[tuple[str, str], int] = {("log", reason): times for reason, times in dropped.items()}


def _add_metrics(routes: Blueprint, everyone: Everyone, measured: Measured) -> None:
    def metrics() -> Response:
        figures, processes, answered = measured.ask()
        workers = Workers(everyone.fleet.workers, answered)
        return stream(exposition((Summed(figures), workers, Processes(processes))), CONTENT_TYPE)

    for path in METRICS:
        routes.add_url_rule(path, view_func=metrics)


def _add_state(routes: Blueprint, everyone: Everyone) -> None:
    @routes.get("/config.json")
    def config() -> Response:
        return stream(dump_pieces(config_json(everyone.config, _listening(everyone), everyone.beside.namerd_address)))

    @routes.get("/workers.json")
    def workers() -> Response:
        states, _ = everyone.states()
        return stream((dumps([_worker(row, states.get(row.number)) for row in everyone.fleet.workers]) + "\n",))

    @routes.get("/logging.json")
    def logging_json() -> Response:
        return stream((dumps(everyone.logs.levels()) + "\n",))

    @routes.get("/bindings.json")
    def bindings() -> Response:
        found, missing = everyone.ask("/bindings")
        merged = merge_bindings(map(lines, found.values()))
        routers = (_router(label, merged[label]) for label in merged)
        return stream(_object("routers", routers, unanswered(missing)))

    @routes.get("/namers.json")
    def namers() -> Response:
        found, missing = everyone.ask("/namers")
        merged = merge_namers([*map(values, found.values()), _own_namers(everyone)])
        return stream(_object("namers", map(_namer, merged, merged.values()), unanswered(missing)))

    @routes.get("/connections.json")
    def connections() -> Response:
        arguments = request.args.to_dict()
        try:
            query = Query.read(arguments)
        except ValueError as error:
            refuse(str(error))
        found, missing = everyone.ask(f"/connections?{urlencode(arguments)}")
        page, next_id = merge_pages([read_page(lines(body)) for body in found.values()], query.limit)
        end = f', "next": {dumps(next_id)}{unanswered(missing)}'
        return stream(_object("connections", ((text,) for text in page), end))


def _listening(everyone: Everyone) -> list[tuple[str, str]]:
    return [(router, address_text(address)) for router, address in everyone.fleet.servers]


def _object(key: str, items: Iterable[Iterable[str]], end: str) -> Iterator[str]:
    yield f'{{"{key}": '
    yield from array(items)
    yield end


def _worker(row: WorkerRow, state: dict[str, Any] | None) -> dict[str, Any]:
    """A row of /workers.json."""
    return {
        "worker": row.number,
        "pid": row.pid,
        "startedAt": row.started_at,
        "state": row.state,
        "restarts": row.restarts,
        "connections": None if state is None else state["connections"],
        "answers": state is not None,
        "address": row.admin_path,
    }


def _router(label: str, paths: dict[str, Binding]) -> Iterator[str]:
    yield f'{{"label": {dumps(label)}, "bindings": '
    yield from array(map(binding_pieces, paths, paths.values()))
    yield "}"


def _own_namers(everyone: Everyone) -> Iterator[Any]:
    return map(json.loads, namer_lines(everyone.beside.namers))


def _namer(which: tuple[str, str, int], watches: dict[str, Any]) -> Iterator[str]:
    prefix, kind, _ = which
    yield f'{{"prefix": {dumps(prefix)}, "kind": {dumps(kind)}, "watches": '
    yield from rows(watches.values())
    yield "}"

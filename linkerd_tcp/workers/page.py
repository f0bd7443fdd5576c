"""What the first page shows of all workers: the tables of `admin.overview`, from the merged JSON shapes and sums."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from linkerd_tcp.admin.overview import (
    BAD,
    ENDPOINT_COLUMNS,
    GOOD,
    LONG,
    NAMER_COLUMNS,
    NOTHING,
    NUMBER,
    OFF,
    ROUTER_COLUMNS,
    SHORT,
    TEXT,
    Cell,
    balancer_rows,
    cut,
    number,
    state_cell,
    table,
    unbound_row,
    unwatched_row,
    watch_cells,
)
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.staleness import ago
from linkerd_tcp.workers.merge import Namers, Routers, Shape, merge_endpoint
from linkerd_tcp.workers.sums import Figures, Value

WORKER_COLUMNS: Final = (
    ("Worker", SHORT), ("Process", SHORT), ("State", SHORT), ("Started", SHORT), ("Replaced", NUMBER),
    ("Open", NUMBER), ("No answer", LONG),
)  # fmt: skip
SERVER_COLUMNS: Final = (
    ("Address", SHORT), ("Router", SHORT), ("Active", NUMBER), ("Waiting", NUMBER), ("Accepts", NUMBER),
    ("Failures", NUMBER), ("Failures by cause", TEXT),
)  # fmt: skip
_STATES: Final = {"serving": GOOD, "gone": BAD}


def tables(
    workers: Iterable[Shape],
    missing: Mapping[int, str],
    servers: Iterable[tuple[str, str]],
    figures: Figures,
    routers: Routers,
    namers: Namers,
) -> list[dict[str, Any]]:
    """`workers` are rows of /workers.json, `servers` (router, address). To be called in a greenlet."""
    turns, servers = Turns(), list(servers)
    return [
        table("workers", "Workers", WORKER_COLUMNS, (_worker(row, missing) for row in workers), turns),
        table("routers", "Routers", ROUTER_COLUMNS, _routers(servers, figures, routers), turns),
        table("servers", "Servers", SERVER_COLUMNS, (_server(*server, figures) for server in servers), turns),
        table("endpoints", "Bindings and endpoints", ENDPOINT_COLUMNS, _endpoints(routers), turns),
        table("namers", "Namers", NAMER_COLUMNS, _namers(namers), turns),
    ]


def _worker(row: Shape, missing: Mapping[int, str]) -> list[Cell]:
    return [
        str(row["worker"]),
        str(row["pid"]),
        state_cell(row["state"], _STATES.get(row["state"], OFF)),
        ago(row["startedAt"]),
        number(row["restarts"]),
        NOTHING if row["connections"] is None else number(row["connections"]),
        cut(missing.get(row["worker"], NOTHING)),
    ]


def _counted(figures: Figures, family: str, *labels: str) -> int:
    value: Value = figures.get(family, {}).get(labels, 0)
    return 0 if isinstance(value, list) else int(value)


def _by_cause(figures: Figures, family: str, *labels: str) -> dict[str, int]:
    """The most frequent first."""
    counts = {
        series[-1]: _counted(figures, family, *series) for series in figures.get(family, {}) if series[:-1] == labels
    }
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _routers(servers: list[tuple[str, str]], figures: Figures, routers: Routers) -> Iterator[list[Cell]]:
    for label in dict.fromkeys([label for label, _ in servers] + list(routers)):
        yield [
            cut(label),
            number(sum(router == label for router, _ in servers)),
            number(sum(bool(binding.balancers) for binding in routers.get(label, {}).values())),
            number(_counted(figures, "l5d_route_found_total", label)),
            number(_counted(figures, "l5d_route_created_total", label)),
            number(sum(_by_cause(figures, "l5d_route_errors_total", label).values())),
        ]


def _server(router: str, address: str, figures: Figures) -> list[Cell]:
    causes = _by_cause(figures, "l5d_srv_failures_total", router, address)
    counted = ("l5d_srv_active", "l5d_srv_waiters", "l5d_srv_accepts_total")
    return [
        address,
        cut(router),
        *(number(_counted(figures, family, router, address)) for family in counted),
        number(sum(causes.values())),
        ", ".join(f"{cause} {times:,}" for cause, times in causes.items()) or NOTHING,
    ]


def _endpoints(routers: Routers) -> Iterator[list[Cell]]:
    for paths in routers.values():
        for name, binding in paths.items():
            path = cut(name)
            if not binding.balancers:
                yield unbound_row(path, json.loads(binding.tree)["type"])
            for bound, balancer in binding.balancers.items():
                # By address: a row must not move because its endpoint failed.
                endpoints = (merge_endpoint(balancer.endpoints[address]) for address in sorted(balancer.endpoints))
                yield from balancer_rows(path, cut(bound), balancer.head["addr"], endpoints)


def _namers(namers: Namers) -> Iterator[list[Cell]]:
    for (prefix, kind, _), watches in namers.items():
        shown = cut(prefix if prefix.startswith("/$/") else f"/#{prefix}")
        if not watches:
            yield unwatched_row(shown, kind)
        for watch in watches.values():
            yield [shown, *watch_cells(watch)]

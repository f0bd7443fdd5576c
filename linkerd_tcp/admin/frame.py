"""The figures and states of this process at one moment (`dashboard.frame`), read from the program's own objects.

Everything is walked in short turns, so "one moment" is some milliseconds of it. What a counter says is never less than
what it said before, all the same: see `_Bytes`.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, islice
from time import monotonic, time
from typing import Any, Final, NamedTuple

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.names import addr_state, watch_json
from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.balancers.endpoints import Endpoint, State
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.dashboard import frame as shapes
from linkerd_tcp.dashboard.together import destinations_together
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import Bound, Failed, Pending
from linkerd_tcp.naming.namer import Discovery, WatchState, shown_prefix
from linkerd_tcp.net.descriptors import DESCRIPTORS_PER_CONNECTION
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.record import Record
from linkerd_tcp.router import Route, Router
from linkerd_tcp.server import Server

TROUBLE_SECS: Final = 300.0
"""For how long an endpoint is in trouble after its last error."""


def read_frame(app: Controls) -> shapes.Frame:
    """To be called in a greenlet."""
    turns = Turns()
    is_ready, remarks = app.ready
    count = _Bytes(app)
    routers = _routers(app, count, turns)
    count.add_open(turns)
    for router in routers:
        router["destinations"] = list(_one_of_each(router["destinations"]))
        router["servers"] = [
            _server(server, *count.servers.get(server.label, (0, 0)))
            for server in app.servers
            if server.router.label == router["label"]
        ]
    config = app.config
    history: Any = app.history.shape()
    return {
        "at": time(),
        "startedAt": app.started_at,
        "ready": is_ready,
        "stopping": app.stopping,
        "remarks": remarks,
        "readOnly": config.admin.read_only,
        "reload": {"ok": app.last_reload_ok, "at": app.started_at, "errors": []},
        "descriptors": app.capacity.used * DESCRIPTORS_PER_CONNECTION,
        "mostDescriptors": app.capacity.most * DESCRIPTORS_PER_CONNECTION,
        "routers": routers,
        "namers": read_namers(app.namers, turns),
        "certificates": list(_certificates(app.servers)),
        "workers": [_this_process(app, is_ready)],
        "drains": [
            {"bound": bound, "address": address, "since": drain.since, "by": drain.by}
            for (bound, address), drain in islice(app.drained.items(), shapes.MOST_DRAINS)
        ],
        "moreDrains": max(0, len(app.drained) - shapes.MOST_DRAINS),
        "history": history,
    }


def _this_process(app: Controls, is_ready: bool) -> shapes.Worker:
    return {
        "worker": 0,
        "pid": os.getpid(),
        "state": "serving" if is_ready else "leaving",
        "startedAt": app.started_at,
        "restarts": 0,
        "connections": len(app.book.open),
        "answers": True,
        "why": None,
    }


class _Room:
    """How much may still be shown, over all routers. What is in trouble has room of its own."""

    def __init__(self) -> None:
        self.destinations = shapes.MOST_DESTINATIONS
        self.endpoints = shapes.MOST_ENDPOINTS
        self.troubled_destinations = self.troubled_endpoints = shapes.MOST_TROUBLED
        self.since = time() - TROUBLE_SECS

    def take(self, is_troubled: bool) -> bool:
        """Whether there is room for one more destination, which then is taken."""
        if self.destinations:
            self.destinations -= 1
        elif is_troubled and self.troubled_destinations:
            self.troubled_destinations -= 1
        else:
            return False
        return True

    def choose(self, endpoints: Sequence[Endpoint], troubled: Collection[Endpoint], turns: Turns) -> list[Endpoint]:
        """Those of one destination that are shown, in discovery's order; what it no longer names comes last."""
        most = min(self.endpoints, shapes.MOST_OF_ONE)
        named: list[Endpoint] = []
        left: list[Endpoint] = []
        for endpoint in endpoints:
            turns.rest()
            if endpoint.state is State.RETIRED:
                left.append(endpoint)
            elif endpoint.place < most:
                named.append(endpoint)
            elif endpoint in troubled and self.troubled_endpoints:
                self.troubled_endpoints -= 1
                named.append(endpoint)
        left = left[: max(0, most - len(named))]
        self.endpoints -= min(most, len(named) + len(left))
        return sorted(named, key=_place) + sorted(left, key=_place)

    def is_troubled(self, endpoint: Endpoint) -> bool:
        error_at = endpoint.last_error_at
        return endpoint.state is State.FAILED or endpoint.drained or (error_at is not None and error_at > self.since)


def _place(endpoint: Endpoint) -> int:
    return endpoint.place


class _Bytes:
    """Bytes of connections: of ended ones the sums that are kept, of open ones what their records say.

    A connection may end between the two, and its bytes go from the one to the other. So the list of the open is taken
    first, and one of them that has ended before its endpoint's sum was read is in that sum already; its record keeps
    its bytes, and those of one that ends later are taken from there.
    """

    def __init__(self, app: Controls) -> None:
        """Of servers: the sums and the list in one turn."""
        self.servers = {server.label: [server.figures.rx_bytes, server.figures.tx_bytes] for server in app.servers}
        self._open: list[Record] = list(app.book.open.values())
        self._read: dict[str, dict[int, _Read]] = {}

    def note(self, label: str, balancer: Balancer, row: shapes.Destination, at: float) -> None:
        """`row` was read `at` this, time.monotonic seconds."""
        endpoints = {endpoint["address"]: endpoint for endpoint in row["endpoints"]}
        # By identity: records have their balancer's own path, and a look by its labels costs more than all the rest.
        self._read.setdefault(label, {})[id(balancer.bound)] = _Read(balancer, row, endpoints, at)

    def add_open(self, turns: Turns) -> None:
        for record in self._open:
            turns.rest()
            rx, tx = record.bytes_so_far()
            if not rx and not tx:
                continue
            server = self.servers.get(record.server)
            if server is not None:
                server[0] += rx
                server[1] += tx
            read = self._read.get(record.router, {}).get(id(record.bound))
            if read is None or (record.duration is not None and record.ended_at <= read.at):
                continue
            for row in (read.row, read.endpoints.get(record.endpoint or "")):
                if row is not None:
                    row["rxBytes"] += rx
                    row["txBytes"] += tx


class _Read(NamedTuple):
    """The row of a balancer and when it was read, time.monotonic seconds."""

    balancer: Balancer
    row: shapes.Destination
    endpoints: dict[str, shapes.Endpoint]
    at: float


def _routers(app: Controls, count: _Bytes, turns: Turns) -> list[shapes.Router]:
    room = _Room()
    return [_router(label, router, count, room, turns) for label, router in list(app.routers.items())]


def _router(label: str, router: Router, count: _Bytes, room: _Room, turns: Turns) -> shapes.Router:
    """Without its servers."""
    paths, unbound = _paths(router, turns)
    # By name: a destination has its place whenever it came, and the same one in every worker.
    balancers = sorted((str(balancer.bound), nth, balancer) for nth, balancer in enumerate(router.balancers()))
    rows: list[shapes.Destination] = []
    left_out: set[str] = set()
    for bound, _, balancer in balancers:
        turns.rest()
        read = _destination(bound, balancer, paths.get(balancer, []), room, turns)
        if read is None:
            left_out.add(bound)
        else:
            rows.append(read[0])
            count.note(label, balancer, *read)
    return {
        "label": label,
        "servers": [],
        "destinations": rows,
        "moreDestinations": len(left_out - {row["bound"] for row in rows}),
        "unbound": list(map(_unbound, unbound[: shapes.MOST_PATHS])),
        "moreUnbound": max(0, len(unbound) - shapes.MOST_PATHS),
        "errors": _causes(router.figures.errors),
    }


def _paths(router: Router, turns: Turns) -> tuple[dict[Balancer, list[Route]], list[Route]]:
    """The routes that lead to each balancer, and those that lead nowhere."""
    to: dict[Balancer, list[Route]] = {}
    nowhere: list[Route] = []
    for route in router.routes():
        turns.rest()
        if not route.is_bound:
            nowhere.append(route)
        for balancer in dict.fromkeys(route.balancers.values()):
            to.setdefault(balancer, []).append(route)
    return to, nowhere


def _unbound(route: Route) -> shapes.Unbound:
    tree = route.tree
    kind = "empty"  # also what leads to nothing but branches that are
    if isinstance(tree, Pending | Failed):
        kind = type(tree).__name__.lower()
    elif tree == nametree.NEG:
        kind = "neg"
    elif tree == nametree.FAIL:
        kind = "fail"
    return {"path": str(route.path), "type": kind, "cause": tree.cause if isinstance(tree, Failed) else None}


# -- destinations


def _destination(
    bound: str, balancer: Balancer, routes: list[Route], room: _Room, turns: Turns
) -> tuple[shapes.Destination, float] | None:
    """With when its bytes were read; None if there is no room for it."""
    states = dict.fromkeys(State, 0)
    drained = opened = load = 0
    endpoints = balancer.endpoints()
    troubled = set()
    for endpoint in endpoints:
        turns.rest()
        states[endpoint.state] += 1
        drained += endpoint.drained and endpoint.state is not State.RETIRED
        opened += endpoint.open
        load += endpoint.load
        if room.is_troubled(endpoint):
            troubled.add(endpoint)
    if not room.take(bool(troubled) or not states[State.AVAILABLE] or not isinstance(balancer.addr, Bound)):
        return None
    chosen = room.choose(endpoints, troubled, turns)
    figures = balancer.figures
    at = monotonic()
    rows, rx, tx = _with_bytes(balancer, chosen)
    row: shapes.Destination = {
        "bound": bound,
        "paths": [str(route.path) for route in routes[: shapes.MOST_PATHS]],
        "morePaths": max(0, len(routes) - shapes.MOST_PATHS),
        "addr": addr_state(balancer.addr),
        "available": states[State.AVAILABLE],
        "failed": states[State.FAILED],
        "retired": states[State.RETIRED],
        "drained": drained,
        "open": opened,
        "pending": load - opened,
        "waiters": figures.waiters,
        "attempts": figures.attempts,
        "connects": figures.connects,
        "failures": _causes(figures.connect_failures),
        "unavailable": figures.unavailable,
        "ejections": figures.ejections,
        "revivals": figures.revivals,
        "latency": list(figures.connect_latency.counts),
        "rxBytes": rx,
        "txBytes": tx,
        "endpoints": rows,
        "moreEndpoints": len(endpoints) - len(rows),
    }
    return row, at


def _with_bytes(balancer: Balancer, chosen: Iterable[Endpoint]) -> tuple[list[shapes.Endpoint], int, int]:
    """Rows, and the bytes of all ended connections; all in one turn."""
    behind = balancer.clock_behind
    rows = [_endpoint(endpoint, behind) for endpoint in chosen]
    rx, tx = balancer.gone_bytes
    for endpoint in balancer.endpoints():
        rx += endpoint.rx_bytes
        tx += endpoint.tx_bytes
    return rows, rx, tx


def _endpoint(endpoint: Endpoint, clock_behind: float) -> shapes.Endpoint:
    row: Any = endpoint.as_json(clock_behind)
    row["rxBytes"], row["txBytes"] = endpoint.rx_bytes, endpoint.tx_bytes
    shaped: shapes.Endpoint = row
    return shaped


def _one_of_each(rows: Iterable[shapes.Destination]) -> Iterator[shapes.Destination]:
    """Different client settings make several balancers of one name, whose rows are neighbours."""
    for _, several in groupby(rows, key=lambda row: row["bound"]):
        yield destinations_together(list(several))


# -- the rest


def _server(server: Server, rx: int, tx: int) -> shapes.Server:
    figures, config = server.figures, server.config
    return {
        "address": server.label,
        "names": _names(config),
        "tls": config.tls is not None,
        "active": figures.active,
        "waiting": figures.waiting,
        "most": config.max_concurrency,
        "accepts": figures.accepts,
        "failures": _causes(figures.failures),
        "tlsFailures": dict(figures.tls_failures),
        "latency": list(figures.connect_latency.counts),
        "rxBytes": rx,
        "txBytes": tx,
    }


def _names(config: ServerConfig) -> str:
    return str(config.dst_name) if config.identifier is None else str(config.identifier.kind)


def _causes(table: dict[Cause, int]) -> dict[str, int]:
    return {cause.value: times for cause, times in table.items()}


def read_namers(namers: Iterable[Discovery], turns: Turns) -> list[shapes.Namer]:
    room = [shapes.MOST_WATCHES, shapes.MOST_TROUBLED]
    return [_namer(namer, room, turns) for namer in namers]


def _namer(namer: Discovery, room: list[int], turns: Turns) -> shapes.Namer:
    """`room` is for watches, and besides for stale ones."""
    shown: list[shapes.Watch] = []
    more = stale = 0
    for watch in namer.watches():
        turns.rest()
        stale += watch.is_stale
        which = 0 if room[0] else 1
        if room[which] and (which == 0 or watch.is_stale):
            room[which] -= 1
            shown.append(_watch(watch))
        else:
            more += 1
    return {
        "prefix": shown_prefix(namer),
        "kind": namer.kind,
        "watches": shown,
        "moreWatches": more,
        "stale": stale,
        "errors": dict(namer.figures.errors),
    }


def _watch(watch: WatchState) -> shapes.Watch:
    row: Any = watch_json(watch)
    row["stale"] = watch.is_stale
    shaped: shapes.Watch = row
    return shaped


def _certificates(servers: Iterable[Server]) -> Iterator[shapes.Certificate]:
    for server in servers:
        for name, identity in ({} if server.terminator is None else server.terminator.identities).items():
            yield {
                "where": f"server {server.label}",
                "identity": name,
                "notAfter": identity.not_after.timestamp(),
            }

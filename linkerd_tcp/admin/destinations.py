"""The destinations and endpoints of a frame. Of many, the first are chosen, and besides what is in trouble."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from time import monotonic, time
from typing import Any, NamedTuple

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.names import addr_state
from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.balancers.endpoints import Endpoint, State
from linkerd_tcp.dashboard import frame as shapes
from linkerd_tcp.dashboard.together import TROUBLE_SECS, destinations_together
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import Bound, Failed, Pending
from linkerd_tcp.naming.name import Binding
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.record import Record
from linkerd_tcp.router import Route, Router


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


class Bytes:
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


def read_routers(routers: Mapping[str, Router], count: Bytes, turns: Turns) -> list[shapes.Router]:
    """All but their servers."""
    room = _Room()
    rows = [_router(label, router, count, room, turns) for label, router in list(routers.items())]
    count.add_open(turns)
    for row in rows:
        row["destinations"] = list(_one_of_each(row["destinations"]))
    return rows


def _router(label: str, router: Router, count: Bytes, room: _Room, turns: Turns) -> shapes.Router:
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
        "unbound": [_unbound(path, tree) for path, tree in islice(unbound.items(), shapes.MOST_PATHS)],
        "moreUnbound": max(0, len(unbound) - shapes.MOST_PATHS),
        "errors": causes(router.figures.errors),
    }


def _paths(router: Router, turns: Turns) -> tuple[dict[Balancer, list[Route]], dict[Path, Binding]]:
    """The routes that lead to each balancer, and the paths that lead nowhere or did a moment ago."""
    to: dict[Balancer, list[Route]] = {}
    nowhere = router.lost.recent()
    for route in router.routes():
        turns.rest()
        if not route.is_bound:
            nowhere[route.path] = route.tree
        for balancer in dict.fromkeys(route.balancers.values()):
            to.setdefault(balancer, []).append(route)
    return to, nowhere


def _unbound(path: Path, tree: Binding) -> shapes.Unbound:
    kind = "empty"  # also what leads to nothing but branches that are
    if isinstance(tree, Pending | Failed):
        kind = type(tree).__name__.lower()
    elif tree == nametree.NEG:
        kind = "neg"
    elif tree == nametree.FAIL:
        kind = "fail"
    return {"path": str(path), "type": kind, "cause": tree.cause if isinstance(tree, Failed) else None}


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
        "failures": causes(figures.connect_failures),
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


def causes(table: dict[Cause, int]) -> dict[str, int]:
    return {cause.value: times for cause, times in table.items()}

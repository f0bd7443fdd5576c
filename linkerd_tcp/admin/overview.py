"""What the first page shows, as tables of text: the template draws them once, the page's script keeps them current.

Long lists are cut: the JSON paths have all of it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from time import time
from typing import Any, Final, TypeAlias

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.names import addr_state, watch_json
from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.naming.addr import Bound
from linkerd_tcp.naming.namer import Discovery, shown_prefix
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.router import Route, Router
from linkerd_tcp.server import Server
from linkerd_tcp.staleness import age, ago, ahead

MOST_ROWS: Final = 200
MOST_CHARS: Final = 200
NOTHING: Final = "—"

Cell: TypeAlias = str | dict[str, str]
"""Text, or text with the state that it names: {"text": "failed", "state": "bad"}."""

Table: TypeAlias = dict[str, Any]

GOOD, WARN, BAD, OFF = "good", "warn", "bad", "off"
_ENDPOINT_STATES: Final = {"available": GOOD, "failed": BAD, "retired": OFF}
_ADDR_STATES: Final = {"bound": GOOD, "neg": WARN, "pending": WARN, "failed": BAD}


def overview(app: Controls) -> dict[str, Any]:
    """The page's contents. To be called in a greenlet."""
    is_ready, remarks = app.ready
    turns = Turns()
    return {
        "status": _status(app, is_ready),
        "remarks": [cut(remark) for remark in remarks[:10]],
        "tables": [
            table("routers", "Routers", ROUTER_COLUMNS, _routers(app.routers.values()), turns),
            table("servers", "Servers", SERVER_COLUMNS, map(_server, app.servers), turns),
            table("endpoints", "Bindings and endpoints", ENDPOINT_COLUMNS, _endpoints(app.routers.values()), turns),
            table("namers", "Namers", NAMER_COLUMNS, _namers(app.namers), turns),
        ],
    }


def _status(app: Controls, is_ready: bool) -> list[Cell]:
    return status(is_ready, len(app.book.open), app.started_at, app.config.admin.read_only, app.last_reload_ok)


def status(is_ready: bool, connections: int, started_at: float, read_only: bool, last_reload_ok: bool) -> list[Cell]:
    """What stands above all. `started_at` is in seconds since the epoch."""
    reload_state: list[Cell] = []
    if not last_reload_ok:
        reload_state = [state_cell("last reload refused: the configuration before it goes on", BAD)]
    return [
        state_cell("ready", GOOD) if is_ready else state_cell("not ready", WARN),
        f"{connections:,} open connections",
        f"up {age(time() - started_at)}",
        *([state_cell("read only", OFF)] if read_only else []),
        *reload_state,
    ]


def table(
    name: str, title: str, columns: tuple[tuple[str, str], ...], rows: Iterator[list[Cell]], turns: Turns
) -> Table:
    kept: list[list[Cell]] = []
    for row in islice(rows, MOST_ROWS + 1):
        kept.append(row)
        turns.rest()
    return {
        "name": name,
        "title": title,
        "columns": [{"title": title, "kind": kind} for title, kind in columns],
        "rows": kept[:MOST_ROWS],
        "more": "" if len(kept) <= MOST_ROWS else f"Only the first {MOST_ROWS} are shown; the JSON below has all.",
    }


TEXT, LONG, SHORT, NUMBER = "text", "long", "short", "number"
"""Kinds of columns: what may be wrapped, what needs room, what may not be wrapped, what is aligned on the right."""

ROUTER_COLUMNS: Final = (
    ("Router", SHORT), ("Servers", NUMBER), ("Paths bound", NUMBER), ("Found", NUMBER), ("Created", NUMBER),
    ("Errors", NUMBER),
)  # fmt: skip


def _routers(routers: Iterable[Router]) -> Iterator[list[Cell]]:
    for router in list(routers):
        figures = router.figures
        yield [
            cut(router.label),
            number(len(router.config.servers)),
            number(sum(route.is_bound for route in router.routes())),
            number(figures.found),
            number(figures.created),
            number(sum(figures.errors.values())),
        ]


SERVER_COLUMNS: Final = (
    ("Address", SHORT), ("Router", SHORT), ("Destination", TEXT), ("Active", NUMBER), ("Waiting", NUMBER),
    ("Accepts", NUMBER), ("Failures", NUMBER), ("Failures by cause", TEXT),
)  # fmt: skip


def _server(server: Server) -> list[Cell]:
    figures = server.figures
    causes = sorted(figures.failures.items(), key=lambda item: -item[1])
    return [
        server.label,
        cut(server.router.label),
        cut(str(server.config.dst_name or server.config.identifier_config().kind)),
        number(figures.active),
        number(figures.waiting),
        number(figures.accepts),
        number(sum(figures.failures.values())),
        ", ".join(f"{cause} {times:,}" for cause, times in causes) or NOTHING,
    ]


ENDPOINT_COLUMNS: Final = (
    ("Path", TEXT), ("Bound to", TEXT), ("Endpoint", SHORT), ("State", SHORT), ("Weight", NUMBER),
    ("Open", NUMBER), ("Pending", NUMBER), ("Connects", NUMBER), ("Failures", NUMBER), ("Last error", LONG),
    ("Failed since", SHORT),
)  # fmt: skip


def _endpoints(routers: Iterable[Router]) -> Iterator[list[Cell]]:
    for router in list(routers):
        for route in router.routes():
            yield from _route(route)


def _route(route: Route) -> Iterator[list[Cell]]:
    path = cut(str(route.path))
    if not route.is_bound:
        yield unbound_row(path, type(route.tree).__name__.lower().removesuffix("tree"))
    for balancer in dict.fromkeys(route.balancers.values()):
        yield from _balancer(path, balancer)


def unbound_row(path: str, state: str) -> list[Cell]:
    """Of a path that leads to no name; `state` is the kind of its tree."""
    return [path, NOTHING, NOTHING, state_cell(state, _ADDR_STATES.get(state, WARN)), *[NOTHING] * 7]


def _balancer(path: str, balancer: Balancer) -> Iterator[list[Cell]]:
    # In discovery's order, those it names no more last: a row must not move because its endpoint failed.
    listed = balancer.addr.addresses if isinstance(balancer.addr, Bound) else ()
    places = {str(address): place for place, address in enumerate(listed)}
    endpoints = sorted(balancer.endpoints_json(), key=lambda each: places.get(each["address"], len(places)))
    yield from balancer_rows(path, cut(str(balancer.bound)), addr_state(balancer.addr), endpoints)


def balancer_rows(
    path: str, bound: str, addr: dict[str, str], endpoints: Iterable[dict[str, Any]]
) -> Iterator[list[Cell]]:
    """Of a balancer in /bindings.json; `path` and `bound` are cut."""
    is_empty = True
    for endpoint in endpoints:
        is_empty = False
        yield [path, bound, *endpoint_cells(endpoint)]
    if is_empty:
        words = "no endpoint" if addr["type"] == "bound" else addr["type"]
        state = state_cell(words, WARN if addr["type"] == "bound" else _ADDR_STATES[addr["type"]])
        yield [path, bound, NOTHING, state, *[NOTHING] * 5, cut(addr.get("cause", NOTHING)), NOTHING]


def endpoint_cells(endpoint: dict[str, Any]) -> list[Cell]:
    state = endpoint["state"]
    shown = state_cell(state, _ENDPOINT_STATES[state])
    if endpoint["drained"]:
        shown = state_cell("drained" if state == "available" else f"{state}, drained", OFF)
    since = endpoint["failedSince"]
    return [
        endpoint["address"],
        shown,
        f"{endpoint['weight']:g}",
        number(endpoint["open"]),
        number(endpoint["pending"]),
        number(endpoint["connects"]),
        number(endpoint["failures"]),
        cut(endpoint["lastError"] or NOTHING),
        NOTHING if since is None else ago(since),
    ]


NAMER_COLUMNS: Final = (
    ("Namer", TEXT), ("Name", TEXT), ("State", SHORT), ("Addresses", NUMBER), ("Value", LONG),
    ("Last good", SHORT), ("Error", LONG), ("Next attempt", SHORT),
)  # fmt: skip


def _namers(namers: Iterable[Discovery]) -> Iterator[list[Cell]]:
    for namer in list(namers):
        prefix = cut(shown_prefix(namer))
        asked = False
        for watch in namer.watches():
            asked = True
            yield [prefix, *watch_cells(watch_json(watch))]
        if not asked:
            yield unwatched_row(prefix, namer.kind)


def unwatched_row(prefix: str, kind: str) -> list[Cell]:
    """Of a namer that was asked for nothing yet; `prefix` is cut."""
    return [prefix, cut(kind), "nothing asked for yet", *[NOTHING] * 5]


def watch_cells(watch: dict[str, Any]) -> list[Cell]:
    """Of a watch in /namers.json."""
    stale = watch["error"] is not None
    words = f"{watch['state']}, stale" if stale and watch["state"] == "bound" else cut(watch["state"])
    good_at, next_at = watch["lastGoodAt"], watch["nextAttemptAt"]
    return [
        cut(watch["name"]),
        state_cell(words, BAD if stale else _ADDR_STATES.get(watch["state"], OFF)),
        number(watch["addresses"]),
        cut(", ".join(watch["value"]) or NOTHING),
        NOTHING if good_at is None else ago(good_at),
        cut(watch["error"] or NOTHING),
        NOTHING if next_at is None else ahead(next_at),
    ]


def state_cell(text: str, state: str) -> Cell:
    return {"text": text, "state": state}


def number(number: int) -> str:
    return f"{number:,}"


def cut(text: str) -> str:
    """At most MOST_CHARS of `text`, what cannot be seen escaped: direction marks and controls of strangers' names."""
    short = text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…"
    if short.isprintable():
        return short
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in short)

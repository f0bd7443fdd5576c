"""What the first page shows, as tables of text: the template draws them once, the page's script keeps them current.

Long lists are cut: the JSON paths have all of it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from time import time
from typing import Any, Final, TypeAlias

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.names import addr_state, value_json
from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.naming.addr import Bound
from linkerd_tcp.naming.namer import Discovery, WatchState, shown_prefix
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

_GOOD, _WARN, _BAD, _OFF = "good", "warn", "bad", "off"
_ENDPOINT_STATES: Final = {"available": _GOOD, "failed": _BAD, "retired": _OFF}
_ADDR_STATES: Final = {"bound": _GOOD, "neg": _WARN, "pending": _WARN, "failed": _BAD}


def overview(app: Controls) -> dict[str, Any]:
    """The page's contents. To be called in a greenlet."""
    is_ready, remarks = app.ready
    turns = Turns()
    return {
        "status": _status(app, is_ready),
        "remarks": [_cut(remark) for remark in remarks[:10]],
        "tables": [
            _table("routers", "Routers", ROUTER_COLUMNS, _routers(app.routers.values()), turns),
            _table("servers", "Servers", SERVER_COLUMNS, map(_server, app.servers), turns),
            _table("endpoints", "Bindings and endpoints", ENDPOINT_COLUMNS, _endpoints(app.routers.values()), turns),
            _table("namers", "Namers", NAMER_COLUMNS, _namers(app.namers), turns),
        ],
    }


def _status(app: Controls, is_ready: bool) -> list[Cell]:
    reload_state: list[Cell] = []
    if not app.last_reload_ok:
        reload_state = [_state("last reload refused: the configuration before it goes on", _BAD)]
    return [
        _state("ready", _GOOD) if is_ready else _state("not ready", _WARN),
        f"{len(app.book.open):,} open connections",
        f"up {age(time() - app.started_at)}",
        *([_state("read only", _OFF)] if app.config.admin.read_only else []),
        *reload_state,
    ]


def _table(
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


_TEXT, _LONG, _SHORT, _NUMBER = "text", "long", "short", "number"
"""Kinds of columns: what may be wrapped, what needs room, what may not be wrapped, what is aligned on the right."""

ROUTER_COLUMNS: Final = (
    ("Router", _SHORT), ("Servers", _NUMBER), ("Paths bound", _NUMBER), ("Found", _NUMBER), ("Created", _NUMBER),
    ("Errors", _NUMBER),
)  # fmt: skip


def _routers(routers: Iterable[Router]) -> Iterator[list[Cell]]:
    for router in list(routers):
        figures = router.figures
        yield [
            _cut(router.label),
            _number(len(router.config.servers)),
            _number(sum(route.is_bound for route in router.routes())),
            _number(figures.found),
            _number(figures.created),
            _number(sum(figures.errors.values())),
        ]


SERVER_COLUMNS: Final = (
    ("Address", _SHORT), ("Router", _SHORT), ("Destination", _TEXT), ("Active", _NUMBER), ("Waiting", _NUMBER),
    ("Accepts", _NUMBER), ("Failures", _NUMBER), ("Failures by cause", _TEXT),
)  # fmt: skip


def _server(server: Server) -> list[Cell]:
    figures = server.figures
    causes = sorted(figures.failures.items(), key=lambda item: -item[1])
    return [
        server.label,
        _cut(server.router.label),
        _cut(str(server.config.dst_name or server.config.identifier_config().kind)),
        _number(figures.active),
        _number(figures.waiting),
        _number(figures.accepts),
        _number(sum(figures.failures.values())),
        ", ".join(f"{cause} {times:,}" for cause, times in causes) or NOTHING,
    ]


ENDPOINT_COLUMNS: Final = (
    ("Path", _TEXT), ("Bound to", _TEXT), ("Endpoint", _SHORT), ("State", _SHORT), ("Weight", _NUMBER),
    ("Open", _NUMBER), ("Pending", _NUMBER), ("Connects", _NUMBER), ("Failures", _NUMBER), ("Last error", _LONG),
    ("Failed since", _SHORT),
)  # fmt: skip


def _endpoints(routers: Iterable[Router]) -> Iterator[list[Cell]]:
    for router in list(routers):
        for route in router.routes():
            yield from _route(route)


def _route(route: Route) -> Iterator[list[Cell]]:
    path = _cut(str(route.path))
    if not route.is_bound:
        state = type(route.tree).__name__.lower().removesuffix("tree")
        yield [path, NOTHING, NOTHING, _state(state, _ADDR_STATES.get(state, _WARN)), *[NOTHING] * 7]
    for balancer in dict.fromkeys(route.balancers.values()):
        yield from _balancer(path, balancer)


def _balancer(path: str, balancer: Balancer) -> Iterator[list[Cell]]:
    bound = _cut(str(balancer.bound))
    endpoints = balancer.endpoints_json()
    if not endpoints:
        addr = addr_state(balancer.addr)
        words = "no endpoint" if addr["type"] == "bound" else addr["type"]
        state = _state(words, _WARN if addr["type"] == "bound" else _ADDR_STATES[addr["type"]])
        yield [path, bound, NOTHING, state, *[NOTHING] * 5, _cut(addr.get("cause", NOTHING)), NOTHING]
    # In discovery's order, those it names no more last: a row must not move because its endpoint failed.
    listed = balancer.addr.addresses if isinstance(balancer.addr, Bound) else ()
    places = {str(address): place for place, address in enumerate(listed)}
    for endpoint in sorted(endpoints, key=lambda each: places.get(each["address"], len(places))):
        yield [path, bound, *_endpoint(endpoint)]


def _endpoint(endpoint: dict[str, Any]) -> list[Cell]:
    state = endpoint["state"]
    shown = _state(state, _ENDPOINT_STATES[state])
    if endpoint["drained"]:
        shown = _state("drained" if state == "available" else f"{state}, drained", _OFF)
    since = endpoint["failedSince"]
    return [
        endpoint["address"],
        shown,
        f"{endpoint['weight']:g}",
        _number(endpoint["open"]),
        _number(endpoint["pending"]),
        _number(endpoint["connects"]),
        _number(endpoint["failures"]),
        _cut(endpoint["lastError"] or NOTHING),
        NOTHING if since is None else ago(since),
    ]


NAMER_COLUMNS: Final = (
    ("Namer", _TEXT), ("Name", _TEXT), ("State", _SHORT), ("Addresses", _NUMBER), ("Value", _LONG),
    ("Last good", _SHORT), ("Error", _LONG), ("Next attempt", _SHORT),
)  # fmt: skip


def _namers(namers: Iterable[Discovery]) -> Iterator[list[Cell]]:
    for namer in list(namers):
        prefix = _cut(shown_prefix(namer))
        asked = False
        for watch in namer.watches():
            asked = True
            yield [prefix, *_watch(watch)]
        if not asked:
            yield [prefix, _cut(namer.kind), "nothing asked for yet", *[NOTHING] * 5]


def _watch(watch: WatchState) -> list[Cell]:
    stale = watch.is_stale
    words = f"{watch.state}, stale" if stale and watch.state == "bound" else _cut(watch.state)
    return [
        _cut(watch.name),
        _state(words, _BAD if stale else _ADDR_STATES.get(watch.state, _OFF)),
        _number(watch.addresses),
        _cut(", ".join(value_json(watch)) or NOTHING),
        NOTHING if watch.last_good_at is None else ago(watch.last_good_at),
        _cut(watch.error or NOTHING),
        NOTHING if watch.next_attempt_at is None else ahead(watch.next_attempt_at),
    ]


def _state(text: str, state: str) -> Cell:
    return {"text": text, "state": state}


def _number(number: int) -> str:
    return f"{number:,}"


def _cut(text: str) -> str:
    """At most MOST_CHARS of `text`, what cannot be seen escaped: direction marks and controls of strangers' names."""
    short = text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…"
    if short.isprintable():
        return short
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in short)

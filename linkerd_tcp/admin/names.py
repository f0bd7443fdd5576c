"""/bindings.json and /namers.json, piece by piece."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.naming.addr import Addr, Bound, Failed
from linkerd_tcp.naming.delegate import binding_json
from linkerd_tcp.naming.namer import Discovery, WatchState
from linkerd_tcp.router import Route, Router
from linkerd_tcp.web.streams import array, dump_pieces, dumps, rows

MOST_VALUES: Final = 20
"""Addresses shown of one watch; `addresses` is how many there are."""


def bindings(app: Controls) -> Iterator[str]:
    """Each path that is kept, with its tree and balancers."""
    yield '{"routers": '
    yield from array(_router(label, router) for label, router in list(app.routers.items()))
    yield "}\n"


def binding_lines(app: Controls) -> Iterator[str]:
    """The same in lines, to be put together: a word and JSON. `router` and its label; for each binding `path`, `tree`,
    and for each of its balancers `balancer` with `bound` and `addr`, and a line for each `endpoint`.
    """
    for label, router in list(app.routers.items()):
        yield f"router {dumps(label)}\n"
        for route in list(router.routes()):
            yield f"path {dumps(str(route.path))}\ntree "
            yield from dump_pieces(binding_json(route.tree))
            yield "\n"
            for balancer in dict.fromkeys(route.balancers.values()):
                yield f"balancer {dumps({'bound': str(balancer.bound), 'addr': addr_state(balancer.addr)})}\n"
                yield from (f"endpoint {dumps(endpoint)}\n" for endpoint in balancer.endpoint_rows())


def _router(label: str, router: Router) -> Iterator[str]:
    yield f'{{"label": {dumps(label)}, "bindings": '
    yield from array(map(_route, list(router.routes())))
    yield "}"


def _route(route: Route) -> Iterator[str]:
    yield f'{{"path": {dumps(str(route.path))}, "tree": '
    yield from dump_pieces(binding_json(route.tree))
    yield ', "balancers": '
    # Two leaves of a tree may lead to one balancer.
    yield from array(map(_balancer, dict.fromkeys(route.balancers.values())))
    yield "}"


def _balancer(balancer: Balancer) -> Iterator[str]:
    yield f'{{"bound": {dumps(str(balancer.bound))}, "addr": {dumps(addr_state(balancer.addr))}, "endpoints": '
    yield from rows(balancer.endpoint_rows())
    yield "}"


def addr_state(addr: Addr) -> dict[str, str]:
    """`{"type": "bound"}`, and the cause of a failure."""
    state = {"type": type(addr).__name__.lower()}
    if isinstance(addr, Failed):
        state["cause"] = addr.cause
    return state


def namers(app: Controls) -> Iterator[str]:
    """Each namer with what it watches."""
    yield '{"namers": '
    yield from array(map(_namer, list(app.namers)))
    yield "}\n"


def namer_lines(discoveries: Iterable[Discovery]) -> Iterator[str]:
    """The same in lines, to be put together: `["prefix", "kind"]` for each, `{...}` for each of its watches."""
    for namer in list(discoveries):
        yield f"{dumps([str(namer.prefix), namer.kind])}\n"
        for watch in namer.watches():
            yield f"{dumps(watch_json(watch))}\n"


def _namer(namer: Discovery) -> Iterator[str]:
    yield f'{{"prefix": {dumps(str(namer.prefix))}, "kind": {dumps(namer.kind)}, "watches": '
    yield from rows(map(watch_json, namer.watches()))
    yield "}"


def watch_json(watch: WatchState) -> dict[str, Any]:
    """A row of /namers.json."""
    return {
        "name": watch.name,
        "state": watch.state,
        "addresses": watch.addresses,
        "value": value_json(watch),
        "lastGoodAt": watch.last_good_at,
        "error": watch.error,
        "errorAt": watch.error_at,
        "nextAttemptAt": watch.next_attempt_at,
    }


def value_json(watch: WatchState) -> list[str]:
    """`["127.0.0.1:80", ...]`: the first MOST_VALUES addresses, or the few words that a watch of another kind has."""
    match watch.value:
        case Bound(addresses=addresses):
            return list(map(str, islice(addresses, MOST_VALUES)))
        case str() as words:
            return [words]
        case _:
            return []

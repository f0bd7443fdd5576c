"""The figures and states of this process at one moment (`dashboard.frame`), read from the program's own objects.

Everything is walked in short turns, so "one moment" is some milliseconds of it. What a counter says is never less than
what it said before, all the same: see `destinations.Bytes`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Any

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.destinations import Bytes, causes, read_routers
from linkerd_tcp.admin.names import watch_json
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.dashboard import frame as shapes
from linkerd_tcp.naming.namer import Discovery, WatchState, shown_prefix
from linkerd_tcp.net.descriptors import DESCRIPTORS_PER_CONNECTION
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.server import Server
from linkerd_tcp.transition import Reloaded
from linkerd_tcp.web.streams import dumps

if TYPE_CHECKING:
    from linkerd_tcp.net.keys import Identity


def read_frame(app: Controls) -> shapes.Frame:
    """To be called in a greenlet."""
    turns = Turns()
    is_ready, remarks = app.ready
    count = Bytes(app)
    routers = read_routers(app.routers, count, turns)
    for router in routers:
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
        "reload": reload_json(app.last_reload),
        "descriptors": app.capacity.used * DESCRIPTORS_PER_CONNECTION,
        "mostDescriptors": app.capacity.most * DESCRIPTORS_PER_CONNECTION,
        "routers": routers,
        "namers": read_namers(app.namers, turns),
        "certificates": [
            *(one for server in app.servers for one in _of_server(server)),
            *certificates("admin", app.admin_identities),
        ],
        "workers": [_this_process(app, is_ready)],
        "drains": [
            {"bound": bound, "address": address, "since": drain.since, "by": drain.by}
            for (bound, address), drain in islice(app.drained.items(), shapes.MOST_DRAINS)
        ],
        "moreDrains": max(0, len(app.drained) - shapes.MOST_DRAINS),
        "history": history,
    }


def frame_lines(app: Controls, known_until: int) -> Iterator[str]:
    """A frame for whoever adds several up: an object with one key a line, `head` for all that is no list. The history
    is left out where its asker knows it already.
    """
    frame = read_frame(app)
    history = frame["history"]
    lists = ("routers", "namers", "history")
    yield _line("head", {key: value for key, value in frame.items() if key not in lists})
    for router in frame["routers"]:
        yield _line("router", {key: value for key, value in router.items() if key != "destinations"})
        yield from (_line("destination", destination) for destination in router["destinations"])
    yield from (_line("namer", namer) for namer in frame["namers"])
    if history["until"] != known_until:
        yield _line("history", {key: value for key, value in history.items() if key != "destinations"})
        yield from (_line("series", each) for each in history["destinations"].items())


def _line(word: str, value: object) -> str:
    return dumps({word: value}) + "\n"


def reload_json(reloaded: Reloaded) -> shapes.Reload:
    return {"ok": reloaded.ok, "at": reloaded.at, "errors": list(reloaded.errors)}


def _this_process(app: Controls, is_ready: bool) -> shapes.Worker:
    return {
        "worker": app.book.worker,
        "pid": os.getpid(),
        "state": "serving" if is_ready else "leaving",
        "startedAt": app.started_at,
        "restarts": 0,
        "connections": len(app.book.open),
        "answers": True,
        "why": None,
    }


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
        "failures": causes(figures.failures),
        "tlsFailures": dict(figures.tls_failures),
        "latency": list(figures.connect_latency.counts),
        "rxBytes": rx,
        "txBytes": tx,
    }


def _names(config: ServerConfig) -> str:
    return str(config.dst_name) if config.identifier is None else str(config.identifier.kind)


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


def _of_server(server: Server) -> Iterator[shapes.Certificate]:
    identities = {} if server.terminator is None else server.terminator.identities
    return certificates(f"server {server.label}", identities)


def certificates(where: str, identities: "Mapping[str, Identity]") -> Iterator[shapes.Certificate]:
    for name, identity in identities.items():
        names = identity.sans
        yield {
            "where": where,
            "identity": name,
            "subject": identity.subject,
            "names": list(names[: shapes.MOST_PATHS]),
            "moreNames": max(0, len(names) - shapes.MOST_PATHS),
            "notAfter": identity.not_after.timestamp(),
        }

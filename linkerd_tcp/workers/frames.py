"""One frame of several workers' frames. Pure, but for the turns that the caller takes: `rest` is called between steps.

On the wire a frame is lines of JSON, an object with one key each, so that no line is long.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from linkerd_tcp.dashboard import frame as shapes
from linkerd_tcp.dashboard.together import (
    buckets_together,
    causes_together,
    destinations_together,
    is_troubled,
    is_troubled_destination,
)
from linkerd_tcp.workers.merge import badness

Rest = Callable[[], object]


class Heard(NamedTuple):
    """What one worker says; `history` is None where there is nothing new."""

    frame: shapes.Frame
    history: shapes.History | None


def read_lines(lines: Iterable[bytes]) -> Heard:
    """Of `admin.private.frame_lines`."""
    frame: Any = {"routers": [], "namers": []}
    history: Any = None
    for line in lines:
        ((word, value),) = json.loads(line).items()
        match word:
            case "head":
                frame |= value
            case "router":
                frame["routers"].append({**value, "destinations": []})
            case "destination":
                frame["routers"][-1]["destinations"].append(value)
            case "namer":
                frame["namers"].append(value)
            case "history":
                history = {**value, "destinations": {}}
            case "series":
                key, series = value
                history["destinations"][key] = series
    return Heard(frame, history)


# -- routers


def merge_routers(frames: Sequence[shapes.Frame], now: float, rest: Rest) -> list[shapes.Router]:
    """In the order of the first; `now` is seconds since the epoch."""
    found: dict[str, list[shapes.Router]] = {}
    for frame in frames:
        for router in frame["routers"]:
            found.setdefault(router["label"], []).append(router)
    room = _Room(now)
    return [_router(several, room, rest) for several in found.values()]


class _Room:
    """As when one process chooses what to show. What one of them shows, of the first by name, all of them show."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.destinations = shapes.MOST_DESTINATIONS
        self.endpoints = shapes.MOST_ENDPOINTS
        self.troubled_destinations = self.troubled_endpoints = shapes.MOST_TROUBLED

    def take(self, row: shapes.Destination) -> bool:
        if self.destinations:
            self.destinations -= 1
        elif self.troubled_destinations and is_troubled_destination(row, self.now):
            self.troubled_destinations -= 1
        else:
            return False
        return True

    def cut(self, row: shapes.Destination) -> shapes.Destination:
        most = min(self.endpoints, shapes.MOST_OF_ONE)
        kept = row["endpoints"][:most]
        self.endpoints -= len(kept)
        for endpoint in row["endpoints"][most:]:
            if self.troubled_endpoints and is_troubled(endpoint, self.now):
                self.troubled_endpoints -= 1
                kept.append(endpoint)
        row["moreEndpoints"] += len(row["endpoints"]) - len(kept)
        row["endpoints"] = kept
        return row


def _router(several: Sequence[shapes.Router], room: _Room, rest: Rest) -> shapes.Router:
    named: dict[str, list[shapes.Destination]] = {}
    for router in several:
        for destination in router["destinations"]:
            named.setdefault(destination["bound"], []).append(destination)
    shown: list[shapes.Destination] = []
    for bound in sorted(named):
        rest()
        row = destinations_together(named[bound])
        if room.take(row):
            shown.append(room.cut(row))
    unbound = list({each["path"]: each for router in several for each in router["unbound"]}.values())
    all_destinations = max(len(router["destinations"]) + router["moreDestinations"] for router in several)
    all_unbound = max(len(router["unbound"]) + router["moreUnbound"] for router in several)
    return {
        "label": several[0]["label"],
        "servers": _servers(several),
        "destinations": shown,
        "moreDestinations": max(len(named), all_destinations) - len(shown),
        "unbound": unbound[: shapes.MOST_PATHS],
        "moreUnbound": max(len(unbound), all_unbound) - min(len(unbound), shapes.MOST_PATHS),
        "errors": causes_together(router["errors"] for router in several),
    }


def _servers(several: Iterable[shapes.Router]) -> list[shapes.Server]:
    """By address: all workers listen on it."""
    found: dict[str, list[shapes.Server]] = {}
    for router in several:
        for server in router["servers"]:
            found.setdefault(server["address"], []).append(server)
    return [_server(each) for each in found.values()]


def _server(several: Sequence[shapes.Server]) -> shapes.Server:
    return {
        "address": several[0]["address"],
        "names": several[0]["names"],
        "tls": several[0]["tls"],
        "active": sum(each["active"] for each in several),
        "waiting": sum(each["waiting"] for each in several),
        "most": sum(each["most"] for each in several),
        "accepts": sum(each["accepts"] for each in several),
        "failures": causes_together(each["failures"] for each in several),
        "tlsFailures": causes_together(each["tlsFailures"] for each in several),
        "latency": buckets_together(each["latency"] for each in several),
        "rxBytes": sum(each["rxBytes"] for each in several),
        "txBytes": sum(each["txBytes"] for each in several),
    }


# -- the rest


def merge_namers(several: Iterable[Sequence[shapes.Namer]], rest: Rest) -> list[shapes.Namer]:
    """By prefix, kind and place among those that have both alike."""
    found: dict[tuple[str, str, int], list[shapes.Namer]] = {}
    for namers in several:
        seen: dict[tuple[str, str], int] = {}
        for namer in namers:
            alike = (namer["prefix"], namer["kind"])
            seen[alike] = seen.get(alike, -1) + 1
            found.setdefault((*alike, seen[alike]), []).append(namer)
    room = [shapes.MOST_WATCHES, shapes.MOST_TROUBLED]
    return [_namer(each, room, rest) for each in found.values()]


def _namer(several: Sequence[shapes.Namer], room: list[int], rest: Rest) -> shapes.Namer:
    """Of a name that several watch, the row of the one that is worst off. `room` is for watches, and besides for stale
    ones.
    """
    named: dict[str, shapes.Watch] = {}
    for namer in several:
        for watch in namer["watches"]:
            rest()
            before = named.get(watch["name"])
            if before is None or badness(watch) > badness(before):
                named[watch["name"]] = watch
    shown: list[shapes.Watch] = []
    for watch in named.values():
        which = 0 if room[0] else 1
        if room[which] and (which == 0 or watch["stale"]):
            room[which] -= 1
            shown.append(watch)
    all_watches = max(len(each["watches"]) + each["moreWatches"] for each in several)
    stale = max(sum(watch["stale"] for watch in named.values()), *(each["stale"] for each in several))
    return {
        "prefix": several[0]["prefix"],
        "kind": several[0]["kind"],
        "watches": shown,
        "moreWatches": max(len(named), all_watches) - len(shown),
        "stale": stale,
        "errors": causes_together(each["errors"] for each in several),
    }


def merge_certificates(several: Iterable[Sequence[shapes.Certificate]]) -> list[shapes.Certificate]:
    """One of each; where they differ, that which ends first: a worker may be a moment behind another."""
    found: dict[tuple[str, str], shapes.Certificate] = {}
    for certificates in several:
        for each in certificates:
            before = found.setdefault((each["where"], each["identity"]), each)
            if each["notAfter"] < before["notAfter"]:
                found[each["where"], each["identity"]] = each
    return list(found.values())


def merge_drains(frames: Sequence[shapes.Frame]) -> tuple[list[shapes.Drain], int]:
    """With how many more there are."""
    found: dict[tuple[str, str], shapes.Drain] = {}
    for frame in frames:
        for each in frame["drains"]:
            before = found.setdefault((each["bound"], each["address"]), each)
            if each["since"] < before["since"]:
                found[each["bound"], each["address"]] = each
    drains = list(found.values())[: shapes.MOST_DRAINS]
    total = max((len(frame["drains"]) + frame["moreDrains"] for frame in frames), default=0)
    return drains, max(len(found), total) - len(drains)


def least_room(frames: Iterable[shapes.Frame]) -> tuple[int, int]:
    """Descriptors used, and at most, of the worker that has the smallest part left."""
    pairs = ((frame["descriptors"], frame["mostDescriptors"]) for frame in frames)
    return max(pairs, key=lambda pair: pair[0] / max(pair[1], 1), default=(0, 0))

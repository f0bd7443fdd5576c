"""Shapes of one thing that several have, put together: of several workers, or of several balancers of one name. Pure.

What is counted is added. Where they contradict one another, the worse is shown, so that nothing that is wrong anywhere
is hidden.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from linkerd_tcp.dashboard.frame import MOST_PATHS, Destination, Endpoint

TROUBLE_SECS: Final = 300.0
"""For how long an endpoint is in trouble after its last error."""

STATES: Final = ("failed", "available", "retired")
"""Of an endpoint, the one that counts most first."""

_ADDRS: Final = ("bound", "neg", "failed", "pending")
"""What is known goes before what is not yet."""


def is_troubled(endpoint: Endpoint, now: float) -> bool:
    """Whether it is shown however many there are; `now` is seconds since the epoch."""
    error_at = endpoint["lastErrorAt"]
    return (
        endpoint["state"] == "failed" or endpoint["drained"] or (error_at is not None and error_at > now - TROUBLE_SECS)
    )


def is_troubled_destination(row: Destination, now: float) -> bool:
    is_bound = row["addr"]["type"] == "bound"
    return not row["available"] or not is_bound or any(is_troubled(each, now) for each in row["endpoints"])


def endpoints_together(several: Sequence[Endpoint]) -> Endpoint:
    """One address: it is failed where anybody says so, since the oldest of those; its next try is the soonest."""
    first = several[0]
    if len(several) == 1:
        return first
    newest = max(several, key=lambda each: each["lastErrorAt"] or 0.0)
    return {
        "address": first["address"],
        "state": min((each["state"] for each in several), key=STATES.index),
        "weight": first["weight"],
        "open": sum(each["open"] for each in several),
        "pending": sum(each["pending"] for each in several),
        "consecutiveFailures": max(each["consecutiveFailures"] for each in several),
        "connects": sum(each["connects"] for each in several),
        "failures": sum(each["failures"] for each in several),
        "lastError": newest["lastError"],
        "lastErrorAt": newest["lastErrorAt"],
        "failedSince": _soonest(each["failedSince"] for each in several),
        "drained": any(each["drained"] for each in several),
        "nextTryAt": _soonest(each["nextTryAt"] for each in several),
        "probing": any(each["probing"] for each in several),
        "ejections": sum(each["ejections"] for each in several),
        "rxBytes": sum(each["rxBytes"] for each in several),
        "txBytes": sum(each["txBytes"] for each in several),
    }


def _soonest(times: Iterable[float | None]) -> float | None:
    return min((at for at in times if at is not None), default=None)


def destinations_together(several: Sequence[Destination]) -> Destination:
    """One bound name in one router."""
    first = several[0]
    if len(several) == 1:
        return first
    paths = list(dict.fromkeys(path for each in several for path in each["paths"]))
    most_paths = max(len(each["paths"]) + each["morePaths"] for each in several)
    endpoints = _rows(several)
    more = max(0, max(_size(each) for each in several) - len(endpoints))
    failed = max(_count(endpoints, "failed"), *(each["failed"] for each in several))
    retired = max(_count(endpoints, "retired"), *(each["retired"] for each in several))
    known = max(
        len(endpoints) - _count(endpoints, "retired"), *(each["available"] + each["failed"] for each in several)
    )
    return {
        "bound": first["bound"],
        "paths": paths[:MOST_PATHS],
        "morePaths": max(len(paths), most_paths) - len(paths[:MOST_PATHS]),
        "addr": min((each["addr"] for each in several), key=lambda addr: _ADDRS.index(addr["type"])),
        "available": max(0, known - failed),
        "failed": failed,
        "retired": retired,
        "drained": max(
            sum(each["drained"] and each["state"] != "retired" for each in endpoints),
            *(each["drained"] for each in several),
        ),
        "open": sum(each["open"] for each in several),
        "pending": sum(each["pending"] for each in several),
        "waiters": sum(each["waiters"] for each in several),
        "attempts": sum(each["attempts"] for each in several),
        "connects": sum(each["connects"] for each in several),
        "failures": causes_together(each["failures"] for each in several),
        "unavailable": sum(each["unavailable"] for each in several),
        "ejections": sum(each["ejections"] for each in several),
        "revivals": sum(each["revivals"] for each in several),
        "latency": buckets_together(each["latency"] for each in several),
        "rxBytes": sum(each["rxBytes"] for each in several),
        "txBytes": sum(each["txBytes"] for each in several),
        "endpoints": endpoints,
        "moreEndpoints": more,
    }


def _size(row: Destination) -> int:
    return len(row["endpoints"]) + row["moreEndpoints"]


def _count(endpoints: Iterable[Endpoint], state: str) -> int:
    return sum(each["state"] == state for each in endpoints)


def _rows(several: Iterable[Destination]) -> list[Endpoint]:
    """In the order of the first; what it has not is where the others have it, which nothing says better."""
    found: dict[str, list[Endpoint]] = {}
    for each in several:
        for endpoint in each["endpoints"]:
            found.setdefault(endpoint["address"], []).append(endpoint)
    rows = list(map(endpoints_together, found.values()))
    return sorted(rows, key=lambda row: row["state"] == "retired")


def causes_together(tables: Iterable[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in tables:
        for cause, times in table.items():
            found[cause] = found.get(cause, 0) + times
    return found


def buckets_together(several: Iterable[Sequence[int]]) -> list[int]:
    """Of one kind of histogram. One that says nothing has no buckets."""
    return [sum(bucket) for bucket in zip(*filter(None, several), strict=True)]

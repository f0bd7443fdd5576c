"""Frames as the program makes them, with what a test is about put in."""

from typing import Any

from linkerd_tcp.dashboard.frame import Certificate, Destination, Endpoint, Frame, Namer, Router, Series, Server, Worker

NOW = 1_769_825_621.0
"""2026-01-31T02:13:41Z"""

STARTED = NOW - 7_200

HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b[31m\udcff\"'&{{7*7}}"
"""Markup, a direction mark, a terminal's escape and what UTF-8 cannot hold."""

WEB = "/#/io.l5d.fs/web"


def endpoint(address: str = "10.0.0.1:8080", **more: Any) -> Endpoint:
    made: Endpoint = {
        "address": address, "state": "available", "weight": 1.0, "open": 0, "pending": 0, "consecutiveFailures": 0,
        "connects": 0, "failures": 0, "lastError": None, "lastErrorAt": None, "failedSince": None, "drained": False,
        "nextTryAt": None, "probing": False, "ejections": 0, "rxBytes": 0, "txBytes": 0,
    }  # fmt: skip
    return made | more  # type: ignore[return-value]


def failed(address: str = "10.0.0.3:8080", **more: Any) -> Endpoint:
    """Four minutes ago, to be tried again in 41 seconds."""
    made = endpoint(
        address, state="failed", consecutiveFailures=5, failures=5, lastError=f"{address}: connection refused",
        lastErrorAt=NOW - 19, failedSince=NOW - 240, nextTryAt=NOW + 41, ejections=1,
    )  # fmt: skip
    return made | more  # type: ignore[return-value]


def destination(*endpoints: Endpoint, bound: str = WEB, **more: Any) -> Destination:
    states = [one["state"] for one in endpoints]
    made: Destination = {
        "bound": bound, "paths": ["/svc/web"], "morePaths": 0, "addr": {"type": "bound"},
        "available": states.count("available"), "failed": states.count("failed"), "retired": states.count("retired"),
        "drained": sum(one["drained"] for one in endpoints), "open": sum(one["open"] for one in endpoints),
        "pending": sum(one["pending"] for one in endpoints), "waiters": 0,
        "attempts": sum(one["connects"] + one["failures"] for one in endpoints),
        "connects": sum(one["connects"] for one in endpoints), "failures": {}, "unavailable": 0, "ejections": 0,
        "revivals": 0, "latency": [0] * 17, "rxBytes": 0, "txBytes": 0, "endpoints": list(endpoints),
        "moreEndpoints": 0,
    }  # fmt: skip
    return made | more  # type: ignore[return-value]


def server(address: str = "127.0.0.1:7474", **more: Any) -> Server:
    made: Server = {
        "address": address, "names": "/svc/web", "tls": False, "active": 0, "waiting": 0, "most": 100_000, "accepts": 0,
        "failures": {}, "tlsFailures": {}, "latency": [0] * 17, "rxBytes": 0, "txBytes": 0,
    }  # fmt: skip
    return made | more  # type: ignore[return-value]


def router(*destinations: Destination, **more: Any) -> Router:
    made: Router = {
        "label": "default", "servers": [server()], "destinations": list(destinations), "moreDestinations": 0,
        "unbound": [], "moreUnbound": 0, "errors": {},
    }  # fmt: skip
    return made | more  # type: ignore[return-value]


def series(**more: Any) -> Series:
    made: Series = {"open": [], "accepts": [], "failures": [], "rx": [], "tx": [], "latency": [0] * 17}
    return made | more  # type: ignore[return-value]


def worker(number: int = 0, **more: Any) -> Worker:
    made: Worker = {
        "worker": number, "pid": 4_000 + number, "state": "serving", "startedAt": STARTED, "restarts": 0,
        "connections": 0, "answers": True, "why": None,
    }  # fmt: skip
    return made | more  # type: ignore[return-value]


def namer(**watch: Any) -> Namer:
    """With one watch."""
    row: Any = {
        "name": "/web", "state": "bound", "addresses": 3, "value": ["10.0.0.1:8080"], "lastGoodAt": NOW - 720,
        "error": None, "errorAt": None, "nextAttemptAt": None, "stale": False,
    } | watch  # fmt: skip
    return {
        "prefix": "/#/io.l5d.fs", "kind": "io.l5d.fs", "watches": [row], "moreWatches": 0, "stale": int(row["stale"]),
        "errors": {},
    }  # fmt: skip


def certificate(days: float, **more: Any) -> Certificate:
    made: Certificate = {
        "where": "server 127.0.0.1:7474", "identity": "www.example.com", "subject": "CN=www",
        "names": ["DNS:www.example.com"], "moreNames": 0, "notAfter": NOW + days * 86_400,
    }  # fmt: skip
    return made | more  # type: ignore[return-value]


def frame(*routers: Router, **more: Any) -> Frame:
    made: Frame = {
        "at": NOW, "startedAt": STARTED, "ready": True, "stopping": False, "remarks": [], "readOnly": False,
        "reload": {"ok": True, "at": STARTED, "errors": []}, "descriptors": 10, "mostDescriptors": 1_000,
        "routers": list(routers) or [router()], "namers": [], "certificates": [], "workers": [worker()], "drains": [],
        "moreDrains": 0, "history": {"until": int(NOW // 5), "total": series(), "destinations": {}},
    }  # fmt: skip
    return made | more  # type: ignore[return-value]

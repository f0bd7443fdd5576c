"""Routers, their servers, destinations and endpoints, as rows of the overview."""

from collections.abc import Callable
from typing import Final

from linkerd_tcp.dashboard.cells import (
    BAD,
    GOOD,
    NOTHING,
    OFF,
    WARN,
    Cell,
    Row,
    age,
    ago,
    causes,
    cut,
    mark,
    number,
    rate,
    size,
)
from linkerd_tcp.dashboard.frame import Destination, Drain, Endpoint, Frame, Router, Series, Server
from linkerd_tcp.dashboard.rates import (
    PerSecond,
    Rates,
    destination_key,
    endpoint_key,
    server_key,
    spread,
)
from linkerd_tcp.dashboard.spark import line
from linkerd_tcp.dashboard.trouble import (
    anchor,
    connections_link,
    delegator_link,
    destination_anchor,
    error_words,
    usable,
)

LEAST_OPEN: Final = 10.0
LEAST_FAILED: Final = 5.0
"""What the top of a destination's plot stands for at least."""

Drains = dict[tuple[str, str], Drain]


def router_row(router: Router, frame: Frame, rates: Rates, is_open: bool, rest: Callable[[], object]) -> Row:
    """`is_open`: there are few destinations, so that each shows its endpoints when it is first drawn."""
    label, drains = router["label"], {(each["bound"], each["address"]): each for each in frame["drains"]}
    destinations: list[Row] = []
    for destination in router["destinations"]:
        series = frame["history"]["destinations"].get(f"{label} {destination['bound']}")
        destinations.append(_destination(label, destination, series, rates, drains, frame["at"], is_open))
        rest()
    more = router["moreDestinations"]
    addresses = [server["address"] for server in router["servers"]]
    return {
        "key": anchor("router", label),
        "id": anchor("router", label),
        "label": cut(label),
        "servers": [_server(label, server, rates) for server in router["servers"]],
        "errors": _errors(router),
        "destinations": destinations,
        "more": f"and {more} more destinations: /bindings.json has all of them" if more else "",
        "empty": "" if destinations else "A destination appears here when the first connection for it arrives.",
        "listening": "" if destinations else f"Listening on {', '.join(addresses)}. To send one:",
        "paste": "" if destinations or not addresses else _paste(router["servers"][0]),
        "nothing": "hidden" if destinations else "",
    }


def _errors(router: Router) -> str:
    """Connections that were led to no destination."""
    total = sum(router["errors"].values())
    return f"Led nowhere since the start: {causes(router['errors'])}" if total else ""


def _paste(server: Server) -> str:
    """A line that makes a connection."""
    ip, _, port = server["address"].rpartition(":")
    ip = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(ip, ip)
    if server["tls"]:
        return f"openssl s_client -connect {ip}:{port}"
    return f"nc -v {ip.strip('[]')} {port}"


def _server(router: str, server: Server, rates: Rates) -> Row:
    per = rates.of(server_key(router, server["address"]))
    active, most = number(server["active"]), number(server["most"])
    row: Row = {
        "key": anchor("server", router, server["address"]),
        "id": anchor("server", router, server["address"]),
        "address": server["address"],
        "names": cut(server["names"]) + (", TLS" if server["tls"] else ""),
        "active": active,
        "most": f"of {most if isinstance(most, str) else most['text']}",
        "waiting": number(server["waiting"]),
        "failures": _failed(server),
        **_flow(per),
        "latency": spread(server["latency"]),
    }
    return row


def _failed(server: Server) -> Cell:
    words = _counted(server["failures"], server["tlsFailures"])
    return words if words == NOTHING else {"text": words, "href": connections_link(state="failed")}


def _counted(failures: dict[str, int], tls: dict[str, int]) -> str:
    words = causes(failures)
    return f"{words}; of TLS: {causes(tls)}" if any(tls.values()) else words


def _flow(per: PerSecond | None) -> Row:
    if per is None:
        return {"new": NOTHING, "failed": NOTHING, "rx": NOTHING, "tx": NOTHING}
    return {"new": rate(per.new), "failed": rate(per.failed), "rx": size(per.rx), "tx": size(per.tx)}


def _destination(
    router: str,
    destination: Destination,
    series: Series | None,
    rates: Rates,
    drains: Drains,
    now: float,
    is_open: bool,
) -> Row:
    bound = destination["bound"]
    per = rates.of(destination_key(router, bound))
    latency = [] if series is None else series["latency"]
    state = _state(destination)
    due = _weight_due(destination)
    open_, pending = number(destination["open"]), destination["pending"]
    return {
        "key": destination_anchor(router, bound),
        "id": destination_anchor(router, bound),
        "state": state,
        "bound": cut(bound),
        "exact": bound,
        "paths": _paths(destination),
        "delegator": {
            "text": "where its paths lead",
            "href": delegator_link(router, (destination["paths"] or [bound])[0]),
        },
        "open": open_,
        "pending": f"{pending} being made" if pending else "",
        **_flow(per),
        "causes": causes(per.causes) if per is not None and per.causes else "",
        "failures": causes(destination["failures"]),
        "ejections": number(destination["ejections"]),
        "latency": spread(latency),
        "line": "" if series is None else line(series["open"], LEAST_OPEN),
        "failed_line": "" if series is None else line(series["failures"], LEAST_FAILED),
        "endpoints": [
            _endpoint(router, destination, one, rates, per, due, drains.get((bound, one["address"])), now)
            for one in destination["endpoints"]
        ],
        "more": f"and {destination['moreEndpoints']} more endpoints, none in trouble: /bindings.json has all of them"
        if destination["moreEndpoints"]
        else "",
        "open_first": is_open or state["state"] != GOOD,
    }


def _state(destination: Destination) -> dict[str, str]:
    """`2 of 3 available`, without those that are drained; the word of the address where there are none."""
    known, left = destination["available"] + destination["failed"], usable(destination)
    if not known:
        words = {"neg": "no such name", "failed": "look-up failed", "pending": "not known yet"}
        kind = destination["addr"]["type"]
        return {"text": words.get(kind, "no endpoint"), "state": WARN if kind == "pending" else BAD}
    text = f"{left} of {known} available"
    if not left:
        return {"text": text, "state": BAD}
    return {"text": text, "state": WARN if destination["failed"] or destination["drained"] else GOOD}


def _paths(destination: Destination) -> str:
    more = f" and {destination['morePaths']} more" if destination["morePaths"] else ""
    return ", ".join(cut(path) for path in destination["paths"]) + more


def _weight_due(destination: Destination) -> float | None:
    """The weight that new connections are shared out by; None where not all endpoints are known here."""
    if destination["moreEndpoints"]:
        return None
    return sum(_due(one) for one in destination["endpoints"]) or None


def _due(endpoint: Endpoint) -> float:
    return endpoint["weight"] if endpoint["state"] == "available" and not endpoint["drained"] else 0.0


def _endpoint(
    router: str,
    destination: Destination,
    endpoint: Endpoint,
    rates: Rates,
    of_all: PerSecond | None,
    due: float | None,
    drain: Drain | None,
    now: float,
) -> Row:
    address, pending = endpoint["address"], endpoint["pending"]
    per = rates.of(endpoint_key(router, destination["bound"], address))
    state, note, next_ = standing(endpoint, drain, now)
    error_at = endpoint["lastErrorAt"]
    return {
        "key": address,
        "state": state,
        "note": note,
        "next": next_,
        "address": {"text": address, "href": connections_link(endpoint=address), "title": "its connections"},
        "weight": f"{endpoint['weight']:g}",
        "open": number(endpoint["open"]),
        "pending": f"+ {pending}" if pending else "",
        "share": _share(per, of_all),
        "due": "" if due is None else _due_share(_due(endpoint) / due),
        "new": NOTHING if per is None else rate(per.new),
        "rx": NOTHING if per is None else size(per.rx),
        "tx": NOTHING if per is None else size(per.tx),
        "failures": number(endpoint["failures"]),
        "ejections": _times(endpoint["ejections"], "ejection"),
        "error": error_words(endpoint) if endpoint["lastError"] else NOTHING,
        "error_at": ago(error_at, now) if error_at is not None else "",
        "action": "" if endpoint["state"] == "retired" else "Undo drain" if endpoint["drained"] else "Drain",
    }


def _share(per: PerSecond | None, of_all: PerSecond | None) -> Cell:
    """Of the new connections; of none there is no share."""
    if per is None or of_all is None or not of_all.new:
        return ""
    share = min(per.new / of_all.new, 1.0)
    return {"text": _percent(share), "value": share, "title": "of the new connections of the last seconds"}


def _due_share(share: float) -> Cell:
    return {"text": f"due {_percent(share)}", "title": "by its weight; those with less open get more for a while"}


def _percent(share: float) -> str:
    return f"{share * 100:.0f}\u202f%"


def _times(count: int, what: str) -> str:
    return "" if not count else f"1 {what}" if count == 1 else f"{count} {what}s"


def standing(endpoint: Endpoint, drain: Drain | None, now: float) -> tuple[Cell, str, str]:
    """A word, since when, and what comes next."""
    state, drained = endpoint["state"], endpoint["drained"]
    if state == "retired":
        return mark("retired", OFF, "discovery names it no more"), f"{endpoint['open']} still open", ""
    if state == "failed":
        since = endpoint["failedSince"]
        note = "" if since is None else f"for {age(now - since)}"
        if drained:
            return mark("failed, drained", OFF), note, ""
        if endpoint["probing"]:
            return mark("trying again", WARN, "one connection tries it now"), note, ""
        return mark("failed", BAD), note, _countdown(endpoint, now)
    if drained:
        return mark("drained", OFF), "" if drain is None else f"for {age(now - drain['since'])}", ""
    if endpoint["weight"] <= 0:
        return mark("weight 0", OFF, "discovery gives it no new connections"), "", ""
    return mark("available", GOOD), "", ""


def _countdown(endpoint: Endpoint, now: float) -> str:
    at = endpoint["nextTryAt"]
    if at is None or endpoint["weight"] <= 0:
        return ""
    return "next connection tries it" if at <= now else f"next try in {age(at - now + 0.999)}"

"""What needs attention, in sentences, the worst first. The order stays while things are as they are."""

from collections.abc import Iterator
from json import dumps
from typing import Any, Final

from linkerd_tcp.dashboard.cells import BAD, GOOD, OFF, WARN, Row, age, causes, cut, mark, number
from linkerd_tcp.dashboard.frame import STEP_SECS, Certificate, Drain, Frame, Namer, Series, Watch, Worker
from linkerd_tcp.dashboard.trouble import (
    MOST_NAMED,
    Item,
    anchor,
    certificate_name,
    destination_anchor,
    linked,
    of_router,
    when,
)

MOST_ITEMS: Final = 10
NEAR: Final = 0.8
"""Of a limit."""

EXPIRES_SOON_DAYS: Final = 30
EXPIRES_NOW_DAYS: Final = 7
DAY_SECS: Final = 86_400

RECENT: Final = 2
"""Points of a series that are now; those before are what is normal."""

LEAST_NORMAL: Final = 6
"""Points without which nothing is known to be normal."""

TIMES_NORMAL: Final = 3.0
LEAST_FAILURES: Final = 1.0
"""More than normal, per second."""


def attention(frame: Frame, found: list[Item]) -> dict[str, Any]:
    """Rows of the first of `found`, how many `more` there are in words, and what is said where there is nothing."""
    more = max(len(found), MOST_ITEMS) - MOST_ITEMS + frame["moreDrains"]
    return {
        "attention": [_joined(item.row) for item in found[:MOST_ITEMS]],
        "more": f"and {more} more" if more else "",
        "calm": "" if found else mark(_calm(frame), GOOD),
    }


def _joined(row: Row) -> Row:
    """`why` follows a time: what is no punctuation has a space before it."""
    why = row["why"]
    return row if why[:1] in ":.," else {**row, "why": f" {why}"}


def items(frame: Frame) -> list[Item]:
    """All there are."""
    return sorted(_items(frame), key=lambda item: item.rank)


def _items(frame: Frame) -> Iterator[Item]:
    now = frame["at"]
    yield from _readiness(frame)
    for router in frame["routers"]:
        yield from of_router(router, now)
    for worker in frame["workers"]:
        yield from _worker(worker)
    for namer in frame["namers"]:
        yield from _namer(namer, now)
    for certificate in frame["certificates"]:
        yield from _certificate(certificate, now)
    yield from _reload(frame)
    yield from _limits(frame)
    yield from _failures(frame)
    for drain in frame["drains"]:
        yield _drain(drain, frame)


def _calm(frame: Frame) -> str:
    destinations = [each for router in frame["routers"] for each in router["destinations"]]
    if not destinations:
        return "Nothing needs attention. No connection has come yet."
    available = sum(each["available"] for each in destinations)
    words = "1 endpoint is" if available == 1 else f"{available} endpoints are"
    last = max((one["lastErrorAt"] or 0.0 for each in destinations for one in each["endpoints"]), default=0.0)
    failure = f", the last failure was {age(frame['at'] - last)} ago" if last else ""
    return f"Nothing needs attention. {words} available{failure}."


def _readiness(frame: Frame) -> Iterator[Item]:
    if frame["stopping"]:
        row = _row("stopping", "Process", WARN, "This process", "is stopping:", "it was asked to.")
        row["does"] = "Listeners are closed; open connections get the rest of graceSecs."
        yield Item(1, row, "linkerd-tcp is stopping")
    elif not frame["ready"]:
        row = _row("not-ready", "Process", BAD, "linkerd-tcp", "is not ready:", "not every listener is open.")
        row["does"] = "/ready answers 503."
        yield Item(1, row, "linkerd-tcp is not ready")


def _row(key: str, kind: str, state: str, what: str, happened: str, why: str, to: str = "") -> Row:
    return {
        "key": key,
        "mark": mark(kind, state),
        "what": linked(what, to=to) if to else cut(what),
        "happened": happened,
        "since": "",
        "why": why,
        "does": "",
    }


def _worker(worker: Worker) -> Iterator[Item]:
    number_, state = worker["worker"], worker["state"]
    if state == "gone":
        why, does = "its process has ended.", "Another one is started; new connections go to the other workers."
    elif state == "serving" and not worker["answers"]:
        why = f"{cut(worker['why'] or 'it said nothing in time')}."
        does = "Its figures are missing here; its connections may go on."
    else:
        return
    happened = "is gone:" if state == "gone" else "does not answer:"
    what = f"Worker {number_} (process {worker['pid']})"
    row = _row(f"worker-{number_}", "Worker", BAD, what, happened, why, anchor("worker", str(number_)))
    row["does"] = does
    yield Item(1, row, f"worker {number_} {happened.removesuffix(':')}")


def _namer(namer: Namer, now: float) -> Iterator[Item]:
    stale = [watch for watch in namer["watches"] if watch["stale"]]
    if namer["stale"] <= MOST_NAMED:
        for watch in stale:
            yield _stale(namer, watch, now)
        return
    to = anchor("namer", namer["prefix"])
    names = ", ".join(cut(watch["name"], 60) for watch in stale[:MOST_NAMED])
    error = cut(stale[0]["error"] or "") if stale else ""
    what = f"{namer['stale']} names of {namer['prefix']}"
    row = _row(f"{to}-stale", "Namer", WARN, what, "are stale:", f"{names} and more: {error}.", to)
    row["does"] = "Routing goes on with what was last known of them."
    yield Item(5, row, f"{namer['stale']} names of {cut(namer['prefix'], 80)} are stale")


def _stale(namer: Namer, watch: Watch, now: float) -> Item:
    to = anchor("namer", namer["prefix"])
    name = f"{namer['prefix']}{watch['name']}"
    error = cut(watch["error"] or "its last look-up failed")
    good_at, next_at = watch["lastGoodAt"], watch["nextAttemptAt"]
    again = "" if next_at is None else f"The next attempt is {'now' if next_at <= now else f'in {age(next_at - now)}'}."
    if good_at is None:
        row = _row(f"{to}-{anchor(watch['name'])}", "Namer", BAD, name, "was never known:", f"{error}.", to)
        row["does"] = f"{again} Connections that need it wait, or fail."
    else:
        row = _row(f"{to}-{anchor(watch['name'])}", "Namer", WARN, name, "was last known", f": {error}.", to)
        row["since"] = when(good_at, now)
        known = "the address" if watch["addresses"] == 1 else f"the {watch['addresses']} addresses"
        row["does"] = f"{again} Routing goes on with {known} known then."
    return Item(5, row, f"{cut(name, 80)} is stale: {error}")


def _certificate(certificate: Certificate, now: float) -> Iterator[Item]:
    left = certificate["notAfter"] - now
    if left > EXPIRES_SOON_DAYS * DAY_SECS:
        return
    key = anchor("certificate", certificate["where"], certificate["identity"])
    what = f"The certificate {certificate_name(certificate)} of {certificate['where']}"
    expired = left <= 0
    state = BAD if left <= EXPIRES_NOW_DAYS * DAY_SECS else WARN
    happened, why = ("has expired", "") if expired else ("expires", f"in {age(left)}.")
    row = _row(f"{key}-expiry", "Certificate", state, what, happened, why, key)
    if expired:
        row["since"], row["why"] = when(certificate["notAfter"], now), "."
    row["does"] = (
        "Peers that check it refuse to connect."
        if expired
        else "Put a new one into its file: the file is read again by itself."
    )
    yield Item(4 if state == BAD else 9, row, f"{cut(what, 100)} {happened}")


def _reload(frame: Frame) -> Iterator[Item]:
    reload = frame["reload"]
    if reload["ok"]:
        return
    first = cut(reload["errors"][0]) if reload["errors"] else "the log says why"
    more = f" (and {len(reload['errors']) - 1} more)" if len(reload["errors"]) > 1 else ""
    row = _row(
        "reload", "Configuration", WARN, "The configuration", "was refused", f": {first}{more}.", "/configuration"
    )
    row["since"] = when(reload["at"], frame["at"])
    row["does"] = "What was read before stays in force."
    yield Item(6, row, f"the configuration was refused: {first}")


def _limits(frame: Frame) -> Iterator[Item]:
    for router in frame["routers"]:
        for server in router["servers"]:
            if 0 < server["most"] * NEAR <= server["active"]:
                key = anchor("server", router["label"], server["address"])
                why = f"{_text(server['active'])} of {_text(server['most'])} connections (maxConcurrency)."
                row = _row(f"{key}-limit", "Limit", WARN, f"Server {server['address']}", "is nearly full:", why, key)
                row["does"] = "At the limit its listener pauses, and new connections wait in the kernel's queue."
                yield Item(7, row, f"server {server['address']} is nearly full")
    used, most = frame["descriptors"], frame["mostDescriptors"]
    if 0 < most * NEAR <= used:
        why = f"{_text(used)} of {_text(most)} descriptors are in use."
        row = _row("descriptors", "Limit", WARN, "This process", "is nearly out of descriptors:", why)
        row["does"] = "Beyond that new connections wait or are refused; raise LimitNOFILE= or ulimit -n."
        yield Item(7, row, "descriptors are nearly used up")


def _text(value: float) -> str:
    cell = number(value)
    return cell if isinstance(cell, str) else cell["text"]


def _failures(frame: Frame) -> Iterator[Item]:
    """Of the whole, and of each destination, more failures than it is used to."""
    history, until = frame["history"], frame["history"]["until"]
    told = False
    for router in frame["routers"]:
        for destination in router["destinations"]:
            label, bound = router["label"], destination["bound"]
            series = history["destinations"].get(f"{label} {bound}")
            unusual = None if series is None else _unusual(series, until)
            if unusual is not None:
                told = True
                what = f"{bound} of router {label}"
                yield _failing(what, destination_anchor(label, bound), unusual, destination["failures"], frame)
    unusual = None if told else _unusual(history["total"], until)
    if unusual is not None:
        failures: dict[str, int] = {}
        for router in frame["routers"]:
            for server in router["servers"]:
                for cause, times in server["failures"].items():
                    failures[cause] = failures.get(cause, 0) + times
        yield _failing("Connections", "figure-failed", unusual, failures, frame)


def _unusual(series: Series, until: int) -> tuple[float, float, float] | None:
    """(failures per second now, what was normal, since when), where that is well above."""
    points = series["failures"]
    recent = [point for point in points[-RECENT:] if point is not None]
    now = sum(recent) / len(recent) if recent else 0.0
    if now < LEAST_FAILURES:
        return None  # before the rest is looked at: there may be hundreds of series
    before = sorted(point for point in points[:-RECENT] if point is not None)
    if len(before) < LEAST_NORMAL:
        return None
    normal = before[len(before) // 2]
    limit = max(normal * TIMES_NORMAL, normal + LEAST_FAILURES)
    if now < limit:
        return None
    steps = 0
    for point in reversed(points):
        if point is None or (point < limit and steps >= RECENT):
            break
        steps += 1
    return now, normal, (until - steps) * STEP_SECS


def _failing(what: str, to: str, unusual: tuple[float, float, float], failures: dict[str, int], frame: Frame) -> Item:
    now, normal, since = unusual
    usual = f"usually {normal:.1f}" if normal else "usually none"
    row = _row(f"{to}-failures", "Failures", WARN, what, "began to fail more than usual", "", to)
    row["since"] = when(since, frame["at"])
    row["why"] = f": {now:.1f} per second, {usual}. Since the start: {causes(failures)}."
    row["does"] = "Failed attempts are made again at another endpoint, up to maxAttempts."
    return Item(8, row, f"{cut(what, 80)}: more failures than usual")


def _drain(drain: Drain, frame: Frame) -> Item:
    bound, address = drain["bound"], drain["address"]
    router = next((r["label"] for r in frame["routers"] for each in r["destinations"] if each["bound"] == bound), "")
    to = destination_anchor(router, bound) if router else ""
    row = _row(f"drain-{anchor(bound, address)}", "Drain", OFF, f"{address} of {bound}", "was drained", "", to)
    row["since"] = when(drain["since"], frame["at"])
    row["why"] = f"by {cut(drain['by'])}." if drain["by"] else "."
    row["does"] = "It gets no new connections until that is undone or the program is restarted."
    row["target"] = dumps({"bound": bound, "address": address})
    return Item(10, row, f"{address} was drained")

"""What the overview shows: rows of text, made of one frame and of what has happened per second before it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from linkerd_tcp.dashboard.attention import attention
from linkerd_tcp.dashboard.cells import (
    BAD,
    GOOD,
    NOTHING,
    WARN,
    Cell,
    Row,
    age,
    clock,
    cut,
    mark,
    number,
    rate,
    size,
)
from linkerd_tcp.dashboard.frame import STEP_SECS, STEPS, Frame
from linkerd_tcp.dashboard.overview_rows import router_row
from linkerd_tcp.dashboard.overview_tables import certificate_row, namer_rows, worker_row
from linkerd_tcp.dashboard.rates import PerSecond, Rates, at_most, server_key
from linkerd_tcp.dashboard.spark import Points, area, bars, line, most, newest
from linkerd_tcp.dashboard.trouble import Item

FILTERED: Final = 50
"""Destinations; more than that have a box to look for them."""

LEAST_OPEN: Final = 10.0
LEAST_PER_SECOND: Final = 5.0
LEAST_BYTES: Final = 10_000.0
"""What the top of a plot stands for at least: one failure must not look like an outage."""

_SPAN: Final = f"in {STEPS * STEP_SECS // 60} min"

View = dict[str, Any]
"""Cells and lists of rows by name; itself a row."""


def view(frame: Frame, found: list[Item], rates: Rates, rest: Callable[[], object] = lambda: None) -> View:
    """The whole page; `found` is what needs attention. `rest` is called between its parts: there may be hundreds."""
    destinations = sum(len(router["destinations"]) for router in frame["routers"])
    is_open = destinations <= 5
    shown: View = {
        "key": "view",
        "at": {"text": clock(frame["at"]), "value": frame["at"]},
        "started": str(frame["startedAt"]),
        "ready": _ready(frame),
        "reload": _reload(frame),
        **attention(frame, found),
        "figures": figures(frame, rates),
        "few": "hidden" if destinations <= FILTERED else "",
    }
    rest()
    shown["routers"] = [router_row(router, frame, rates, is_open, rest) for router in frame["routers"]]
    shown["workers"] = [worker_row(worker, frame["at"]) for worker in frame["workers"]]
    shown["no_workers"] = "hidden" if len(frame["workers"]) < 2 else ""
    shown["namers"] = [row for namer in frame["namers"] for row in namer_rows(namer, frame["at"])]
    shown["no_namers"] = "hidden" if not shown["namers"] else ""
    shown["certificates"] = [certificate_row(each, frame["at"]) for each in frame["certificates"]]
    shown["no_certificates"] = "hidden" if not shown["certificates"] else ""
    rest()
    return shown


def _ready(frame: Frame) -> Cell:
    if frame["stopping"]:
        return mark("stopping", WARN)
    return mark("ready", GOOD) if frame["ready"] else mark("not ready", BAD, cut("; ".join(frame["remarks"])))


def _reload(frame: Frame) -> Cell:
    reload = frame["reload"]
    words = f"configuration {'read' if reload['ok'] else 'refused'} {age(frame['at'] - reload['at'])} ago"
    return {"text": words, "state": "" if reload["ok"] else WARN}


# -- six figures


def figures(frame: Frame, rates: Rates) -> list[Row]:
    total = frame["history"]["total"]
    servers = [(router["label"], server) for router in frame["routers"] for server in router["servers"]]
    seconds = _together([rates.of(server_key(label, server["address"])) for label, server in servers])
    active = sum(server["active"] for _, server in servers)
    limit = sum(server["most"] for _, server in servers)
    accepts = sum(server["accepts"] for _, server in servers)
    new = newest(total["accepts"]) if seconds is None else seconds.new
    failed = newest(total["failures"]) if seconds is None else seconds.failed
    rx = newest(total["rx"]) if seconds is None else seconds.rx
    tx = newest(total["tx"]) if seconds is None else seconds.tx
    return [
        _plotted(
            "open",
            "Open connections",
            number(active),
            f"of {_text(number(limit))} at most",
            total["open"],
            LEAST_OPEN,
            number,
        ),
        _plotted(
            "new",
            "New per second",
            rate(new),
            f"{_text(number(accepts))} since the start",
            total["accepts"],
            LEAST_PER_SECOND,
            rate,
        ),
        _plotted(
            "failed",
            "Failed per second",
            rate(failed),
            _failed_words(new, failed, seconds),
            total["failures"],
            LEAST_PER_SECOND,
            rate,
        ),
        _plotted("rx", "Bytes in/s", size(rx), "from clients", total["rx"], LEAST_BYTES, size),
        _plotted("tx", "Bytes out/s", size(tx), "to clients", total["tx"], LEAST_BYTES, size),
        _latency(total["latency"]),
    ]


def _plotted(
    key: str, label: str, value: Cell, more: str, points: Points, least: float, unit: Callable[[float | None], Cell]
) -> Row:
    largest = most(points)
    return {
        "key": f"figure-{key}",
        "label": label,
        "value": value,
        "more": more,
        "line": line(points, least),
        "area": area(points, least),
        "most": "" if largest is None else f"most {_text(unit(largest))} {_SPAN}",
    }


def _failed_words(new: float | None, failed: float | None, seconds: PerSecond | None) -> str:
    """What share of the new ones, and why."""
    if not failed:
        return "none" if failed is not None else NOTHING
    words = [_share(failed / new)] if new else []
    if seconds is not None and seconds.causes:
        top = max(seconds.causes, key=lambda cause: seconds.causes[cause])
        words.append(f"mostly {top}" if len(seconds.causes) > 1 else top)
    return ", ".join(words) or NOTHING


def _share(share: float) -> str:
    percent = min(share, 1.0) * 100
    return f"{percent:.1f}\u202f%" if percent >= 0.1 else "< 0.1\u202f%"


def _latency(counts: Sequence[int]) -> Row:
    total, high = sum(counts), at_most(counts, 0.99)
    return {
        "key": "figure-latency",
        "label": "Connect p50, p99",
        "value": at_most(counts, 0.5),
        "more": f"p99 {_text(high)}" if total else "",
        "area": bars(counts, 1) if total else "",
        "line": "",
        "most": f"{_text(number(total))} in the last minute" if total else "none in the last minute",
    }


def _together(several: list[PerSecond | None]) -> PerSecond | None:
    """None as long as one is not known."""
    known = [each for each in several if each is not None]
    if not known or len(known) < len(several):
        return None
    causes: Counter[str] = Counter()
    for each in known:
        causes.update(each.causes)
    return PerSecond(
        sum(each.new for each in known),
        sum(each.failed for each in known),
        sum(each.rx for each in known),
        sum(each.tx for each in known),
        dict(causes),
    )


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell["text"]

"""Connections as rows of a table, and the views of them: every tab, filter and page is an address of its own."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Final
from urllib.parse import urlencode

from linkerd_tcp.dashboard import cells
from linkerd_tcp.dashboard.cells import NOTHING, Row, cut
from linkerd_tcp.dashboard.phrases import Connection, failed, outcome
from linkerd_tcp.errors import Cause

PATH: Final = "/connections"
FILTERS: Final = ("source", "path", "endpoint", "router", "cause", "limit")
"""The fields of the form, besides the tab."""

TABS: Final = (("open", "Open"), ("failed", "Failed"), ("closed", "Closed"), ("", "All"))
LIMITS: Final = ("50", "100", "200", "500")
DEFAULT_LIMIT: Final = "100"
MOST_CHARS: Final = 80
MOST_ENDPOINTS: Final = 5
"""Of those that one connection tried, as links."""

_NORMAL: Final = (Cause.CLIENT_CLOSED, Cause.ENDPOINT_CLOSED)
_DAY_SECS: Final = 86_400


def url(arguments: Mapping[str, str | None], **changes: str | None) -> str:
    """The view of these arguments, changed; what is empty is left out."""
    wanted = {**arguments, **changes}
    query = urlencode({key: value for key, value in wanted.items() if value}, errors="backslashreplace")
    return f"{PATH}?{query}" if query else PATH


def without_place(arguments: Mapping[str, str]) -> dict[str, str | None]:
    """The view from its newest one on."""
    return {key: value for key, value in arguments.items() if key not in ("after", "since")}


def row(connection: Connection, now: float) -> Row:
    """A line of the table; `now` is in seconds since the epoch."""
    id_ = connection["id"]
    at = connection["acceptedAt"]
    return {
        "key": id_,
        "time": {"text": _time(at, now), "value": cells.moment(at), "href": f"{PATH}/{id_}"},
        "outcome": outcome(connection),
        "source": cut(connection["source"], MOST_CHARS),
        "path": NOTHING if connection["path"] is None else cut(connection["path"], MOST_CHARS),
        "endpoint": _endpoint(connection),
        "tls": _tls(connection),
        "rx": cells.size(connection["rxBytes"]),
        "tx": cells.size(connection["txBytes"]),
        "duration": cells.seconds(connection["ageSecs"]),
        "tries": _tries(connection),
    }


def _time(at: float, now: float) -> str:
    """To the millisecond, and the day of what is older than one."""
    when = datetime.fromtimestamp(at, UTC)
    form = "%H:%M:%S.%f" if now - at < _DAY_SECS else "%Y-%m-%d %H:%M:%S.%f"
    return when.strftime(form)[:-3]


def _endpoint(connection: Connection) -> cells.Cell:
    """The one it is or was connected to; else the last one that was tried."""
    if connection["endpoint"] is not None:
        return cut(connection["endpoint"], MOST_CHARS)
    tried = connection["attempts"]
    return cut(tried[-1]["endpoint"], MOST_CHARS) if tried else NOTHING


def _tls(connection: Connection) -> str:
    tls, header = connection["tls"], connection["proxyHeader"]
    if tls is not None:
        version = cut(tls["version"] or "TLS", MOST_CHARS).replace("TLSv", "TLS ")
        return f"{version} {cut(tls['serverName'], MOST_CHARS)}" if tls["serverName"] else version
    authority = None if header is None else header.get("authority")
    if authority is not None:
        return f"PROXY {cut(authority, MOST_CHARS)}"
    return NOTHING if header is None else "PROXY"


def _tries(connection: Connection) -> cells.Cell:
    number = len(connection["attempts"])
    if not number:
        return NOTHING
    in_vain = len(failed(connection))
    text = f"{number} in vain" if in_vain == number else f"{number}, {in_vain} in vain" if in_vain else str(number)
    cell: cells.Full = {"text": text, "value": number}
    return cell


class View:
    """What a page of connections says around its table, of the arguments of its address and how many there are."""

    def __init__(self, arguments: Mapping[str, str], counts: Mapping[str, int]) -> None:
        """`counts` are by cause and `open`, of all that the filters but state and cause leave."""
        self._arguments = arguments
        self._counts = counts
        self.state = arguments.get("state", "")
        self.newest = url(without_place(arguments))
        self.is_newest = not arguments.get("after")
        self.is_filtered = any(arguments.get(key) for key in FILTERS if key != "limit")
        self.clear = url({"state": self.state})

    @property
    def tabs(self) -> Iterator[Row]:
        for state, name in TABS:
            changes: dict[str, str | None] = {"state": state}
            if state == "open":
                changes["cause"] = None
            yield {
                "key": state or "all",
                "name": name,
                "href": url(without_place(self._arguments), **changes),
                "number": cells.number(self._of(state)),
                "here": state == self.state,
            }

    @property
    def causes(self) -> Iterator[Row]:
        """Those that there are, the most frequent first; the one that is chosen also where it has none."""
        chosen = self._arguments.get("cause", "")
        counts = self._causes_of(self.state)
        if chosen:
            counts.setdefault(chosen, 0)
        for cause in sorted(counts, key=lambda cause: (-counts[cause], cause)):
            yield {
                "key": cause,
                "name": cut(cause, MOST_CHARS).replace("_", " "),
                "number": cells.number(counts[cause]),
                "href": url(without_place(self._arguments), cause=None if cause == chosen else cause),
                "here": cause == chosen,
            }

    @property
    def total(self) -> int:
        """Of what the table is a part of."""
        cause = self._arguments.get("cause")
        return self._causes_of(self.state).get(cause, 0) if cause else self._of(self.state)

    def older(self, next_id: str | None) -> str:
        return "" if next_id is None else url(self._arguments, after=next_id)

    def _of(self, state: str) -> int:
        running = self._counts.get("open", 0) if state in ("", "open") else 0
        return running + sum(self._causes_of(state).values())

    def _causes_of(self, state: str) -> dict[str, int]:
        if state == "open":
            return {}
        left_out = ("open", *_NORMAL) if state == "failed" else ("open",)
        return {cause: number for cause, number in self._counts.items() if cause not in left_out}


def newer(number: int, most: int) -> str:
    """`12 new: show them`; nothing where there are none."""
    if number > most:
        return f"more than {most} new: show the newest"
    return f"{number} new: show {'it' if number == 1 else 'them'}" if number else ""


def facts(connection: Connection, way: Sequence[str]) -> list[Row]:
    """What is known of one, as terms and texts; links lead to others like it."""
    source, path, bound, endpoint = (connection[key] for key in ("source", "path", "bound", "endpoint"))
    host = source.rpartition(":")[0]
    rows = [
        _fact("Router", connection["router"], url({"router": connection["router"]})),
        _fact("Server", connection["server"]),
        _fact("Accepted", cells.moment(connection["acceptedAt"])),
        _fact("Source", source, url({"source": host})),
    ]
    if path is not None:
        rows.append(_fact("Path", path, url({"path": path})))
    if bound is not None:
        rows.append(_fact("Bound to", bound, url({"path": bound})))
    if way:
        rows.append(_fact("By the entries", "; ".join(way)))
    tried = chain(() if endpoint is None else (endpoint,), (each["endpoint"] for each in connection["attempts"]))
    rows.extend(
        _fact("Endpoint" if address == endpoint else "Tried in vain", address, url({"endpoint": address}))
        for address in list(dict.fromkeys(tried))[:MOST_ENDPOINTS]
    )
    return rows


def _fact(name: str, text: str, href: str = "") -> Row:
    value: cells.Full = {"text": cut(text, 1_000)}
    if href:
        value["href"] = href
    return {"key": name, "name": name, "value": value}


def figures(connection: Connection) -> Row:
    """What changes while it is open."""
    return {
        "key": connection["id"],
        "outcome": outcome(connection),
        "age": cells.seconds(connection["ageSecs"]),
        "rx": cells.size(connection["rxBytes"]),
        "tx": cells.size(connection["txBytes"]),
    }

"""/logging: the levels of the loggers, and the last lines of the log."""

from collections.abc import Iterator
from time import time
from typing import Any, Final

from flask import Blueprint, Response, request

from linkerd_tcp.dashboard import log_rows
from linkerd_tcp.dashboard.cells import cut
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.log_rows import Filter
from linkerd_tcp.dashboard.shown import Said, Shown
from linkerd_tcp.last_lines import MOST_LINES, MOST_WARNINGS, LogLine
from linkerd_tcp.levels import LEVELS
from linkerd_tcp.net.turns import in_turns
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import dumps, rows, stream

TIMES: Final = (("600", "10 minutes"), ("3600", "1 hour"), ("", "until undone or restart"))

OWN_REQUESTS: Final = "linkerd_tcp.web."
"""What these loggers say at `debug` is of the pages themselves, and no news to them."""


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    @routes.get("/logging", endpoint="logging")
    def page() -> Response:
        wanted = _filter()
        said = shown.log_lines()
        found = in_turns(wanted.of(said.lines))
        now = time()
        levels = log_rows.level_rows(shown.levels(), now)
        return draw(
            "logging.html",
            "Logging",
            levels=levels,
            own=log_rows.own_rows(levels),
            words=list(LEVELS),
            times=TIMES,
            wanted=wanted,
            filters=log_rows.FILTERS,
            lines=(log_rows.line_row(line, now) for line in reversed(found[-wanted.limit :] if wanted.limit else [])),
            newest=_newest(said),
            several=len({line.worker for line in said.lines}) > 1,
            summary=_summary(wanted, found, said),
            missing=_missing(said),
            remembered=(MOST_LINES, MOST_WARNINGS),
        )

    @routes.get("/log.json")
    def log_json() -> Response:
        wanted = _filter()
        said = shown.log_lines(wanted.after)
        return stream(_pieces(in_turns(wanted.of(said.lines)), wanted.limit, said.missing))

    @routes.get("/logging/news.json")
    def news() -> Response:
        """What an open page asks for: the loggers as they are now, and how many lines are newer than `after`."""
        wanted = _filter()
        lines = in_turns(wanted.of(shown.log_lines(wanted.after).lines))
        new = sum(not line.logger.startswith(OWN_REQUESTS) for line in lines)
        levels = log_rows.level_rows(shown.levels(), time())
        words = "1 new line" if new == 1 else f"{new} new lines"
        news = {"all": levels, "own": log_rows.own_rows(levels), "refresh": f"Refresh: {words}" if new else "Refresh"}
        return stream((dumps(news) + "\n",))


def _filter() -> Filter:
    try:
        return Filter.read(request.args.to_dict())
    except ValueError as error:
        refuse(str(error))


def _newest(said: Said) -> float:
    """After which a line is a new one."""
    return max((line.at for line in said.lines), default=time())


def _summary(wanted: Filter, found: list[LogLine], said: Said) -> str:
    of_all = f"{len(found)} of {len(said.lines)} remembered lines match" if _is_chosen(wanted) else ""
    if not of_all:
        of_all = f"{len(found)} lines are remembered"
    shown = min(len(found), wanted.limit)
    return of_all if shown == len(found) else f"{of_all}; the last {shown} are shown"


def _is_chosen(wanted: Filter) -> bool:
    return bool(wanted.text) or wanted.level != "trace"


def _missing(said: Said) -> list[str]:
    return [f"{who}: {cut(why)}" for who, why in said.missing.items()]


def _pieces(found: list[LogLine], limit: int, missing: dict[str, Any]) -> Iterator[str]:
    """The newest last, and how many more there are before them."""
    last = found[-limit:] if limit else []
    yield '{"lines": '
    yield from rows(map(log_rows.line_json, last))
    yield f', "more": {len(found) - len(last)}'
    yield f', "missing": {dumps(missing)}}}\n' if missing else "}\n"

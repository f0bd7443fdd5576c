"""/connections/ID: the story of one connection; as text with `.txt` or to who accepts text, as JSON with `.json`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from linkerd_tcp.book import ENDED_KEPT, FAILED_KEPT
from linkerd_tcp.dashboard import story
from linkerd_tcp.dashboard.cells import Row, cut, duration
from linkerd_tcp.dashboard.connection_rows import PATH, facts, figures
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.explanation import Step, way
from linkerd_tcp.dashboard.explanation import told as explain
from linkerd_tcp.dashboard.phrases import Connection
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import JSON_TYPE, dumps, stream

TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html"
FOUND: Final = 200

KEPT: Final = f"{ENDED_KEPT:,} that ended well and {FAILED_KEPT:,} that failed".replace(",", "\u202f")


class _Told(NamedTuple):
    connection: Connection
    way: Sequence[str]
    story: story.Story
    now: Sequence[Step]
    """Where its path leads now, of one that found nothing and has no explanation of its own."""


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    @routes.get(f"{PATH}/<name>", endpoint="connection")
    def page(name: str) -> Response:
        id_, dot, form = name.partition(".")
        if dot and form not in ("txt", "json"):
            refuse(f"a connection is shown as a page, as .txt or as .json, not as .{form}", 404)
        connection = shown.connection(id_)
        if connection is None:
            return _missing(draw, id_, form)
        if form == "json":
            return Response(dumps(_live(connection)) + "\n", content_type=JSON_TYPE)
        tree = connection["explanation"] or _delegation(shown, connection)
        entries = way(tree, connection["bound"]) if tree and connection["bound"] else ()
        told = story.tell(connection, entries)
        if form == "txt" or _wants_text():
            return stream((f"{line}\n" for line in story.text(connection, told)), TEXT)
        now = explain(tree) if tree and connection["endpoint"] is None and not told.explanation else ()
        return _page(draw, _Told(connection, entries, told, now))


def _wants_text() -> bool:
    return request.accept_mimetypes.best_match((HTML, "text/plain")) == "text/plain"


def _page(draw: Draw, told: _Told) -> Response:
    connection = told.connection
    return draw(
        "connection.html",
        f"Connection {connection['id']}",
        id=connection["id"],
        is_open=connection["state"] == "open",
        head=_head(told.story, connection),
        facts=facts(connection, told.way),
        lines=_lines(told.story),
        explanation=told.story.explanation or told.now,
        is_now=bool(told.now),
        path=None if connection["path"] is None else cut(connection["path"], 1_000),
        delegator=_delegator(connection),
        text="\n".join(story.text(connection, told.story)),
    )


def _missing(draw: Draw, id_: str, form: str) -> Response:
    words = (
        f"No connection {cut(id_, 80)!r} is open or remembered. Of those that have ended, each process remembers the "
        f"last {KEPT}; what is older is only in the access log."
    )
    if form or _wants_text():
        refuse(words, 404)
    return draw("connection.html", "No such connection", 404, missing=words)


def _head(told: story.Story, connection: Connection) -> Row:
    return {**figures(connection), "verdict": told.verdict, "advice": told.advice}


def _lines(told: story.Story) -> list[Row]:
    return [
        {
            "key": number,
            "at": "" if line.at is None else {"text": f"+{duration(line.at)}", "value": line.at},
            "what": {"text": line.text, "state": line.state},
        }
        for number, line in enumerate(told.lines)
    ]


def _live(connection: Connection) -> dict[str, Any]:
    """What an open page asks for again, and who wants the story as JSON; `ended` once there is more to tell."""
    told = story.tell(connection)
    return {
        "connection": connection,
        "head": _head(told, connection),
        "lines": [{"at": line.at, "text": line.text} for line in told.lines],
        "last": _lines(told)[-1],
        "ended": connection["state"] != "open",
    }


def _delegation(shown: Shown, connection: Connection) -> Mapping[str, Any] | None:
    """Of its path, as the dtab is now; None where that cannot be said."""
    if connection["path"] is None:
        return None
    try:
        status, tree = shown.delegation({"router": connection["router"], "path": connection["path"]})
    except HTTPException:
        return None
    return tree if status == FOUND else None


def _delegator(connection: Connection) -> str:
    """The delegator with the path filled in; empty where no path was found. Behind `#`, which has no length limit."""
    if connection["path"] is None:
        return ""
    fields = {"router": connection["router"], "path": connection["path"]}
    return "/delegator#" + urlencode(fields, safe="/", quote_via=quote, errors="backslashreplace")

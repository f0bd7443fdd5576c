"""/connections: those that are open and those that are remembered, by what they have in common; the newest first."""

from collections.abc import Mapping
from time import time
from typing import Final

from flask import Blueprint, Response, request

from linkerd_tcp.dashboard import connection_page
from linkerd_tcp.dashboard.cells import clock, cut
from linkerd_tcp.dashboard.connection_rows import DEFAULT_LIMIT, FILTERS, LIMITS, PATH, View, newer, row
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.shown import Found, Shown
from linkerd_tcp.errors import Cause
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import JSON_TYPE, dumps

MOST_NEW: Final = 100
"""New ones that are counted; with more there are just more."""

MOST_PROBLEM_CHARS: Final = 500

NONE_YET: Final = "0-0"
"""An id that is before all others."""


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    @routes.get(PATH, endpoint="connections")
    def page() -> Response:
        arguments = _arguments()
        try:
            found = shown.connections({"limit": DEFAULT_LIMIT, **arguments})
            counts = shown.connection_counts(_counted(arguments))
        except ValueError as error:
            return _page(shown, draw, arguments, Found([], None, []), {}, str(error))
        return _page(shown, draw, arguments, found, counts, "")

    @routes.get(f"{PATH}/newer.json", endpoint="newer_connections")
    def newer_json() -> Response:
        """How many have come since the page was drawn, as a text; empty where there are none."""
        arguments = {**_arguments(), "limit": str(MOST_NEW)}
        try:
            found = shown.connections(arguments)
        except ValueError as error:
            refuse(str(error))
        number = len(found.rows) + (found.next_id is not None)
        return Response(dumps({"words": newer(number, MOST_NEW)}) + "\n", content_type=JSON_TYPE)

    connection_page.add(routes, shown, draw)


def _arguments() -> dict[str, str]:
    """Of the address; what is empty says nothing."""
    return {key: value for key, value in request.args.to_dict().items() if value and key != "worker"}


def _counted(arguments: Mapping[str, str]) -> dict[str, str]:
    """What is counted by cause: whatever the other filters leave."""
    return {key: value for key, value in arguments.items() if key not in ("state", "cause", "limit", "after", "since")}


def _page(
    shown: Shown, draw: Draw, arguments: dict[str, str], found: Found, counts: Mapping[str, int], problem: str
) -> Response:
    now = time()
    view = View(arguments, counts)
    newest = found.rows[0]["id"] if found.rows else NONE_YET
    return draw(
        "connections.html",
        "Connections",
        400 if problem else 200,
        problem=cut(problem, MOST_PROBLEM_CHARS),
        view=view,
        given={key: arguments.get(key, "") for key in FILTERS},
        choices=_choices(shown, arguments),
        rows=(row(connection, now) for connection in found.rows),
        number=len(found.rows),
        older=view.older(found.next_id),
        newest=newest,
        arguments={key: value for key, value in arguments.items() if key not in ("after", "limit", "since")},
        unanswered=", ".join(map(str, found.unanswered)),
        drawn_at=clock(now),
        cut=cut,
    )


def _choices(shown: Shown, arguments: Mapping[str, str]) -> dict[str, list[str]]:
    """Of the selects of the form; what was asked for is among them, though it be wrong."""
    choices = {
        "cause": [str(cause) for cause in Cause],
        "router": [router.label for router in shown.config.routers],
        "limit": list(LIMITS),
    }
    for key, given in choices.items():
        wanted = arguments.get(key)
        if wanted and wanted not in given:
            given.append(wanted)
    return choices

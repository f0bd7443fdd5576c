"""/, and what keeps it current: /overview.events, a stream, and /overview.json, where there is no room for a stream."""

from typing import Final

from flask import Blueprint, Response, request

from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.live import Live
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.web.following import Follower, TooManyFollowers
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import BLOCK_BYTES, stream

EVENTS: Final = "text/event-stream"


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    live = Live(shown.frame)

    @routes.get("/", endpoint="overview")
    def page() -> Response:
        return draw("overview.html", "Overview", view=live.shot().view)

    @routes.get("/overview.json", endpoint="overview_json")
    def as_json() -> Response:
        document = live.shot().document + b"\n"
        return stream(document[at : at + BLOCK_BYTES] for at in range(0, len(document), BLOCK_BYTES))

    @routes.get("/overview.events", endpoint="overview_events")
    def events() -> Response:
        headers = {"Connection": "close", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(content_type=EVENTS, headers=headers)
        try:
            follower = Follower(request.environ)
        except TooManyFollowers:
            refuse(
                "as many pages are kept current as this server does; /overview.json can be asked again and again", 503
            )
        return Response(live.follow(follower), content_type=EVENTS, headers=headers)

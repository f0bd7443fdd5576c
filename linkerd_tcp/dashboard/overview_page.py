"""/."""

from flask import Blueprint, Response

from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.shown import Shown


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    @routes.get("/", endpoint="overview")
    def page() -> Response:
        return draw("overview.html", "Overview")

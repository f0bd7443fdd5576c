"""/connections."""

from flask import Blueprint, Response

from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.shown import Shown


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    @routes.get("/connections", endpoint="connections")
    def page() -> Response:
        return draw("connections.html", "Connections")

"""The paths of the pages. Each module adds its own."""

from flask import Blueprint, redirect
from werkzeug import Response

from linkerd_tcp.dashboard import (
    configuration_page,
    connections_page,
    delegator_page,
    help_page,
    logging_page,
    overview_page,
)
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.shown import Shown


def blueprint(shown: Shown, draw: Draw) -> Blueprint:
    routes = Blueprint("pages", __name__)
    for page in (overview_page, delegator_page, connections_page, logging_page, configuration_page, help_page):
        page.add(routes, shown, draw)

    @routes.get("/favicon.ico")
    def icon() -> Response:
        """Browsers ask for it beside what is no page: /metrics, a story as text."""
        return redirect("/static/icon.svg")

    return routes

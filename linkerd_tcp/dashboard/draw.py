"""Drawing a page: its template, with what every page has around it."""

from typing import Any, Final

from flask import Response, current_app, request

from linkerd_tcp import __version__
from linkerd_tcp.dashboard.cells import moment
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.record import address_text
from linkerd_tcp.web.guard import Guard
from linkerd_tcp.web.streams import stream

HTML: Final = "text/html; charset=utf-8"

PAGES: Final = (
    ("/", "Overview"),
    ("/delegator", "Delegator"),
    ("/connections", "Connections"),
    ("/logging", "Logging"),
    ("/configuration", "Configuration"),
    ("/help", "Help"),
)


class Draw:
    """Draws pages of `shown`."""

    def __init__(self, shown: Shown, guard: Guard, started_at: float) -> None:
        self._shown = shown
        self._guard = guard
        self._started_at = started_at

    def __call__(self, template: str, title: str, status: int = 200, **values: Any) -> Response:
        """The page, written in pieces: a long table takes longer to draw than connections should wait."""
        found = current_app.jinja_env.get_template(template)
        page = found.generate(title=title, pages=PAGES, here=request.path, about=self._about(), **values)
        response = stream(page, HTML)
        response.status_code = status
        return response

    def _about(self) -> dict[str, Any]:
        """What is in the bar at the top."""
        config = self._shown.config
        return {
            "token": self._guard.token,
            "version": __version__,
            "address": address_text(self._shown.address),
            "pid": self._shown.pid,
            "started": moment(self._started_at),  # and no age: that would stand still on a page that is live
            "read_only": config.admin.read_only,
            "workers": config.workers,
        }

"""The Flask app of admin."""

from typing import Final

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from linkerd_tcp.admin import actions, delegator, reads
from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.shown import OneProcess
from linkerd_tcp.dashboard import pages
from linkerd_tcp.dashboard.cells import cut
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.web.app import GuardedApp
from linkerd_tcp.web.guard import Guard
from linkerd_tcp.web.inputs import refuse

NAMERD_PREFIX: Final = "/namerd/api/1"
MAX_BODY_BYTES: Final = 64 * 1024
MOST_WORDS: Final = 1_000
"""Characters of an error."""


class AdminWeb(GuardedApp):
    """With the pages of admin and what they need."""

    def __init__(self, guard: Guard) -> None:
        super().__init__("linkerd_tcp.dashboard", guard, MAX_BODY_BYTES)  # templates and static files are there
        self.draw: Draw | None = None
        for name in self.jinja_env.list_templates():
            # Compiled here: at the first request it would hold up the loop for some milliseconds.
            self.jinja_env.get_template(name)

    def _check(self) -> None:
        if request.path.startswith("/delegator") or request.path.startswith(NAMERD_PREFIX):
            request.max_content_length = delegator.MAX_BODY_BYTES
        super()._check()

    def error_page(self, error: HTTPException, words: str) -> Response | None:
        if self.draw is None:
            return None
        code = error.code or 500
        return self.draw("error.html", error.name, code, code=code, words=cut(words, MOST_WORDS))


def create(app: Controls, guard: Guard, *more: Blueprint) -> Flask:
    """The WSGI application over `app`, with `more` paths."""
    web = AdminWeb(guard)
    web.before_request(_check_worker)
    web.register_blueprint(reads.blueprint(app))
    web.register_blueprint(delegator.blueprint(app))
    web.register_blueprint(actions.blueprint(app))
    shown = OneProcess(app)
    web.draw = Draw(shown, guard, app.started_at)
    web.register_blueprint(pages.blueprint(shown, web.draw))
    for routes in more:
        web.register_blueprint(routes)
    if app.config.namerd is not None:
        # Only where it is wanted: importing it takes a while, and a section that comes later needs a restart.
        from linkerd_tcp.controller import api

        web.register_blueprint(api.blueprint(lambda: app.control, NAMERD_PREFIX, lambda: actions.read_only(app)))
    return web


def _check_worker() -> None:
    """`?worker=0` is this process, as where there are several."""
    worker = request.args.get("worker", "0")
    if worker != "0":
        refuse(f"no worker {worker!r}: this is one process, worker 0", 404)

"""The admin server of several workers: it has the paths of one process's (`linkerd_tcp.admin`), answered over all.

What changes something goes to the supervisor, which tells every process; what is shown is asked of the workers.
"""

from _socket import socket as RawSocket
from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from linkerd_tcp.admin import actions
from linkerd_tcp.admin.server import LIMITS, make_tls
from linkerd_tcp.admin.web import NAMERD_PREFIX, AdminWeb
from linkerd_tcp.dashboard import pages
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.errors import StartError
from linkerd_tcp.web.guard import PROBES, Guard
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.server import HttpServer
from linkerd_tcp.web.streams import JSON_TYPE, dumps
from linkerd_tcp.workers import answers
from linkerd_tcp.workers.everyone import Beside, Everyone, Nothing, OwnLogs
from linkerd_tcp.workers.fleet import Fleet
from linkerd_tcp.workers.shown import AllWorkers

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control


class _Web(AdminWeb):
    """Whose names are those of the configuration in force."""

    def __init__(self, everyone: Everyone, guard: Guard) -> None:
        self._everyone = everyone
        self._allowed: Sequence[str] | None = None
        super().__init__(guard)

    def _check(self) -> None:
        allowed = self._everyone.config.admin.allowed_hosts
        if allowed is not self._allowed:
            self._allowed = allowed
            self._guard.allow(allowed)
        super()._check()
        if "worker" in request.args and request.path not in answers.OF_ONE:
            refuse("this is for all workers at once: leave 'worker' out")


def create(everyone: Everyone, guard: Guard, address: tuple[str, int]) -> Flask:
    """The WSGI application over `everyone`, served at `address`."""
    web = _Web(everyone, guard)
    web.register_error_handler(StartError, _not_done)
    web.register_blueprint(answers.blueprint(everyone))
    web.register_blueprint(actions.blueprint(everyone))
    shown = AllWorkers(everyone, address)
    web.draw = Draw(shown, guard, time())
    web.register_blueprint(pages.blueprint(shown, web.draw))
    if everyone.config.namerd is not None:
        # Only where it is wanted: importing it takes a while, and a section that comes later needs a restart.
        from linkerd_tcp.controller import api

        def find() -> "Control | None":
            return everyone.beside.control

        web.register_blueprint(api.blueprint(find, NAMERD_PREFIX, lambda: actions.read_only(everyone)))
    return web


def _not_done(error: StartError) -> Response:
    """What the supervisor did not do, or not in time."""
    return Response(dumps({"error": str(error)}) + "\n", status=503, content_type=JSON_TYPE)


class FrontServer:
    """Answers on `listening`, a socket that is bound and listens already. `start`, then `close`.

    `beside` is what runs in this process itself; without it there is no control plane here.
    """

    def __init__(self, fleet: Fleet, listening: RawSocket, beside: Beside | None, logs: OwnLogs) -> None:
        """StartError that names the file where TLS cannot be spoken."""
        self._http = HttpServer(LIMITS)
        self._tls = make_tls(fleet.config.admin)
        guard = Guard(fleet.config.admin.allowed_hosts, PROBES)
        guard.is_secure = self._tls is not None
        address = listening.getsockname()[:2]
        everyone = Everyone(fleet, beside or Nothing(), logs)
        everyone.terminator = self._tls
        self._http.adopt(listening, create(everyone, guard, address), self._tls)

    def start(self) -> None:
        """Answer. Until here, clients wait in the queue."""
        self._http.start()

    @property
    def address(self) -> tuple[str, int]:
        """(ip, port) that it listens on."""
        return self._http.address

    def close(self) -> None:
        """Close the listener, give what is being answered a moment, and end the rest."""
        self._http.close()
        if self._tls is not None:
            self._tls.close()

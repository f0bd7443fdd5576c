"""The admin server: its Flask app on a bounded HTTP server."""

from _socket import socket as RawSocket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from linkerd_tcp.admin import delegator, private, web
from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.config.admin import AdminConfig
from linkerd_tcp.errors import ConfigError, StartError
from linkerd_tcp.web.guard import PROBES, Guard
from linkerd_tcp.web.server import HttpServer, Limits

if TYPE_CHECKING:
    from linkerd_tcp.net.keys import Identity
    from linkerd_tcp.terminator import Terminator

LIMITS: Final = Limits("admin server", max_connections=100, max_body_bytes=delegator.MAX_BODY_BYTES, max_followers=30)


class AdminServer:
    """Serves `app` on `app.config.admin`'s address. `bind` or `adopt`, then `start`, then `close`; `close` alone is
    harmless.
    """

    def __init__(self, app: Controls) -> None:
        self._app = app
        self._guard = Guard(app.config.admin.allowed_hosts, PROBES)
        self._tls: Terminator | None = None
        self._http = HttpServer(LIMITS)

    def bind(self) -> None:
        """Listen; StartError that names `admin.port` if that cannot be, or the file where TLS cannot be spoken."""
        config = self._app.config.admin
        self._tls = make_tls(config)
        self._guard.is_secure = self._tls is not None
        self._http.bind(config.ip, config.port, "admin.port", web.create(self._app, self._guard), self._tls)

    def adopt(self, listening: RawSocket) -> None:
        """Answer on this UNIX socket instead, which listens already and is reached by the admin process only: what that
        one asks of a worker is answered too. Never with TLS.
        """
        self._http.adopt(listening, web.create(self._app, self._guard, private.blueprint(self._app)))

    def start(self) -> None:
        """Answer. Until here, clients wait in the queue."""
        self._http.start()

    @property
    def address(self) -> tuple[str, int]:
        """(ip, port) that it listens on; the port is the real one where the file says 0. Not of a UNIX socket."""
        return self._http.address

    @property
    def identities(self) -> Mapping[str, "Identity"]:
        """What is shown where TLS is spoken, by name; `*` is the default one."""
        return {} if self._tls is None else self._tls.identities

    def reconfigure(self) -> None:
        """After a reload: `allowedHosts` applies from here on (`readOnly` is looked at in each request)."""
        self._guard.allow(self._app.config.admin.allowed_hosts)

    def close(self) -> None:
        """Close the listener, give what is being answered a moment, and end the rest."""
        self._http.close()
        if self._tls is not None:
            self._tls.close()


def make_tls(config: AdminConfig) -> "Terminator | None":
    """How admin speaks TLS, where it does: it follows its files by itself. StartError that names the file."""
    if config.tls is None:
        return None
    # Only where it is wanted: it brings the library that reads keys.
    from linkerd_tcp.terminator import Terminator

    try:
        return Terminator(config.tls)
    except ConfigError as error:
        raise StartError(f"admin.tls: {error}") from error

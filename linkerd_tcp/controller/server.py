"""namerd's port: its API on an HTTP server of its own."""

from _socket import socket as RawSocket
from collections.abc import Callable
from typing import Final

from linkerd_tcp.config.admin import NamerdConfig
from linkerd_tcp.controller.api import create
from linkerd_tcp.controller.control import Control
from linkerd_tcp.controller.dtabs import MAX_BODY_BYTES
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.web.guard import Guard
from linkerd_tcp.web.server import HttpServer, Limits

LIMITS: Final = Limits("control plane", max_connections=4_000, max_body_bytes=MAX_BODY_BYTES, max_followers=3_500)


class ControlServer:
    """Serves the control plane that `find` finds. `bind` or `adopt`, then `start`, then `close`; `close` alone is
    harmless.

    Its connections take room of `capacity`: a thousand watchers must not leave clients without descriptors.
    """

    def __init__(self, find: Callable[[], Control | None], capacity: Capacity | None = None) -> None:
        self._guard = Guard(key="namerd.allowedHosts")
        self._find = find
        self._http = HttpServer(LIMITS, capacity)

    def bind(self, config: NamerdConfig) -> None:
        """Listen; StartError that names `namerd.port` if that cannot be."""
        self.reconfigure(config)
        self._http.bind(config.ip, config.port, "namerd.port", create(self._find, self._guard))

    def adopt(self, config: NamerdConfig, listening: RawSocket) -> None:
        """Answer on this socket instead, which listens already."""
        self.reconfigure(config)
        self._http.adopt(listening, create(self._find, self._guard))

    def start(self) -> None:
        """Answer. Until here, clients wait in the queue."""
        self._http.start()

    @property
    def address(self) -> tuple[str, int]:
        """(ip, port) that it listens on; the port is the real one where the file says 0."""
        return self._http.address

    @property
    def watchers(self) -> int:
        """Answers without end under way."""
        return self._http.following

    def reconfigure(self, config: NamerdConfig) -> None:
        """`allowedHosts` applies from here on."""
        self._guard.allow(config.allowed_hosts)

    def close(self) -> None:
        """Close the listener, end every watch in order, give what is being answered a moment, and end the rest."""
        self._http.close()

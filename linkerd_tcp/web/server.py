"""An HTTP server: gevent's pywsgi, with the bounds and deadlines that it lacks.

At most `max_connections` are served at once. Beyond them, whoever has been silent longest (between two requests, or
in the middle of sending one) makes room, so that neither idle keep-alive connections nor those that dawdle can keep
a probe from its answer; if all of them are being answered, the newcomer gets a 503. Answers without end (`following`)
have a bound of their own below that, so that they leave room for others. A TLS handshake is silence until it is done.
"""

import logging
import ssl
from _socket import socket as RawSocket
from dataclasses import dataclass
from typing import Any, Final, Protocol

import gevent.socket
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from linkerd_tcp.net.descriptors import Capacity, OwnDescriptors
from linkerd_tcp.net.listener import bind
from linkerd_tcp.web.following import Follower
from linkerd_tcp.web.gate import Gate
from linkerd_tcp.web.handler import Handler, plain

BACKLOG: Final = 256
CLOSE_SECS: Final = 1.0
"""What requests under way get at the end."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one server lets its clients cost."""

    what: str
    """The server, as it calls itself to clients: "admin server"."""
    max_connections: int
    max_body_bytes: int
    max_followers: int = 0
    """Of those connections; less, so that others are still answered."""


class Tls(Protocol):
    """How TLS is spoken, where it is; asked anew for each connection."""

    def wrap(self, sock: gevent.socket.socket) -> Any:
        """This socket as one of TLS, the handshake still to be made; the descriptor is the new one's."""

    def in_words(self, error: ssl.SSLError) -> str:
        """Why a handshake failed."""


class HttpServer:
    """A WSGI application on an address. `bind`, then `start`, then `close`; `close` alone is harmless."""

    def __init__(self, limits: Limits, capacity: Capacity | None = None) -> None:
        self._limits = limits
        self._descriptors = None if capacity is None else OwnDescriptors(capacity)
        self._server: Server | None = None

    def bind(self, ip: str, port: int, key: str, application: Any, tls: Tls | None = None) -> None:
        """Listen; StartError that names `key`, where the file says so, if that cannot be."""
        self.adopt(bind(ip, port, BACKLOG, key), application, tls)

    def adopt(self, listening: RawSocket, application: Any, tls: Tls | None = None) -> None:
        """Listen on this socket, TCP or UNIX, that is bound and listens already; it is the server's from here on."""
        # pywsgi wants gevent's kind of socket.
        listener = gevent.socket.socket(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._server = Server(listener, application, self._limits, self._descriptors, tls)

    def start(self) -> None:
        """Answer. Until here, clients wait in the queue."""
        assert self._server is not None, "bind comes first"
        self._server.start()

    @property
    def address(self) -> tuple[str, int]:
        """(ip, port) that it listens on; the port is the real one where 0 was asked for."""
        assert self._server is not None, "bind comes first"
        address: tuple[str, int] = self._server.address[:2]
        return address

    @property
    def silent(self) -> int:
        """Connections that wait for a whole request."""
        return 0 if self._server is None else len(self._server.silent)

    @property
    def answering(self) -> int:
        """Requests under way."""
        return 0 if self._server is None else len(self._server.answering)

    @property
    def following(self) -> int:
        """Answers without end under way."""
        return 0 if self._server is None else len(self._server.following)

    def close(self) -> None:
        """Close the listener, give what is being answered a moment, and end the rest."""
        if self._server is not None:
            self._server.close_all()


class Server(WSGIServer):  # type: ignore[misc]
    """pywsgi with a bound on connections."""

    max_accept = 16
    """In one turn of the loop."""

    def __init__(
        self,
        listener: gevent.socket.socket,
        application: Any,
        limits: Limits,
        descriptors: OwnDescriptors | None,
        tls: Tls | None,
    ) -> None:
        name = listener.getsockname()
        # SERVER_NAME given: pywsgi would ask a name server for it.
        super().__init__(
            listener,
            application,
            spawn=Pool(),
            log=None,
            error_log=_Quiet(),
            handler_class=Handler,
            environ={
                "SERVER_NAME": str(name[0]) if isinstance(name, tuple) else "localhost",
                "wsgi.url_scheme": "http" if tls is None else "https",
            },
        )
        self.tls = tls
        self.limits = limits
        self.silent: dict[Handler, None] = {}
        """Those that wait for a whole request, the longest silent first."""
        self.answering: set[Handler] = set()
        self.following: dict[Handler, Follower] = {}
        self.gate = Gate()
        self._descriptors = descriptors

    def handle(self, sock: gevent.socket.socket, address: Any) -> None:
        if len(self.silent) + len(self.answering) + len(self.following) >= self.limits.max_connections:
            if not self.silent:
                self._refuse(sock, f"This {self.limits.what} is answering as many requests as it can.")
                return
            next(iter(self.silent)).hang_up()
        if self._descriptors is not None and not self._descriptors.take():
            self._refuse(sock, "This process has as many connections open as it may have descriptors.")
            return
        handler = Handler(sock, address, self)
        try:
            handler.handle()
        finally:
            self.silent.pop(handler, None)
            self.answering.discard(handler)
            self.following.pop(handler, None)
            if self._descriptors is not None:
                self._descriptors.give_back()

    def _refuse(self, sock: gevent.socket.socket, words: str) -> None:
        """Whatever it was going to ask; the few bytes always fit the socket's buffer. With TLS none would be read."""
        try:
            if self.tls is None:
                sock.send(plain("503 Service Unavailable", words))
        except OSError as error:
            _log.debug("refused client had gone: %s", error)
        sock.close()

    def close_all(self) -> None:
        self.close()
        for follower in list(self.following.values()):
            follower.end()
        for handler in list(self.silent):
            handler.hang_up()
        self.pool.join(timeout=CLOSE_SECS)
        self.pool.kill(timeout=CLOSE_SECS)


class _Quiet:
    """Where pywsgi writes its own errors."""

    def write(self, text: str) -> None:
        _log.debug("%s", text.rstrip())

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing waits here."""

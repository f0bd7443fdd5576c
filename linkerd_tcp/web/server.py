"""An HTTP server: gevent's pywsgi, with the bounds and deadlines that it lacks.

At most `max_connections` are served at once. Beyond them, whoever has been silent longest (between two requests, or
in the middle of sending one) makes room, so that neither idle keep-alive connections nor those that dawdle can keep
a probe from its answer; if all of them are being answered, the newcomer gets a 503. Answers without end (`following`)
have a bound of their own below that, so that they leave room for others.
"""

import errno
import logging
import socket
from _socket import socket as RawSocket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import gevent
import gevent.socket
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from linkerd_tcp.net.descriptors import Capacity, OwnDescriptors
from linkerd_tcp.net.listener import bind
from linkerd_tcp.web.following import ENVIRON_KEY, Follower, TooManyFollowers
from linkerd_tcp.web.gate import Gate
from linkerd_tcp.web.streams import dumps

BACKLOG: Final = 256
IDLE_SECS: Final = 15.0
"""Until the first line of a request, or of the next one."""

REQUEST_SECS: Final = 30.0
"""From its first line: headers, body, the work, and writing the answer."""

STALL_SECS: Final = 10.0
"""A write that makes no headway."""

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


class HttpServer:
    """A WSGI application on an address. `bind`, then `start`, then `close`; `close` alone is harmless."""

    def __init__(self, limits: Limits, capacity: Capacity | None = None) -> None:
        self._limits = limits
        self._descriptors = None if capacity is None else OwnDescriptors(capacity)
        self._server: _Server | None = None

    def bind(self, ip: str, port: int, key: str, application: Any) -> None:
        """Listen; StartError that names `key`, where the file says so, if that cannot be."""
        self.adopt(bind(ip, port, BACKLOG, key), application)

    def adopt(self, listening: RawSocket, application: Any) -> None:
        """Listen on this socket, TCP or UNIX, that is bound and listens already; it is the server's from here on."""
        # pywsgi wants gevent's kind of socket.
        listener = gevent.socket.socket(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._server = _Server(listener, application, self._limits, self._descriptors)

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


class _Server(WSGIServer):  # type: ignore[misc]
    """pywsgi with a bound on connections."""

    max_accept = 16
    """In one turn of the loop."""

    def __init__(
        self,
        listener: gevent.socket.socket,
        application: Any,
        limits: Limits,
        descriptors: OwnDescriptors | None,
    ) -> None:
        name = listener.getsockname()
        # SERVER_NAME given: pywsgi would ask a name server for it.
        super().__init__(
            listener,
            application,
            spawn=Pool(),
            log=None,
            error_log=_Quiet(),
            handler_class=_Handler,
            environ={"SERVER_NAME": str(name[0]) if isinstance(name, tuple) else "localhost"},
        )
        self.limits = limits
        self.silent: dict[_Handler, None] = {}
        """Those that wait for a whole request, the longest silent first."""
        self.answering: set[_Handler] = set()
        self.following: dict[_Handler, Follower] = {}
        self.gate = Gate()
        self._descriptors = descriptors

    def handle(self, sock: gevent.socket.socket, address: Any) -> None:
        if len(self.silent) + len(self.answering) + len(self.following) >= self.limits.max_connections:
            if not self.silent:
                _refuse(sock, f"This {self.limits.what} is answering as many requests as it can.")
                return
            next(iter(self.silent)).hang_up()
        if self._descriptors is not None and not self._descriptors.take():
            _refuse(sock, "This process has as many connections open as it may have descriptors.")
            return
        handler = _Handler(sock, address, self)
        try:
            handler.handle()
        finally:
            self.silent.pop(handler, None)
            self.answering.discard(handler)
            self.following.pop(handler, None)
            if self._descriptors is not None:
                self._descriptors.give_back()

    def close_all(self) -> None:
        self.close()
        for follower in list(self.following.values()):
            follower.end()
        for handler in list(self.silent):
            handler.hang_up()
        self.pool.join(timeout=CLOSE_SECS)
        self.pool.kill(timeout=CLOSE_SECS)


def _refuse(sock: gevent.socket.socket, words: str) -> None:
    """Whatever it was going to ask; the few bytes always fit the socket's buffer."""
    try:
        sock.send(_plain("503 Service Unavailable", words))
    except OSError as error:
        _log.debug("refused client had gone: %s", error)
    sock.close()


def _plain(status: str, words: str) -> bytes:
    body = dumps({"error": words}) + "\n"
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode()


class _BadRequest(ValueError):
    """A request that is refused before anything looks at it; `answer` is the whole response."""

    def __init__(self, status: str, words: str) -> None:
        super().__init__(words)
        self.status = status.encode()
        self.answer = _plain(status, words)


class _Handler(WSGIHandler):  # type: ignore[misc]
    """One connection, one request after another, each within its time."""

    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, "timed out")

    def __init__(self, sock: gevent.socket.socket, address: Any, server: _Server) -> None:
        sock.settimeout(STALL_SECS)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, address, server)
        self._deadline: Any = None
        self._be_silent()

    def hang_up(self) -> None:
        """End it from outside: its reader sees the end of the file."""
        # Out of the list at once: its greenlet runs only in the next turn, and the next newcomer needs another's place.
        self.server.silent.pop(self, None)
        sock = self.__dict__.get("socket")
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("client had gone: %s", error)

    def _be_silent(self) -> None:
        self.server.answering.discard(self)
        self.server.silent[self] = None

    def handle(self) -> None:
        try:
            super().handle()
        except gevent.Timeout:
            _log.debug("client %s took too long", self.client_address)
        except OSError as error:
            _log.debug("client %s has gone: %s", self.client_address, error)
        finally:
            # The request has its handler, which has the request: a cycle with a buffer in it, for each scrape.
            self.__dict__.pop("environ", None)

    def handle_one_request(self) -> Any:
        self._be_silent()
        # pywsgi has no deadlines, and a socket's own timeout is begun anew by every byte.
        self._deadline = gevent.Timeout.start_new(IDLE_SECS)
        try:
            return super().handle_one_request()
        finally:
            self._deadline.close()

    def read_requestline(self) -> Any:
        line = super().read_requestline()
        self._deadline.close()
        self._deadline = gevent.Timeout.start_new(REQUEST_SECS)
        if line:
            self.server.gate.enter()
        return line

    def read_request(self, raw_requestline: str) -> Any:
        known = super().read_request(raw_requestline)
        self.server.silent.pop(self, None)
        self.server.answering.add(self)
        if self.headers.get("transfer-encoding") is not None:
            raise _BadRequest("411 Length Required", "Send the body with a Content-Length, not in chunks.")
        most = self.server.limits.max_body_bytes
        if (self.content_length or 0) > most:
            # Here and not in the app, because pywsgi would read all of it afterwards, without a pause.
            raise _BadRequest("413 Content Too Large", f"At most {most} bytes are read.")
        return known

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ[ENVIRON_KEY] = self
        return environ

    def begin_following(self, follower: Follower) -> None:
        if len(self.server.following) >= self.server.limits.max_followers:
            raise TooManyFollowers
        self._deadline.close()
        self.server.answering.discard(self)
        self.server.following[self] = follower
        # What the client sends meanwhile is thrown away: it may have been the next request.
        self.close_connection = True

    def send_headers(self) -> None:
        if not self.headers_sent:
            self._write_with_headers(b"")

    def finalize_headers(self) -> None:
        super().finalize_headers()
        if self.command == "HEAD":
            self.response_use_chunked = False  # pywsgi would end the chunks that are not there, in the next answer

    def run_application(self) -> None:
        try:
            super().run_application()
        except BaseException:
            # pywsgi would read what is left of the body first, with the deadline over, however slowly it comes.
            self.wsgi_input.content_length = None
            raise
        if self in self.server.following:
            self.wsgi_input.content_length = None  # as above, and the follower has read some of it

    def _handle_client_error(self, ex: BaseException) -> tuple[bytes, bytes]:
        _log.debug("bad request from %s: %s", self.client_address, ex)
        if not isinstance(ex, _BadRequest):
            ex = _BadRequest("400 Bad Request", "This is no HTTP request that can be read.")
        return ex.status, ex.answer

    def handle_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """pywsgi would print the traceback on standard error."""
        self.close_connection = True
        if issubclass(kind, gevent.Timeout | OSError):
            _log.debug("client %s took too long or has gone: %s", self.client_address, error)
            return
        if not issubclass(kind, gevent.GreenletExit):
            _log.error("a request failed; please report this", exc_info=(kind, error, trace))
        if not self.headers_sent:
            self.socket.sendall(
                _plain("500 Internal Server Error", "This request failed here; the log has the details.")
            )

    def log_request(self) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s", self.format_request())


class _Quiet:
    """Where pywsgi writes its own errors."""

    def write(self, text: str) -> None:
        _log.debug("%s", text.rstrip())

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing waits here."""

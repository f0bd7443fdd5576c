"""One connection of an HTTP server: one request after another, each within its time, over TLS where that is spoken."""

import errno
import http.client
import logging
import socket
import ssl
from io import BufferedReader
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import gevent
import gevent.socket
from gevent.pywsgi import MAX_REQUEST_LINE, WSGIHandler

from linkerd_tcp.net.throttle import Throttle
from linkerd_tcp.web.following import ENVIRON_KEY, Follower, TooManyFollowers
from linkerd_tcp.web.streams import dumps

if TYPE_CHECKING:
    from linkerd_tcp.web.server import Server

HANDSHAKE_SECS: Final = 10.0
"""From accept to TLS agreed."""

IDLE_SECS: Final = 15.0
"""Until the first line of a request, or of the next one."""

REQUEST_SECS: Final = 30.0
"""From its first line: headers, body, the work, and writing the answer."""

STALL_SECS: Final = 10.0
"""A write that makes no headway."""

LINGER_SECS: Final = 1.0
LINGER_BYTES: Final = 1024 * 1024
"""How long, and how much of it, a refused client may go on sending: unread, it would make a reset of our end, and the
answer might be lost."""

MAX_HEADER_BYTES: Final = 64 * 1024
"""Of all headers of a request. Browsers send the cookies of every other server of this machine along."""

_HANDSHAKE: Final = b"\x16"
"""What each TLS connection begins with (RFC 8446, section 5.1); no request of HTTP does."""

_log = logging.getLogger(__name__)
_said = Throttle()


def plain(status: str, words: str) -> bytes:
    """A whole response, without the help of any application."""
    body = dumps({"error": words}) + "\n"
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}"
    ).encode()


class _BadRequest(ValueError):
    """A request that is refused before anything looks at it; `answer` is the whole response."""

    def __init__(self, status: str, words: str) -> None:
        super().__init__(words)
        self.status = status.encode()
        self.answer = plain(status, words)


class _HeaderLines:
    """Those of one request, as many as MAX_HEADER_BYTES hold; pywsgi would take megabytes."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._left = MAX_HEADER_BYTES

    def readline(self, most: int) -> bytes:
        line = self._file.readline(min(most, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise _BadRequest("431 Request Header Fields Too Large", f"Headers are at most {MAX_HEADER_BYTES} bytes.")
        return line


class Handler(WSGIHandler):  # type: ignore[misc]
    """See the module."""

    socket: Any
    rfile: Any
    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, "timed out")

    def __init__(self, sock: gevent.socket.socket, address: Any, server: "Server") -> None:
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
                # Not gevent's own method: with TLS it leaves the reader with an object that it cannot read any more.
                sock._sock.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("client had gone: %s", error)

    def _be_silent(self) -> None:
        self.server.answering.discard(self)
        self.server.silent[self] = None

    def handle(self) -> None:
        try:
            if self.server.tls is None or self._shake_hands():
                super().handle()
        except gevent.Timeout:
            _log.debug("client %s took too long", self.client_address)
        except OSError as error:
            _log.debug("client %s has gone: %s", self.client_address, error)
        finally:
            if (sock := self.__dict__.pop("socket", None)) is not None:
                sock.close()
            # The request has its handler, which has the request: a cycle with a buffer in it, for each scrape.
            self.__dict__.pop("environ", None)

    def _shake_hands(self) -> bool:
        """Whether TLS is spoken from here on."""
        with gevent.Timeout(HANDSHAKE_SECS):
            first = self.socket.recv(1, socket.MSG_PEEK)
            if first != _HANDSHAKE:
                if first:
                    self.socket.sendall(plain("400 Bad Request", "This port speaks TLS: ask it with https."))
                    self._linger()
                return False
            # Each handshake takes a millisecond or more: those that come all at once are begun one by one.
            self.server.gate.enter()
            self.rfile.close()
            self.socket = self.server.tls.wrap(self.socket)
            self.rfile = self.socket.makefile("rb", -1)
            try:
                self.socket.do_handshake()
            except ssl.SSLError as error:
                self._say_refused(error)
                return False
        return True

    def _say_refused(self, error: ssl.SSLError) -> None:
        words = self.server.tls.in_words(error)
        if (unsaid := _said.ask(words)) is not None:
            more = f" ({unsaid} more like this)" if unsaid else ""
            what, address = self.server.limits.what, self.client_address[0]
            _log.warning("%s: TLS handshake with %s failed: %s%s", what, address, words, more)

    def handle_one_request(self) -> Any:
        self._be_silent()
        # pywsgi has no deadlines, and a socket's own timeout is begun anew by every byte.
        self._deadline = gevent.Timeout.start_new(IDLE_SECS)
        try:
            result = super().handle_one_request()
            if result is True:
                return result
            if result is not None:
                self.status, answer = result
                if self.status == "414":
                    answer = plain(
                        "414 URI Too Long", f"The first line of a request is at most {MAX_REQUEST_LINE} bytes."
                    )
                self.socket.sendall(answer)
                self.log_request()
            self._announce_end()
            if result is not None:
                self._linger()
            return None
        finally:
            self._deadline.close()

    def _announce_end(self) -> None:
        """TLS's own end: without it an answer that ends with the connection looks cut off. Waits for nothing."""
        tls = getattr(self.socket, "_sslobj", None)
        if tls is not None:
            try:
                tls.shutdown()
            except OSError as error:
                _log.debug("said to %s, or it had gone: %s", self.client_address, error)

    def _linger(self) -> None:
        raw = self.socket._sock
        raw.shutdown(socket.SHUT_WR)
        left = LINGER_BYTES
        with gevent.Timeout(LINGER_SECS, False):
            while left > 0:
                gevent.socket.wait_read(raw.fileno())
                data = raw.recv(min(left, MAX_HEADER_BYTES))
                if not data:
                    break
                left -= len(data)

    def read_requestline(self) -> Any:
        line = super().read_requestline()
        self._deadline.close()
        self._deadline = gevent.Timeout.start_new(REQUEST_SECS)
        if line:
            self.server.gate.enter()
        return line

    def MessageClass(self, file: BufferedReader, _: int) -> Any:  # noqa: N802 - pywsgi's name
        return super().MessageClass(_HeaderLines(file), 0)

    def read_request(self, raw_requestline: str) -> Any:
        known = super().read_request(raw_requestline)
        self.server.silent.pop(self, None)
        self.server.answering.add(self)
        if not self.path.startswith("/") and self.path != "*":
            raise _BadRequest("400 Bad Request", "This is no proxy: ask for a path that begins with a slash.")
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
        if isinstance(ex, http.client.HTTPException):
            # A line that is too long, or too many of them.
            ex = _BadRequest("431 Request Header Fields Too Large", f"These headers are too many: {ex}.")
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
                plain("500 Internal Server Error", "This request failed here; the log has the details.")
            )

    def log_request(self) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s", self.format_request())

"""Tiny HTTP/1.1 backends for the example and the demo, each answering every request with its own name."""

import re
import sys
from _socket import socket as Socket
from typing import Any, Final

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from linkerd_tcp.errors import StartError
from linkerd_tcp.net.listener import bind

HEADER_BYTES: Final = 16 * 1024
HEADER_SECS: Final = 30.0
"""From the first byte of a request to the end of its header, and the longest silence between two requests."""
WRITE_SECS: Final = 10.0
CONNECTIONS: Final = 2_000
"""Per backend; the listener waits while there are as many."""
BACKLOG: Final = 1_024
MOST: Final = 100
"""Ports in one range."""

_CLOSE: Final = re.compile(rb"\r\nconnection:[^\r\n]*\bclose\b", re.IGNORECASE)
_HAS_BODY: Final = re.compile(rb"\r\n(?:content-length:[ \t]*0*[1-9]|transfer-encoding:)", re.IGNORECASE)
_REQUEST: Final = re.compile(rb"[A-Z]{1,20} [^ \r\n]+ HTTP/1\.[01]\r\n")


def parse_range(text: str) -> tuple[int, int]:
    """`8081-8083` or `8081` as (first, last); ValueError saying what is wrong."""
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash)):
        raise ValueError(f"{text!r} is no range of ports: expected FIRST-LAST, as in 8081-8083")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise ValueError(f"{text!r} is no range of ports: expected two ports from 1 to 65535, the lower one first")
    if high - low >= MOST:
        raise ValueError(f"{text!r} has {high - low + 1} ports: at most {MOST} backends are started")
    return low, high


class ExampleBackends:
    """One backend on each of the loopback ports `first` to `last`, both included; started by `start`, ended by `close`.

    Any path and method is answered 200 with the body `backend 8081`. `option` is what named the ports to the user.
    """

    def __init__(self, first: int, last: int, *, option: str = "--backends") -> None:
        self.ports = range(first, last + 1)
        self._option = option
        self._backends: list[ExampleBackend] = []

    def start(self) -> None:
        """Listen on every port, or on none: StartError names the one that could not be had."""
        for port in self.ports:
            backend = ExampleBackend(port, option=self._option)
            try:
                backend.start()
            except StartError:
                self.close()
                raise
            self._backends.append(backend)

    def close(self, timeout_secs: float = 0.0) -> None:
        """Stop listening, and cut the connections that are left after `timeout_secs`."""
        backends, self._backends = self._backends, []
        closing = [gevent.spawn(backend.close, timeout_secs) for backend in backends]
        gevent.joinall(closing, timeout=timeout_secs + 1.0)


class ExampleBackend:
    """One of them, on the loopback port `port` (0: any free one), which answers `delay_secs` after each request.

    Between `pause` and `resume` it refuses connections, and goes on with those that it has.
    """

    def __init__(self, port: int, *, delay_secs: float = 0.0, option: str = "--backends") -> None:
        self.port = port
        self._delay_secs = delay_secs
        self._option = option
        self._pool = Pool(CONNECTIONS)
        self._server: StreamServer | None = None
        self._kept: Socket | None = None

    def start(self) -> None:
        """Listen; StartError if the port cannot be had. `port` is the real one from here on."""
        listening = bind("127.0.0.1", self.port, BACKLOG, self._option)
        self.port = listening.getsockname()[1]
        self._serve(listening)

    def pause(self) -> None:
        """Refuse new connections. On Linux the port stays taken, or an outgoing connection could be given it."""
        if self._server is None:
            return
        if sys.platform == "linux":
            self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._kept = self._joined()
        self._server.close()
        self._server = None

    def resume(self) -> None:
        """Accept again. StartError if the port has been lost: it can be tried later."""
        if self._server is not None:
            return
        if self._kept is None:
            self._serve(bind("127.0.0.1", self.port, BACKLOG, self._option))
            return
        listening = self._joined()
        listening.listen(BACKLOG)
        self._serve(listening)
        self._kept.close()
        self._kept = None

    def close(self, timeout_secs: float = 0.0) -> None:
        """Stop listening, and cut the connections that are left after `timeout_secs`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self._pool.join(timeout_secs)
        self._pool.kill(timeout=1.0)

    def _serve(self, listening: Socket) -> None:
        serve = _Backend(self.port, self._delay_secs).serve
        self._server = StreamServer(socket.socket(fileno=listening.detach()), serve, spawn=self._pool)
        self._server.start()

    def _joined(self) -> Socket:
        """Bound to the port beside the socket that has it, and not listening."""
        joined = Socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            joined.setblocking(False)
            joined.bind(("127.0.0.1", self.port))
        except BaseException:
            joined.close()
            raise
        return joined


class _Backend:
    def __init__(self, port: int, delay_secs: float = 0.0) -> None:
        self._delay_secs = delay_secs
        body = b"backend %d\n" % port
        head = b"HTTP/1.1 %b\r\nServer: linkerd-tcp-example\r\nX-Backend: %d\r\nContent-Type: text/plain\r\n"
        self._head = head % (b"200 OK", port) + b"Content-Length: %d\r\n" % len(body)
        self._body = body
        self._refusal = head % (b"400 Bad Request", port) + b"Content-Length: 0\r\nConnection: close\r\n\r\n"

    def serve(self, connection: Any, _source: tuple[str, int]) -> None:
        """One connection, from accept to close; the caller closes the socket."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pending = b""
        open_still = True
        try:
            while open_still:
                with gevent.Timeout(HEADER_SECS, TimeoutError()):
                    request, pending = _read_header(connection, pending)
                if not request:
                    return
                reply, open_still = self._answer(request)
                if self._delay_secs:
                    gevent.sleep(self._delay_secs)
                connection.settimeout(WRITE_SECS)
                connection.sendall(reply)
        except OSError:  # the client went, or stopped reading or writing: there is nobody to tell (TimeoutError is one)
            return

    def _answer(self, request: bytes) -> tuple[bytes, bool]:
        """The reply, and whether another request may follow it (not behind a body, which is not read)."""
        line = _REQUEST.match(request)
        if line is None:
            return self._refusal, False
        ends = line[0].endswith(b"1.0\r\n") or _CLOSE.search(request) or _HAS_BODY.search(request)
        head = self._head + (b"Connection: close\r\n\r\n" if ends else b"\r\n")
        return (head if request.startswith(b"HEAD ") else head + self._body), not ends


def _read_header(connection: Any, pending: bytes) -> tuple[bytes, bytes]:
    """(one request's header with its empty line, what came after it); empty at the end of the stream.

    What grows over the bound without an end is handed back as it is: no request.
    """
    while (end := pending.find(b"\r\n\r\n")) < 0:
        if len(pending) > HEADER_BYTES:
            return b"\r\n" + pending, b""
        more = connection.recv(8192)
        if not more:
            return b"", b""
        pending += more
    return pending[: end + 4], pending[end + 4 :]

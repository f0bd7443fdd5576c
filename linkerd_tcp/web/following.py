"""An answer without end: one document after another, for as long as the client reads them.

What is told is the latest, never all of it: a slow reader skips what was overtaken, so that it costs one document of
memory. Its socket is watched meanwhile, because pywsgi notices only at the next write that a client has gone.
"""

import logging
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final, Protocol

import gevent.socket
from gevent.event import Event
from gevent.hub import get_hub

from linkerd_tcp.net.options import to_setsockopt

ENVIRON_KEY: Final = "linkerd_tcp.connection"
"""Where an application finds the `Connection` of a request."""

BLOCK_BYTES: Final = 64 * 1024
SEND_BUFFER_BYTES: Final = 64 * 1024
"""What the kernel may hold back of it for one slow reader; it takes twice that."""

DOCUMENT_SECS: Final = 30.0
"""For one document to be taken: whoever reads slower than that is let go."""

MAX_STRAY_BYTES: Final = 1024 * 1024
"""What a client may go on sending after its request; nobody reads it."""

_READ: Final = 1

_log = logging.getLogger(__name__)


class _KeepAlive:
    idle_secs, interval_secs, count = 10, 5, 3


class _Options:
    """A client whose machine has vanished is noticed within 25 seconds, whether or not something was sent to it."""

    no_delay = True
    keep_alive = _KeepAlive()
    user_timeout_ms = 25_000


class TooManyFollowers(Exception):
    """This server has no room for one more answer without end."""


class Connection(Protocol):
    """What a server gives its application of the connection that a request came by."""

    socket: gevent.socket.socket

    def begin_following(self, follower: "Follower") -> None:
        """From here on the request has no deadline; TooManyFollowers. Ends by itself with the answer."""

    def send_headers(self) -> None:
        """Now, and not with the first document."""


class Follower:
    """The reader of an answer without end. TooManyFollowers where there are enough of them.

    `wake` may be called from anywhere. `wait` and `write` belong to the greenlet of the request.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        self._connection: Connection = environ[ENVIRON_KEY]
        self._socket = self._connection.socket
        self._woken = Event()
        self._stray_bytes = 0
        self._watcher: Any = None
        self.gone = False
        """The client has, or the server is about to: nothing more is to be sent."""
        self._connection.begin_following(self)

    def start(self) -> None:
        """Send the headers and look out for the client's end; `close` ends that."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        for option in to_setsockopt(_Options()):
            self._socket.setsockopt(*option)
        self._connection.send_headers()
        if not self.gone:
            self._watcher = get_hub().loop.io(self._socket.fileno(), _READ)
            self._watcher.start(self._readable)

    def wake(self, _: object = None) -> None:
        self._woken.set()

    def wait(self) -> bool:
        """Until somebody calls `wake`, or did since the last time; False when nothing more is to be sent."""
        self._woken.wait()
        self._woken.clear()
        return not self.gone

    def blocks(self, document: bytes) -> Iterator[bytes]:
        """`document` to be written piece by piece; TimeoutError where the reader is too slow."""
        until = monotonic() + DOCUMENT_SECS
        for start in range(0, len(document), BLOCK_BYTES):
            if monotonic() > until:
                raise TimeoutError(f"a document was not taken within {DOCUMENT_SECS:g} s")
            yield document[start : start + BLOCK_BYTES]

    def end(self) -> None:
        """Let the answer end in order, soon."""
        self.gone = True
        self.wake()

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    def _readable(self) -> None:
        """In the hub: the client has sent something that nobody asked for, or its end."""
        try:
            data = self._socket._sock.recv(BLOCK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            _log.debug("a follower has gone: %s", error)
            data = b""
        self._stray_bytes += len(data)
        if data and self._stray_bytes <= MAX_STRAY_BYTES:
            return
        self.close()
        try:
            # A write under way, to a client that takes nothing more, ends now and not after its time.
            self._socket._sock.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            _log.debug("a follower had gone: %s", error)
        self.end()

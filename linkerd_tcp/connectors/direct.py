"""Plain TCP to one address.

Every connection comes through here, so it is written for few system calls: a C socket with its family and
type given, no watcher when the connect ends at once, and one io watcher and one timer when it does not.
"""

import _socket
import errno
from typing import Any, Final

from gevent.hub import get_hub
from greenlet import getcurrent

from linkerd_tcp.connectors.connector import Abandoned, Target
from linkerd_tcp.connectors.failures import failure, met_itself
from linkerd_tcp.net.options import SocketOptions, can_wait, to_setsockopt
from linkerd_tcp.record import Record

_TYPE: Final[int] = _socket.SOCK_STREAM | getattr(_socket, "SOCK_NONBLOCK", 0) | getattr(_socket, "SOCK_CLOEXEC", 0)
_SETS_NONBLOCKING: Final = hasattr(_socket, "SOCK_NONBLOCK")
_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR, errno.EWOULDBLOCK})
_WRITE: Final = 2
"""libev's EV_WRITE."""
_ABANDONED: Final = -1


class DirectConnector:
    """Connects over TCP and sets `options` on what it connected. See `Connector` for what connect() promises.

    Those that a short connection has no use for are not set but left with the target, for who sees it last.
    """

    __slots__ = ("_late_options", "_options")

    def __init__(self, options: SocketOptions) -> None:
        wanted = to_setsockopt(options)
        self._options = tuple(option for option in wanted if not can_wait(option))
        self._late_options = tuple(option for option in wanted if can_wait(option))

    def connect(self, target: Target, timeout_secs: float, record: Record | None = None) -> _socket.socket:
        """See `Connector.connect`."""
        try:
            sock = _socket.socket(target.family, _TYPE, 0)
        except OSError as error:
            raise failure(target.text, error.errno or 0) from None
        try:
            if not _SETS_NONBLOCKING:
                sock.setblocking(False)
            code = sock.connect_ex(target.sockaddr)
            if code in _IN_PROGRESS and target.near:
                # On loopback the handshake is over by now: asking again saves a watcher and a turn of the loop.
                code = sock.connect_ex(target.sockaddr)
            if code in _IN_PROGRESS:
                code = _wait(sock, target, timeout_secs)
            if code:
                raise Abandoned(target.text) if code == _ABANDONED else failure(target.text, code)
            for level, option, value in self._options:
                sock.setsockopt(level, option, value)
            if target.may_meet_itself and sock.getsockname()[:2] == target.sockaddr[:2]:
                raise met_itself(target.text)
            target.late_options = self._late_options
        except OSError as error:
            sock.close()
            raise failure(target.text, error.errno or 0) from None
        except BaseException:
            # Also what is thrown into a parked greenlet.
            sock.close()
            raise
        return sock


class _Waiting:
    """A greenlet parked until its connect has ended, somehow. The first of the three events decides."""

    __slots__ = ("_callback", "_greenlet", "_loop", "outcome")

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._greenlet = getcurrent()
        self._callback: Any = None
        self.outcome: int | None = None

    def on_writable(self) -> None:
        if self.outcome is None:
            self.outcome = 0
            self._greenlet.switch()

    def on_timeout(self) -> None:
        if self.outcome is None:
            self.outcome = errno.ETIMEDOUT
            self._greenlet.switch()

    def abort(self) -> None:
        """See `Attempt.abort`."""
        if self.outcome is None:
            self.outcome = _ABANDONED
            # Whoever aborts need not be the hub, and must not be left here: the hub resumes the greenlet.
            self._callback = self._loop.run_callback(self._greenlet.switch)

    def finish(self) -> None:
        """No event resumes the greenlet after this."""
        if self.outcome is None:
            self.outcome = _ABANDONED
        if self._callback is not None:
            # It may have been killed in the same turn, before the callback ran.
            self._callback.stop()


def _wait(sock: _socket.socket, target: Target, timeout_secs: float) -> int:
    """Park until the connect in progress has ended; the errno it ended with, 0 if it is connected."""
    hub = get_hub()
    loop = hub.loop
    waiting = _Waiting(loop)
    attempts = target.attempts
    if attempts is None:
        attempts = target.attempts = set()
    attempts.add(waiting)
    io = loop.io(sock.fileno(), _WRITE)
    timer = loop.timer(timeout_secs)
    try:
        io.start(waiting.on_writable)
        timer.start(waiting.on_timeout)
        while waiting.outcome is None:
            # A stray switch from elsewhere is no event of this connect: park again.
            hub.switch()
    finally:
        waiting.finish()
        io.stop()
        io.close()
        timer.stop()
        timer.close()
        attempts.discard(waiting)
    return waiting.outcome or sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)

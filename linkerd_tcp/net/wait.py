"""A greenlet parked until a socket is readable, several times under one deadline."""

from time import monotonic
from typing import Any, Final

import greenlet
from gevent.hub import get_hub

_READ: Final = 1


class ReadWaiter:
    """One io watcher and one timer for a whole exchange; gevent's own wait makes both anew for each wait.

    `until` is on time.monotonic, seconds. To be used by one greenlet, which closes it.
    """

    __slots__ = ("_expired", "_greenlet", "_hub", "_io", "_timer")

    def __init__(self, descriptor: int, until: float) -> None:
        self._hub = get_hub()
        self._greenlet: Any = None
        self._expired = False
        self._io = self._hub.loop.io(descriptor, _READ)
        self._timer = self._hub.loop.timer(max(until - monotonic(), 0.0))
        self._timer.start(self._expire)

    def wait(self) -> None:
        """Return when there is something to read, or the end; TimeoutError at the deadline."""
        if not self._expired:
            self._greenlet = greenlet.getcurrent()
            self._io.start(self._wake)
            try:
                # Only _wake ends the wait: a stray switch from elsewhere parks again.
                while self._greenlet is not None:
                    self._hub.switch()
            finally:
                self._greenlet = None
                self._io.stop()
        if self._expired:
            raise TimeoutError

    def close(self) -> None:
        self._io.close()
        self._timer.stop()
        self._timer.close()

    def _wake(self) -> None:
        parked, self._greenlet = self._greenlet, None
        if parked is not None:
            parked.switch()

    def _expire(self) -> None:
        self._expired = True
        self._wake()

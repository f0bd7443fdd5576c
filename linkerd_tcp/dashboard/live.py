"""The overview, kept current for all who have it open: made once a second, while somebody looks, and told to each.

There is one latest document and no queue: a slow reader skips what was overtaken (`web.following`).
"""

import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Final, NamedTuple

import gevent
from gevent.lock import BoundedSemaphore
from werkzeug.exceptions import HTTPException

from linkerd_tcp.dashboard.attention import items
from linkerd_tcp.dashboard.cells import cut
from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.dashboard.news import News
from linkerd_tcp.dashboard.overview import View, view
from linkerd_tcp.dashboard.rates import Rates
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.web.following import Follower
from linkerd_tcp.web.streams import dumps

TICK_SECS: Final = 1.0
LEAST_REST_SECS: Final = 0.5
"""Between two ticks, however long one takes."""

FRESH_SECS: Final = 0.9
"""How old an answer may be that is given again."""

RETRY: Final = b"retry: 2000\n\n"
"""Milliseconds after which a browser asks again."""

BYE: Final = b"event: bye\ndata: {}\n\n"

_log: Final = logging.getLogger(__name__)


class Shot(NamedTuple):
    view: View
    document: bytes
    """The same as JSON, in one line."""
    at_secs: float


class Live:
    """The latest overview, of the frames that `read` returns."""

    def __init__(self, read: Callable[[], Frame]) -> None:
        self._read = read
        self._rates = Rates()
        self._news = News()
        self._one_at_a_time = BoundedSemaphore(1)
        self._shot: Shot | None = None
        self._followers: set[Follower] = set()
        self._ticking: gevent.Greenlet | None = None
        self._event = b""
        self._error = ""

    @property
    def watched(self) -> int:
        """How many follow."""
        return len(self._followers)

    def shot(self) -> Shot:
        """Of now, or of less than a second ago. To be called in a greenlet."""
        with self._one_at_a_time:
            shot = self._shot
            if shot is None or monotonic() - shot.at_secs >= FRESH_SECS:
                shot = self._shot = self._make()
            return shot

    def _make(self) -> Shot:
        frame = self._read()
        now, turns = monotonic(), Turns()
        self._rates.add(frame, now)
        turns.rest()
        found = items(frame)
        self._news.hear(found, now)
        shown = view(frame, found, self._rates, turns.rest)
        shown["news"] = self._news.line
        return Shot(shown, dumps(shown).encode(), now)

    def follow(self, follower: Follower) -> Iterator[bytes]:
        """Server-sent events until the client has gone or the server stops; the first one at once."""
        try:
            self._followers.add(follower)
            if self._ticking is None:
                self._event = b""
                self._ticking = gevent.spawn(self._tick)
            follower.start()
            yield RETRY
            told = b""
            while not follower.gone:
                if self._event is told or not self._event:
                    follower.wait()
                    continue
                told = self._event
                yield from follower.blocks(told)
            yield BYE  # to a client that has gone, this is the write that fails
        finally:
            follower.close()
            self._followers.discard(follower)
            if not self._followers and self._ticking is not None:
                ticking, self._ticking = self._ticking, None
                ticking.kill(block=False)

    def _tick(self) -> None:
        """Ended by the last follower."""
        due = monotonic()
        while True:
            self._event = self._next_event()
            for follower in list(self._followers):
                follower.wake()
            due = max(due + TICK_SECS, monotonic() + LEAST_REST_SECS)
            gevent.sleep(due - monotonic())

    def _next_event(self) -> bytes:
        try:
            document = self.shot().document
        except HTTPException as error:
            return _trouble(cut(str(error.description)))
        except Exception as error:  # noqa: BLE001  those who look must be told, and the next second may be better
            if repr(error) != self._error:
                self._error = repr(error)
                _log.exception("the overview could not be made; please report this")
            return _trouble("The overview could not be made here; the log has the details.")
        self._error = ""
        return b"data: %b\n\n" % document


def _trouble(words: str) -> bytes:
    body: dict[str, Any] = {"error": words}
    return b"event: trouble\ndata: %b\n\n" % dumps(body).encode()

"""Requests that come all at once, let in one by one: each takes a millisecond, a thousand would hold up the loop."""

from collections import deque

import gevent
from gevent.event import Event

from linkerd_tcp.net.turns import turn_loop


class Gate:
    """One in a turn of the loop, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._is_guarded = False

    def enter(self) -> None:
        """Returns when it is the caller's turn; at once where there is nobody else."""
        if not self._is_guarded:
            self._is_guarded = True
            gevent.spawn_raw(self._guard)
            return
        turn = Event()
        self._waiting.append(turn)
        turn.wait()

    def _guard(self) -> None:
        """Ends by itself when nobody waits."""
        turn_loop()
        while self._waiting:
            self._waiting.popleft().set()
            turn_loop()
        self._is_guarded = False

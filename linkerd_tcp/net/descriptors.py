"""How many connections the descriptor limit allows, and who waits for one."""

import logging
import resource
from collections.abc import Callable
from typing import Final

DESCRIPTORS_PER_CONNECTION: Final = 2

RESERVE: Final = 320
"""Descriptors kept for everything but proxied connections: admin, logs, watches, resolvers, files, pipes of bulk."""

_log = logging.getLogger(__name__)


def raise_limit() -> int:
    """Raise the soft descriptor limit to the hard one, as far as the system lets us; the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says "infinity" and means kern.maxfilesperproc; what it refuses is tried smaller.
    for wanted in (hard, 1 << 20, 10_240):
        if wanted == resource.RLIM_INFINITY or (soft != resource.RLIM_INFINITY and wanted <= soft):
            continue
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            _log.debug("RLIMIT_NOFILE %d refused: %s", wanted, error)
            continue
        return wanted
    return soft


class Capacity:
    """Connections that may be open at once, over all servers; two descriptors each.

    A connection that is accepted can therefore be connected: nothing is accepted only to be dropped.
    """

    def __init__(self, descriptor_limit: int) -> None:
        reserve = min(RESERVE, descriptor_limit // 4)
        self.most = max(1, (descriptor_limit - reserve) // DESCRIPTORS_PER_CONNECTION)
        self.used = 0
        self._waiting: dict[Callable[[], None], None] = {}

    @property
    def full(self) -> bool:
        return self.used >= self.most

    def take(self) -> None:
        self.used += 1

    def give_back(self) -> None:
        self.used -= 1
        if self._waiting and not self.full:
            waiting, self._waiting = self._waiting, {}
            for call in waiting:
                call()

    def when_free(self, call: Callable[[], None]) -> None:
        """`call` once there is room again; once, however often that was asked for."""
        self._waiting[call] = None


class OwnDescriptors:
    """Connections to this process itself, a descriptor each: the first FREE are in the reserve, more take room from
    the proxied ones, two in the place of one.
    """

    FREE: Final = 32

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._open = 0

    def take(self) -> bool:
        """Whether there is room for one more, which then is taken."""
        more = self._places(self._open + 1) - self._places(self._open)
        if more and self._capacity.full:
            return False
        self._open += 1
        if more:
            self._capacity.take()
        return True

    def give_back(self) -> None:
        self._open -= 1
        if self._places(self._open + 1) > self._places(self._open):
            self._capacity.give_back()

    def _places(self, connections: int) -> int:
        return -(-max(0, connections - self.FREE) // DESCRIPTORS_PER_CONNECTION)

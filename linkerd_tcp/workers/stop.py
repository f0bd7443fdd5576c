"""The stop of all processes, in its order: all workers drain at once, then the admin process ends."""

import logging
from math import inf
from time import monotonic
from typing import Final

from linkerd_tcp.config.admin import AdminConfig
from linkerd_tcp.workers.children import ADMIN, Child
from linkerd_tcp.workers.keeper import Keeper
from linkerd_tcp.workers.listeners import Listeners

WORKERS_SECS: Final = 5.0
"""What workers may take beside `drainDelaySecs` and the grace; who is not done then is killed."""

ADMIN_SECS: Final = 5.0
KILLED_SECS: Final = 5.0

_log = logging.getLogger(__name__)


class Stop:
    """`begin` it, and `go_on` at each turn from then on until it is `over`."""

    def __init__(self, keeper: Keeper, listeners: Listeners, workers: int) -> None:
        self._keeper = keeper
        self._listeners = listeners
        self._workers = workers
        self._watches_ended = False
        self._admin_told = False
        self.begun = False
        self.killed = False
        """Whether one had to be killed."""
        self.until = inf
        """When who is left is killed, time.monotonic seconds."""

    @property
    def over(self) -> bool:
        return self.begun and not self._keeper.children

    def begin(self, admin: AdminConfig, grace_secs: float | None) -> None:
        """Or, asked again with a grace, the same in less time."""
        again = self.begun
        if again and grace_secs is None:
            return
        self.begun = True
        self._keeper.replacing = False
        grace = admin.grace_secs if grace_secs is None else grace_secs
        delay_secs = 0.0 if again else admin.drain_delay_secs
        self.until = min(self.until, monotonic() + delay_secs + grace + WORKERS_SECS)
        if not again:
            _log.info("stopping: %d workers, grace %g s", self._workers, grace)
        self._keeper.tell(self._of_workers(), {"do": "stop", "graceSecs": grace})

    def go_on(self) -> None:
        """Listeners are closed here once they are in their workers, the admin process ends when the workers have."""
        keeper, listeners = self._keeper, self._listeners
        workers = self._of_workers()
        admins = [child for child in keeper.children if child.place == ADMIN]
        listening = {child.place for child in workers if not child.deaf}
        for number in set(range(self._workers)) - listening:
            listeners.close_worker(number)
        if not listening and not self._watches_ended:
            self._watches_ended = True
            keeper.tell(admins, {"do": "end_watches"})
            listeners.close_namerd()
        if not workers and not self._admin_told:
            self._admin_told = True
            self.until = monotonic() + ADMIN_SECS
            keeper.tell(admins, {"do": "stop"})
        if monotonic() >= self.until:
            for child in keeper.children:
                _log.error("%s did not end in time and is killed", child.name)
                child.kill()
            self.killed, self.until = True, monotonic() + KILLED_SECS

    def _of_workers(self) -> list[Child]:
        return [child for child in self._keeper.children if child.place != ADMIN]

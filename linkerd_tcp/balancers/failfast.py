"""When an endpoint is taken out for failing, and how it comes back.

Nothing dials a failed endpoint by itself: once its penalty is over, one client's connection is let through alone
to try it, and goes elsewhere if that fails.
"""

import logging
from collections.abc import Callable
from math import inf
from time import time

from linkerd_tcp.balancers.endpoints import Endpoint, EndpointSet, State
from linkerd_tcp.balancers.settings import FailFastSettings
from linkerd_tcp.figures import BalancerFigures
from linkerd_tcp.net.throttle import Throttle

_log = logging.getLogger(__name__)


class FailFast:
    """`next_probe_at`, on the balancer's clock: before it, `due` answers None and need not be asked."""

    __slots__ = (
        "_clock",
        "_endpoints",
        "_figures",
        "_max_failures",
        "_name",
        "_penalty_secs",
        "_throttle",
        "next_probe_at",
    )

    def __init__(
        self,
        settings: FailFastSettings,
        endpoints: EndpointSet,
        figures: BalancerFigures,
        clock: Callable[[], float],
        name: object = "",
    ) -> None:
        self._name = name
        """Whose endpoints they are, for the log."""
        self._throttle = Throttle()
        self._max_failures = settings.max_consecutive_failures
        self._penalty_secs = settings.failure_penalty_secs
        self._endpoints = endpoints
        self._figures = figures
        self._clock = clock
        self.next_probe_at = inf

    def due(self, now: float) -> Endpoint | None:
        """A failed endpoint to be tried by the connection that asks, and by no other until it has said how it went."""
        endpoints = self._endpoints
        for _ in range(len(endpoints.failed)):
            endpoint = next(iter(endpoints.failed.values()))
            if endpoint.penalty_until > now:
                self.next_probe_at = endpoint.penalty_until
                return None
            # Behind the others, for the time that the trial takes or that it is drained: the first one decides.
            endpoints.penalise(endpoint, now + self._penalty_secs)
            if endpoint.wanted and not endpoint.probing:
                endpoint.probing = True
                return endpoint
        self.next_probe_at = now + self._penalty_secs if endpoints.failed else inf
        return None

    def failed(self, endpoint: Endpoint) -> None:
        """A connect to it failed: after enough of them in a row it is out, and each further one renews its penalty."""
        endpoint.consecutive_failures += 1
        if endpoint.state is State.AVAILABLE:
            if endpoint.consecutive_failures < self._max_failures:
                return
            self._figures.ejections += 1
            endpoint.ejections += 1
            self._endpoints.fail(endpoint)
            endpoint.failed_since = time()
            why = endpoint.last_error or endpoint.text
            self._say(logging.WARNING, f"taken out after {endpoint.consecutive_failures} failures in a row: {why}")
        elif endpoint.state is not State.FAILED:
            return
        endpoint.probing = False
        until = self._clock() + self._penalty_secs
        self._endpoints.penalise(endpoint, until)
        self.next_probe_at = min(self.next_probe_at, until)

    def succeeded(self, endpoint: Endpoint) -> None:
        """It was connected to: whatever there was against it is forgotten."""
        endpoint.consecutive_failures = 0
        endpoint.probing = False
        if endpoint.state is State.FAILED:
            self._figures.revivals += 1
            self._endpoints.revive(endpoint)
            self._say(logging.INFO, f"back: {endpoint.text}")

    def undecided(self, endpoint: Endpoint) -> None:
        """A trial ended without saying anything of the endpoint: the next connection may be the one that tries it."""
        if endpoint.probing and endpoint.state is State.FAILED:
            endpoint.probing = False
            self.pardon(endpoint)

    def pardon(self, endpoint: Endpoint) -> None:
        """End the penalty, if it is serving one: it was undrained, or its trial was cut short."""
        if endpoint.state is State.FAILED:
            now = self._clock()
            self._endpoints.pardon(endpoint, now)
            self.next_probe_at = now

    def _say(self, level: int, words: str) -> None:
        """In the log: one of each kind now and then, since all endpoints of a name may go at once."""
        unsaid = self._throttle.ask(level)
        if unsaid is not None:
            more = f" ({unsaid} more like this)" if unsaid else ""
            _log.log(level, "%s: %s%s", self._name, words, more)

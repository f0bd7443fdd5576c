"""One balancer: the live endpoints of a bound name, and a connection to one of them for whoever asks."""

from collections.abc import Callable, Iterable, Iterator
from random import Random
from time import monotonic, time
from typing import Any, Final, NamedTuple

from gevent.event import Event

from linkerd_tcp.balancers.endpoints import Endpoint, EndpointSet, State
from linkerd_tcp.balancers.failfast import FailFast
from linkerd_tcp.balancers.picker import pick_untried
from linkerd_tcp.balancers.pool import Connected, Pool
from linkerd_tcp.balancers.settings import BalancerSettings
from linkerd_tcp.connectors.connector import Abandoned, ConnectFailed, Connector
from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.figures import BalancerFigures, count
from linkerd_tcp.naming.addr import PENDING, Addr, Bound, Failed, Neg
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.net.duplex import Side
from linkerd_tcp.record import Record

_TRIAL_SHARE: Final = 0.5
"""Of the time a client has left, what trying a failed endpoint may take at most."""

_FAIR_SHARE: Final = 0.1
"""Of the connect timeout: an attempt that a client's own deadline cut shorter says nothing of the endpoint."""


class Counts(NamedTuple):
    """How many endpoints are in each state, and connections over all of them."""

    available: int
    failed: int
    retired: int
    open: int
    pending: int


class Deserted(Exception):
    """Nothing leads to this balancer any more, and its addresses were never known: ask where the name leads now."""


class Balancer:
    """Follows `addr` from the moment it is made until `close`, with or without traffic; `addr` stays its owner's.

    `clock` is in seconds, the one that `until` of `connect` is on; `drained` are addresses drained before. Not to be
    used from two threads.
    """

    __slots__ = (
        "_addr",
        "_candidates",
        "_changed",
        "_clock",
        "_closed",
        "_connect_timeout_secs",
        "_connector",
        "_deserted",
        "_endpoints",
        "_fail_fast",
        "_known",
        "_max_attempts",
        "_max_waiters",
        "_min_connections",
        "_picker",
        "_pool",
        "_stop_following",
        "bound",
        "figures",
    )

    def __init__(
        self,
        bound: Path,
        addr: Watch[Addr],
        settings: BalancerSettings,
        connector: Connector,
        clock: Callable[[], float] = monotonic,
        random: Random | None = None,
        drained: Iterable[str] = (),
    ) -> None:
        self.bound = bound
        self.figures = BalancerFigures()
        self._clock = clock
        self._connector = connector
        self._connect_timeout_secs = settings.connect_timeout_ms / 1000
        self._max_attempts = settings.max_attempts
        self._max_waiters = settings.max_waiters
        self._endpoints = EndpointSet(drained)
        self._fail_fast = FailFast(settings.fail_fast, self._endpoints, self.figures, clock, bound)
        self._picker = settings.load_balancer.build(random or Random())
        self._candidates: list[Endpoint] = []
        self._closed = False
        self._changed = Event()
        self._addr: Addr = PENDING
        self._known = False
        self._pool: Pool | None = None
        self._min_connections = settings.min_connections
        self._stop_following: Callable[[], None] = lambda: None
        self.follow(addr)

    def follow(self, addr: Watch[Addr]) -> None:
        """Follow this watch from now on instead of the one before, which may be closed then."""
        self._deserted = False
        self._stop_following()
        self._on_addr(addr.value)
        self._stop_following = addr.observe(self._on_addr)
        if self._pool is None and self._min_connections > 0:
            self._pool = Pool(self._min_connections, self._dial_idle, self.release)

    def desert(self) -> None:
        """Until `follow`: keep nothing ready and dial nothing by itself, since discovery is not heard any more.

        Connections that are open or being opened go on; whoever waits for the addresses gets `Deserted`.
        """
        self._deserted = True
        self._stop_following()
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self._changed.set()

    def connect(self, record: Record | None, until: float, pending_until: float) -> Connected:
        """A connected socket and its endpoint, both the caller's: close the one, and `release` the other.

        Blocks the calling greenlet at most until `until`, and while the name is not known yet at most until
        `pending_until` (seconds, on `clock`). Each endpoint tried is in the record. Raises ConnectionFailed, Deserted.
        """
        figures = self.figures
        if figures.waiters >= self._max_waiters:
            raise ConnectionFailed(Cause.LIMIT, f"{self.bound}: maxWaiters ({self._max_waiters}) connections wait here")
        figures.waiters += 1
        try:
            if not self._known:
                self._wait_for_addr(min(until, pending_until))
            # One client must do without a ready connection when there is an endpoint to be tried again.
            if self._pool is not None and self._clock() < self._fail_fast.next_probe_at:
                ready = self._pool.take()
                if ready is not None:
                    if record is not None:
                        record.attempt(ready[1].text, None, 0.0)
                    return ready
            return self._try_endpoints(record, until)
        finally:
            figures.waiters -= 1

    def release(self, endpoint: Endpoint) -> None:
        """A connection that `connect` gave out has ended."""
        self._endpoints.release(endpoint)

    def drain(self, address: str) -> bool:
        """No new connections to `address` ("127.0.0.1:8080") until `undrain`; False if there is no such endpoint."""
        drained = self._endpoints.drain(address)
        if self._pool is not None:
            self._pool.prune()
        return bool(drained)

    def undrain(self, address: str) -> bool:
        """Take `drain` back; False if there is no such endpoint."""
        restored = self._endpoints.undrain(address)
        for endpoint in restored:
            self._fail_fast.pardon(endpoint)
        return bool(restored)

    def close(self) -> None:
        """Stop following; end the idle connections, the greenlet, and whoever still waits (cause shutdown).

        Connections given out go on and are still to be released. Twice is harmless.
        """
        self._closed = True
        self._known = False
        self._stop_following()
        if self._pool is not None:
            self._pool.close()
        for endpoint in self._endpoints:
            endpoint.abandon()
        self._changed.set()

    @property
    def addr(self) -> Addr:
        """What the name is taken to be: the last good value, or why there was none yet."""
        return self._addr

    @property
    def idle(self) -> bool:
        """Nothing waits, is being connected or is open, but for connections kept ready: it can be closed unnoticed."""
        held = 0 if self._pool is None else len(self._pool)
        return not self.figures.waiters and sum(endpoint.open for endpoint in self._endpoints) == held

    @property
    def opened(self) -> int:
        """Connections that are open now; looks at every endpoint."""
        return sum(endpoint.open for endpoint in self._endpoints)

    def counts(self) -> Counts:
        """For the gauges; looks at every endpoint."""
        sets = self._endpoints
        opened = sum(endpoint.open for endpoint in sets)
        load = sum(endpoint.load for endpoint in sets)
        return Counts(len(sets.available), len(sets.failed), len(sets.retired), opened, load - opened)

    def endpoints_json(self) -> list[dict[str, Any]]:
        """The `endpoints` of /bindings.json."""
        return list(self.endpoint_rows())

    def endpoint_rows(self) -> Iterator[dict[str, Any]]:
        """The same, each made when it is asked for: there may be thousands."""
        return (endpoint.as_json(self.clock_behind) for endpoint in list(self._endpoints))

    def endpoints(self) -> list[Endpoint]:
        """All there are now, to be read."""
        return list(self._endpoints)

    @property
    def gone_bytes(self) -> tuple[int, int]:
        """(rx, tx) of endpoints that there are no more."""
        return self._endpoints.gone_bytes

    @property
    def clock_behind(self) -> float:
        """What is to be added to a time of its own to get seconds since the epoch."""
        return time() - self._clock()

    # -- discovery

    def _on_addr(self, addr: Addr) -> None:
        """Applied when it comes. Last good wins: only a set of addresses or a definite Neg replaces one."""
        if isinstance(addr, Bound | Neg):
            removed = self._endpoints.update(addr.addresses if isinstance(addr, Bound) else ())
            self._known = True
        elif self._known:
            return
        else:
            removed = []
        self._addr = addr
        if self._known or isinstance(addr, Failed):
            self._changed.set()
        else:
            self._changed.clear()
        for endpoint in removed:
            # Its attempts end in the next turn of the loop, and their clients are tried elsewhere.
            endpoint.abandon()
        if self._pool is not None:
            self._pool.prune()
            self._pool.refill()

    def _wait_for_addr(self, until: float) -> None:
        """Until the name is known. Failed before that is an answer; Pending is not."""
        while not self._known:
            if self._closed:
                raise self._shut_down()
            if self._deserted:
                raise Deserted
            if isinstance(self._addr, Failed):
                self.figures.unavailable += 1
                raise ConnectionFailed(Cause.BINDING, f"{self.bound}: {self._addr.cause}")
            if not self._changed.wait(max(until - self._clock(), 0)):
                self.figures.unavailable += 1
                raise ConnectionFailed(Cause.PENDING, f"{self.bound}: its addresses did not become known in time")

    # -- connecting

    def _try_endpoints(self, record: Record | None, until: float) -> Connected:
        """One endpoint after another, until one connects, `max_attempts` have failed or it is `until`."""
        tried: list[Endpoint] = []
        left = self._max_attempts
        failure: ConnectFailed | None = None
        now = self._clock()
        trial = self._fail_fast.due(now) if self._fail_fast.next_probe_at <= now < until else None
        try:
            while True:
                endpoint = trial or self._pick(tried, record)
                if endpoint is None and failure is not None and failure.cause is Cause.TIMEOUT:
                    # Nobody else is left and time has passed: asking again mends a lost SYN. A refusal it would not.
                    endpoint = self._picker.pick(record)
                if endpoint is None:
                    raise failure or self._unavailable()
                if now >= until:
                    raise failure or ConnectionFailed(Cause.TIMEOUT, f"{self.bound}: no time left to connect")
                # The client must not pay for the trial: it leaves time for another endpoint, and is not one of
                # maxAttempts.
                rest_secs = until - now if trial is None else (until - now) * _TRIAL_SHARE
                try:
                    return self._attempt(endpoint, rest_secs, record, now), endpoint
                except Abandoned:
                    pass  # As if it had never been picked; should it be back by now, it may be.
                except ConnectFailed as error:
                    failure = error
                    left -= trial is None
                    if left <= 0 or not error.elsewhere:
                        raise
                    tried.append(endpoint)
                trial = None
                now = self._clock()
        finally:
            # An error's traceback has this frame: were the error left in it, only the garbage collector would find
            # them.
            failure = None

    def _pick(self, tried: list[Endpoint], record: Record | None) -> Endpoint | None:
        """Somebody not tried yet; when all were, one in its penalty; None when those were too."""
        endpoints = self._endpoints
        if self._closed:
            raise self._shut_down()
        if endpoints.changed:
            endpoints.changed = False
            self._candidates = endpoints.candidates()
            self._picker.rebuild(self._candidates)
        if not tried:
            return self._picker.pick(record)
        return pick_untried(self._picker, self._candidates, tried, record) or next(
            (e for e in endpoints.failed.values() if e.wanted and e not in tried), None
        )

    def _attempt(self, endpoint: Endpoint, rest_secs: float, record: Record | None, started: float) -> Side:
        """Connect to `endpoint` within `rest_secs` and the connect timeout, keeping the books. Raises ConnectFailed."""
        figures = self.figures
        figures.attempts += 1
        endpoint.load += 1
        timeout_secs = self._connect_timeout_secs
        try:
            timeout_secs = timeout_secs if timeout_secs < rest_secs else rest_secs
            sock = self._connector.connect(endpoint, timeout_secs, record)
            if endpoint.state is State.RETIRED:
                # Removed in the very turn in which it connected.
                sock.close()
                raise Abandoned(endpoint.text)
        except BaseException as error:
            self._attempt_failed(endpoint, error, record, self._clock() - started)
            raise
        seconds = self._clock() - started
        endpoint.open += 1
        endpoint.connects += 1
        if endpoint.consecutive_failures:
            self._fail_fast.succeeded(endpoint)
        figures.connects += 1
        figures.connect_latency.observe(seconds)
        if record is not None:
            record.attempt(endpoint.text, None, seconds)
        return sock

    def _attempt_failed(self, endpoint: Endpoint, error: BaseException, record: Record | None, seconds: float) -> None:
        endpoint.load -= 1
        self._endpoints.settle(endpoint)
        if not isinstance(error, ConnectFailed):
            # The greenlet was ended, which says nothing of the endpoint.
            self._fail_fast.undecided(endpoint)
            return
        count(self.figures.connect_failures, error.cause)
        if record is not None:
            record.attempt(endpoint.text, error.cause, seconds)
        starved = error.cause is Cause.TIMEOUT and seconds < self._connect_timeout_secs * _FAIR_SHARE
        if starved or not error.blames_endpoint:
            self._fail_fast.undecided(endpoint)
            return
        endpoint.failures += 1
        endpoint.last_error = str(error)
        endpoint.last_error_at = time()
        self._fail_fast.failed(endpoint)
        if self._pool is not None and endpoint.state is State.FAILED:
            self._pool.prune()

    def _dial_idle(self) -> Connected | None:
        """One connection to be kept ready; None if there is nobody to connect to, or it failed."""
        if not self._known:
            return None
        now = self._clock()
        endpoint = self._pick([], None)
        if endpoint is None:
            return None
        try:
            sock = self._attempt(endpoint, self._connect_timeout_secs, None, now)
            for level, option, value in endpoint.late_options:
                sock.setsockopt(level, option, value)
            return sock, endpoint
        except ConnectFailed:
            return None

    # -- failing

    def _unavailable(self) -> ConnectionFailed:
        self.figures.unavailable += 1
        if isinstance(self._addr, Neg):
            return ConnectionFailed(Cause.NOT_FOUND, f"{self.bound}: there is no such name")
        known = len(self._endpoints.available) + len(self._endpoints.failed)
        if not known:
            return ConnectionFailed(Cause.NO_ENDPOINT, f"{self.bound}: bound to no address")
        return ConnectionFailed(Cause.NO_ENDPOINT, f"{self.bound}: all {known} endpoints are drained or have weight 0")

    def _shut_down(self) -> ConnectionFailed:
        return ConnectionFailed(Cause.SHUTDOWN, f"{self.bound}: its balancer was closed")

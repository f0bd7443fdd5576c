"""What is counted: plain integers on plain objects, cheap on the hot path; `metrics` reads them when scraped."""

from bisect import bisect_left
from typing import Final

from linkerd_tcp.errors import Cause

DURATION_BOUNDS_SECS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


class Histogram:
    """Durations in seconds, counted in fixed buckets (`counts` is not cumulative; the last is +Inf)."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(DURATION_BOUNDS_SECS) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self.counts)

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(DURATION_BOUNDS_SECS, seconds)] += 1
        self.total += seconds


def count(table: dict[Cause, int], cause: Cause) -> None:
    """One more of `cause`."""
    table[cause] = table.get(cause, 0) + 1


class ServerFigures:
    """One listener's. Bytes are those of ended connections; records have those of the open ones."""

    __slots__ = (
        "accepts",
        "closes",
        "connect_failures",
        "connect_latency",
        "failures",
        "rx_bytes",
        "stream_duration",
        "tls_failures",
        "tls_handshake",
        "tx_bytes",
    )

    def __init__(self) -> None:
        self.accepts = 0
        self.closes = 0
        self.rx_bytes = 0
        self.tx_bytes = 0
        self.connect_latency = Histogram()
        self.stream_duration = Histogram()
        self.tls_handshake = Histogram()
        self.tls_failures: dict[str, int] = {}
        """Failed handshakes by their own causes (net.tls.TlsCause)."""
        self.failures: dict[Cause, int] = {}
        self.connect_failures: dict[Cause, int] = {}

    @property
    def active(self) -> int:
        """Connections accepted and not yet closed."""
        return self.accepts - self.closes

    @property
    def waiting(self) -> int:
        """Connections accepted and not yet connected to an endpoint."""
        return self.active - (self.connect_latency.count - self.stream_duration.count)


class RouterFigures:
    """One router's: `found` in the cache, `created` bindings, `errors` by cause."""

    __slots__ = ("created", "errors", "found")

    def __init__(self) -> None:
        self.found = 0
        self.created = 0
        self.errors: dict[Cause, int] = {}


class BalancerFigures:
    """One balancer's. `unavailable` counts connections that found no endpoint that could be tried."""

    __slots__ = (
        "attempts",
        "connect_failures",
        "connect_latency",
        "connects",
        "ejections",
        "revivals",
        "unavailable",
        "waiters",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.connects = 0
        self.unavailable = 0
        self.ejections = 0
        self.revivals = 0
        self.waiters = 0
        self.connect_latency = Histogram()
        self.connect_failures: dict[Cause, int] = {}

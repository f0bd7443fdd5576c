"""Every metric family, once. The figures are plain numbers on plain objects; they are read when somebody scrapes.

Series belong to what lives now: those of a binding, a server or a namer go with it.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import gevent
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from linkerd_tcp import __version__
from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.book import Book
from linkerd_tcp.errors import Cause
from linkerd_tcp.figures import DURATION_BOUNDS_SECS, BalancerFigures, Histogram, RouterFigures, ServerFigures
from linkerd_tcp.namerd.figures import NamerdFigures
from linkerd_tcp.naming.namer import Discovery
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.router import Router
from linkerd_tcp.server import Server
from linkerd_tcp.staleness import count_stale

if TYPE_CHECKING:
    from linkerd_tcp.net.keys import Identity

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

PART_LINES: Final = 100
"""About as many lines are built and written in one go."""

_BOUNDS: Final = (*map(floatToGoString, DURATION_BOUNDS_SECS), "+Inf")


class Source(Protocol):
    """What is measured."""

    @property
    def routers(self) -> Mapping[str, Router]: ...

    @property
    def servers(self) -> Sequence[Server]: ...

    @property
    def namers(self) -> Sequence[Discovery]: ...

    @property
    def admin_identities(self) -> Mapping[str, "Identity"]:
        """What the admin server shows of itself where it speaks TLS, by name."""

    @property
    def book(self) -> Book: ...

    @property
    def last_reload_ok(self) -> bool: ...

    @property
    def dropped_lines(self) -> Mapping[tuple[str, str], int]: ...


@dataclass(slots=True)
class _ServerNow:
    """A server and its bytes, those of open connections included."""

    labels: tuple[str, str]
    figures: ServerFigures
    most: int
    greenlets: int
    rx_bytes: int
    tx_bytes: int


@dataclass(slots=True)
class _DestinationNow:
    """A bound name in a router. Different client settings make several balancers of it; their series are one."""

    labels: tuple[str, str]
    balancers: list[Balancer]

    def sum(self, read: Callable[[BalancerFigures], int]) -> int:
        return sum(read(balancer.figures) for balancer in self.balancers)

    def causes(self) -> dict[Cause, int]:
        counts: dict[Cause, int] = {}
        for balancer in self.balancers:
            for cause, times in balancer.figures.connect_failures.items():
                counts[cause] = counts.get(cause, 0) + times
        return counts

    def latency(self) -> Histogram:
        if len(self.balancers) == 1:
            return self.balancers[0].figures.connect_latency
        merged = Histogram()
        for balancer in self.balancers:
            one = balancer.figures.connect_latency
            merged.counts = [a + b for a, b in zip(merged.counts, one.counts, strict=True)]
            merged.total += one.total
        return merged


class _Now:
    """Who is there at this moment; their numbers are read when their lines are written."""

    def __init__(self, source: Source) -> None:
        turns = Turns()
        self.reload_ok = source.last_reload_ok
        self.dropped_lines = source.dropped_lines
        self.expiries = _expiries(source.servers) | {
            f"admin:{name}": identity.not_after.timestamp() for name, identity in source.admin_identities.items()
        }
        namers = list(source.namers)
        self.namers = [(_namer_label(namer), namer.figures) for namer in namers]
        self.stale = [(_namer_label(namer), count_stale(namer, turns)) for namer in namers]
        self.routers: list[tuple[tuple[str], RouterFigures]] = [
            ((label,), router.figures) for label, router in source.routers.items()
        ]
        self.servers = self._read_servers(source, turns)
        self.destinations = self._read_destinations(source, turns)

    @staticmethod
    def _read_servers(source: Source, turns: Turns) -> list[_ServerNow]:
        """A connection may end while the open ones are added up, and its bytes go from its record to its server.

        So the servers' sums and the list of the open are taken in one turn, and each record's bytes later, which
        it keeps when it ends: the result never goes down from one scrape to the next.
        """
        servers = {
            server.label: _ServerNow(
                (server.router.label, server.label),
                server.figures,
                server.config.max_concurrency,
                server.greenlets,
                server.figures.rx_bytes,
                server.figures.tx_bytes,
            )
            for server in source.servers
        }
        for record in list(source.book.open.values()):
            turns.rest()
            server = servers.get(record.server)
            if server is not None:
                rx, tx = record.bytes_so_far()
                server.rx_bytes += rx
                server.tx_bytes += tx
        return list(servers.values())

    @staticmethod
    def _read_destinations(source: Source, turns: Turns) -> list[_DestinationNow]:
        found: dict[tuple[str, str], _DestinationNow] = {}
        for label, router in list(source.routers.items()):
            for balancer in router.balancers():
                turns.rest()
                labels = (label, str(balancer.bound))
                found.setdefault(labels, _DestinationNow(labels, [])).balancers.append(balancer)
        return list(found.values())


def _expiries(servers: Sequence[Server]) -> dict[str, float]:
    """By identity; of several servers' identities with one name, the first to expire."""
    found: dict[str, float] = {}
    for server in servers:
        for name, identity in ({} if server.terminator is None else server.terminator.identities).items():
            at = identity.not_after.timestamp()
            found[name] = min(at, found.get(name, at))
    return found


Reading: TypeAlias = tuple[Sequence[str], float | Histogram]


@dataclass(frozen=True, slots=True)
class Family:
    """Name, help and labels of a family, how its values are read, and what those of several processes make together."""

    kind: type[CounterMetricFamily] | type[GaugeMetricFamily] | type[HistogramMetricFamily]
    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[_Now], Iterable[Reading]]
    together: Literal["sum", "min", "max"] = "sum"

    @property
    def is_gauge(self) -> bool:
        return self.kind is GaugeMetricFamily

    def slices(self, readings: Iterable[Reading]) -> Iterator[list[Reading]]:
        """At least one, each for about PART_LINES lines."""
        rest = iter(readings)
        size = PART_LINES // (len(_BOUNDS) + 2) if self.kind is HistogramMetricFamily else PART_LINES
        part = list(islice(rest, size))
        while True:
            yield part
            part = list(islice(rest, size))
            if not part:
                return

    def metric(self, readings: Iterable[Reading]) -> Metric:
        """To be written as it is."""
        metric = self.kind(self.name, self.help, labels=self.labels)
        for labels, value in readings:
            _add(metric, labels, value)
        return metric


def _add(metric: Any, labels: Sequence[str], value: float | Histogram) -> None:
    if isinstance(value, Histogram):
        buckets = list(zip(_BOUNDS, accumulate(value.counts), strict=True))
        metric.add_metric(labels, buckets, sum_value=value.total)
    else:
        metric.add_metric(labels, value)


def _namer_label(namer: Discovery) -> tuple[str]:
    return (str(namer.prefix),)


def _servers(read: Callable[[_ServerNow], float | Histogram]) -> Callable[[_Now], Iterator[Reading]]:
    return lambda now: ((each.labels, read(each)) for each in now.servers)


def _server_causes(read: Callable[[ServerFigures], dict[Cause, int]]) -> Callable[[_Now], Iterator[Reading]]:
    return lambda now: (
        ((*each.labels, cause), times) for each in now.servers for cause, times in list(read(each.figures).items())
    )


def _routers(read: Callable[[RouterFigures], int]) -> Callable[[_Now], Iterator[Reading]]:
    return lambda now: ((labels, read(figures)) for labels, figures in now.routers)


def _route_errors(now: _Now) -> Iterator[Reading]:
    return (
        ((*labels, cause), times) for labels, figures in now.routers for cause, times in list(figures.errors.items())
    )


def _sums(read: Callable[[BalancerFigures], int]) -> Callable[[_Now], Iterator[Reading]]:
    return lambda now: ((each.labels, each.sum(read)) for each in now.destinations)


def _states(*states: str) -> Callable[[_Now], Iterator[Reading]]:
    """These fields of `Balancer.counts`, a series each."""

    def read(now: _Now) -> Iterator[Reading]:
        for each in now.destinations:
            counts = [balancer.counts() for balancer in each.balancers]
            for state in states:
                yield (*each.labels, state), sum(getattr(one, state) for one in counts)

    return read


def _namer_errors(now: _Now) -> Iterator[Reading]:
    return (
        ((*labels, cause), times) for labels, figures in now.namers for cause, times in list(figures.errors.items())
    )


def _last_good(now: _Now) -> Iterator[Reading]:
    return ((labels, figures.last_good_at) for labels, figures in now.namers if figures.last_good_at is not None)


_COUNTER, _GAUGE, _HISTOGRAM = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
_SRV, _RT, _DST = ("rt", "srv"), ("rt",), ("rt", "dst")
_BUILD: Final = (__version__, platform.python_version(), gevent.__version__)

# fmt: off
FAMILIES: Final = (
    Family(_COUNTER, "l5d_srv_accepts_total", "Connections accepted.", _SRV, _servers(lambda s: s.figures.accepts)),
    Family(_COUNTER, "l5d_srv_closes_total", "Connections that have ended.", _SRV,
           _servers(lambda s: s.figures.closes)),
    Family(_GAUGE, "l5d_srv_active", "Connections open now.", _SRV, _servers(lambda s: s.figures.active)),
    Family(_GAUGE, "l5d_srv_max_concurrency", "Connections that may be open; with so many the listener pauses.", _SRV,
           _servers(lambda s: s.most)),
    Family(_GAUGE, "l5d_srv_greenlets", "Greenlets that serve connections or wait for the next one.", _SRV,
           _servers(lambda s: s.greenlets)),
    Family(_GAUGE, "l5d_srv_waiters", "Connections accepted and not yet connected to an endpoint.", _SRV,
           _servers(lambda s: s.figures.waiting)),
    Family(_HISTOGRAM, "l5d_srv_connect_latency_seconds", "Time from accept to connected.", _SRV,
           _servers(lambda s: s.figures.connect_latency)),
    Family(_COUNTER, "l5d_srv_stream_rx_bytes_total", "Bytes from the accepted side.", _SRV,
           _servers(lambda s: s.rx_bytes)),
    Family(_COUNTER, "l5d_srv_stream_tx_bytes_total", "Bytes to the accepted side.", _SRV,
           _servers(lambda s: s.tx_bytes)),
    Family(_HISTOGRAM, "l5d_srv_stream_duration_seconds", "Time from connected to closed.", _SRV,
           _servers(lambda s: s.figures.stream_duration)),
    Family(_COUNTER, "l5d_srv_failures_total", "Connections that ended for another cause than a FIN.",
           (*_SRV, "cause"), _server_causes(lambda f: f.failures)),
    Family(_COUNTER, "l5d_srv_connect_failures_total", "Connections that ended before they were connected.",
           (*_SRV, "cause"), _server_causes(lambda f: f.connect_failures)),
    Family(_HISTOGRAM, "l5d_srv_tls_handshake_seconds", "Time of a finished TLS handshake with a client.", _SRV,
           _servers(lambda each: each.figures.tls_handshake)),
    Family(_COUNTER, "l5d_srv_tls_failures_total", "TLS handshakes with clients that failed.", (*_SRV, "cause"),
           lambda now: (((*each.labels, cause), times) for each in now.servers
                        for cause, times in list(each.figures.tls_failures.items()))),
    Family(_GAUGE, "l5d_tls_certificate_not_after_timestamp_seconds", "When a certificate that is shown expires.",
           ("identity",), lambda now: (((name,), at) for name, at in now.expiries.items()), "min"),
    Family(_COUNTER, "l5d_route_found_total", "Paths found in the cache.", _RT, _routers(lambda f: f.found)),
    Family(_COUNTER, "l5d_route_created_total", "Paths bound anew.", _RT, _routers(lambda f: f.created)),
    Family(_COUNTER, "l5d_route_errors_total", "Connections whose path led to no bound name.", (*_RT, "cause"),
           _route_errors),
    Family(_GAUGE, "l5d_balancer_waiters", "Connections waiting for an endpoint.", _DST, _sums(lambda f: f.waiters)),
    Family(_COUNTER, "l5d_balancer_attempts_total", "Connects begun.", _DST, _sums(lambda f: f.attempts)),
    Family(_COUNTER, "l5d_balancer_connects_total", "Connects that succeeded.", _DST, _sums(lambda f: f.connects)),
    Family(_HISTOGRAM, "l5d_balancer_connect_latency_seconds", "Time of a successful connect.", _DST,
           lambda now: ((each.labels, each.latency()) for each in now.destinations)),
    Family(_COUNTER, "l5d_balancer_unavailable_total", "Connections that found no endpoint to try.", _DST,
           _sums(lambda f: f.unavailable)),
    Family(_COUNTER, "l5d_balancer_ejections_total", "Endpoints taken out for failing.", _DST,
           _sums(lambda f: f.ejections)),
    Family(_COUNTER, "l5d_balancer_revivals_total", "Endpoints taken back.", _DST, _sums(lambda f: f.revivals)),
    Family(_GAUGE, "l5d_balancer_endpoints", "Endpoints by state.", (*_DST, "state"),
           _states("available", "failed", "retired")),
    Family(_GAUGE, "l5d_balancer_connections", "Connections to endpoints by state.", (*_DST, "state"),
           _states("open", "pending")),
    Family(_COUNTER, "l5d_balancer_connect_failures_total", "Connects that failed.", (*_DST, "cause"),
           lambda now: (((*e.labels, cause), times) for e in now.destinations for cause, times in e.causes().items())),
    Family(_COUNTER, "l5d_namer_updates_total", "Changes that discovery brought.", ("namer",),
           lambda now: ((labels, figures.updates) for labels, figures in now.namers)),
    Family(_COUNTER, "l5d_namer_errors_total", "Discovery that failed; what was known is kept.", ("namer", "cause"),
           _namer_errors),
    Family(_GAUGE, "l5d_namer_last_good_timestamp_seconds", "When discovery last succeeded.", ("namer",), _last_good,
           "min"),
    Family(_GAUGE, "l5d_namer_stale_watches", "Names whose last attempt failed; what was known is kept.", ("namer",),
           lambda now: now.stale),
    Family(_HISTOGRAM, "l5d_namerd_request_seconds",
           "Time to the first document of a watch, to the whole answer of any other request.", ("namer",),
           lambda now: ((labels, figures.requests) for labels, figures in now.namers
                        if isinstance(figures, NamerdFigures))),
    Family(_GAUGE, "l5d_config_last_reload_success", "1 unless the last reload was refused.", (),
           lambda now: (((), float(now.reload_ok)),), "min"),
    Family(_COUNTER, "l5d_log_dropped_lines_total", "Lines of logs that could not be written.", ("log", "reason"),
           lambda now: now.dropped_lines.items()),
    Family(_GAUGE, "l5d_build_info", "What runs here.", ("version", "python", "gevent"), lambda now: ((_BUILD, 1.0),),
           "max"),
)
# fmt: on


class AppCollector(Collector):
    """The families above, over `source`.

    `collect` runs in a greenlet and lets the loop turn; a family too long for one go comes as several metrics of
    one name, one after another, which `exposition` joins.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        for family, part in readings(self._source):
            yield family.metric(part)


def readings(source: Source) -> Iterator[tuple[Family, list[Reading]]]:
    """What each family has to say now, in slices, at least one for each. To be called in a greenlet."""
    now = _Now(source)
    for family in FAMILIES:
        for part in family.slices(family.read(now)):
            yield family, part


class _Only(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def exposition(collectors: Iterable[Collector]) -> Iterator[bytes]:
    """The Prometheus text of `collectors` in small pieces; who writes them lets the loop turn between them."""
    last = ""
    for collector in collectors:
        for metric in collector.collect():
            text = generate_latest(_Only(metric))
            if metric.name == last:
                # HELP and TYPE, the first two lines, stand before the family's first part only.
                text = text.split(b"\n", 2)[2]
            last = metric.name
            yield text

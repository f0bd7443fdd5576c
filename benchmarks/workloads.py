"""Every workload: who takes part, what is done to them, and which rows of the table come of it with which targets.

The targets are those that this project has set itself: "first" is what it must reach, "goal" what it is built for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks import measures
from benchmarks.model import Better, Contestant, Family, Measured, Options, Row
from benchmarks.proxies import Target

Measure = Callable[[Target, Options], Measured]


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    """What is done, in a sentence; a heading of the report."""
    contestants: tuple[Contestant, ...]
    measure: Measure
    secs: Callable[[Options], float]
    """What one measurement takes, about; for the time left."""
    rows: tuple[Row, ...]
    runs: Literal["kept", "fresh", "together", "alone"] = "kept"
    """A contestant runs through all rounds; is started for each measurement; all are measured at once, in one round; or
    nothing is started, since the measurement does that."""


def by_options(options: Options) -> list[Workload]:
    """All workloads, in the order in which they run."""
    return [*_requests(options), *_bytes(), *_rate(), *_sizes(options), *_tls(), _churn()]


OURS: Final = Contestant("linkerd-tcp", Family.OURS)
HAPROXY: Final = Contestant("haproxy", Family.HAPROXY)
SPLICE: Final = Contestant("haproxy-splice", Family.HAPROXY, splice=True)
NGINX: Final = Contestant("nginx", Family.NGINX)
DIRECT: Final = Contestant("direct", Family.DIRECT)
OURS_TLS: Final = Contestant("linkerd-tcp-tls", Family.OURS, tls=True)
HAPROXY_TLS: Final = Contestant("haproxy-tls", Family.HAPROXY, tls=True)
OURS_IDLE: Final = Contestant("linkerd-tcp-idle", Family.OURS, holds_idle=True)
HAPROXY_IDLE: Final = Contestant("haproxy-idle", Family.HAPROXY, holds_idle=True)
_BOTH: Final = (OURS.name, HAPROXY.name)
_CPU: Final = ("cpu_us", "us")


def _several(options: Options) -> tuple[Contestant, Contestant]:
    """Ours with N workers, HAProxy with N threads."""
    count = options.workers
    return (
        Contestant(f"linkerd-tcp-{count}-workers", Family.OURS, workers=count),
        Contestant(f"haproxy-{count}-threads", Family.HAPROXY, workers=count),
    )


def _requests(options: Options) -> list[Workload]:
    def rows(name: str, what: str, first: float, goal: float) -> tuple[Row, ...]:
        count = options.workers
        several = (_several(options)[0].name, _several(options)[1].name)
        return (
            Row(name, f"{what}: cpu each", *_CPU, *_BOTH, first=first, goal=goal),
            Row(name, f"{what}: rate", "per_second", "/s", *_BOTH, better=Better.MORE),
            Row(name, f"{what}, {count} workers: rate", "per_second", "/s", *several, better=Better.MORE),
            Row(name, f"{what}, {count} workers: cpu each", *_CPU, *several),
        )

    everyone = (DIRECT, HAPROXY, OURS, NGINX, *_several(options)[::-1])
    return [
        Workload(
            "keep-alive",
            "Requests over 50 kept connections, as many as it takes (wrk)",
            everyone,
            measures.keep_alive,
            lambda options: options.seconds + 0.3,
            rows("keep-alive", "keep-alive requests", 1.15, 0.95),
        ),
        Workload(
            "new-connection",
            "A new connection for each request, 50 at a time (wrk)",
            everyone,
            measures.new_connections,
            lambda options: options.seconds + 0.3,
            rows("new-connection", "new connection per request", 1.4, 1.0),
        ),
    ]


def _bytes() -> list[Workload]:
    def rows(name: str) -> tuple[Row, ...]:
        rate, cpu, spliced = ("mb_per_second", "MB/s"), ("cpu_s_per_gib", "s/GiB"), (OURS.name, SPLICE.name)
        return (
            Row(name, f"{name}: bytes/s", *rate, *_BOTH, better=Better.MORE, first=1.7, goal=2.2),
            Row(name, f"{name}: cpu per GiB", *cpu, *_BOTH, first=0.4, goal=0.22),
            Row(name, f"{name}: bytes/s, HAProxy splicing", *rate, *spliced, better=Better.MORE, goal=1.1),
            Row(name, f"{name}: cpu per GiB, HAProxy splicing", *cpu, *spliced, goal=0.55),
        )

    def secs(options: Options) -> float:
        return 0.3 + options.bulk_mib / 1100

    contestants = (DIRECT, HAPROXY, OURS, SPLICE, NGINX)
    beside = (HAPROXY, OURS, NGINX)
    return [
        Workload(
            "download",
            "One bulk download (a client of our own, which throws away what comes)",
            contestants,
            measures.download,
            secs,
            rows("download"),
        ),
        Workload(
            "upload", "One bulk upload (to a sink of our own)", contestants, measures.upload, secs, rows("upload")
        ),
        Workload(
            "mixed",
            "Requests over 50 kept connections (wrk) beside one download without end",
            beside,
            measures.mixed,
            lambda options: options.seconds + 0.8,
            (
                Row("mixed", "mixed: small requests, rate", "per_second", "/s", *_BOTH, better=Better.MORE),
                Row("mixed", "mixed: small requests, p99", "p99_ms", "ms", *_BOTH),
                Row("mixed", "mixed: bulk, bytes/s", "mb_per_second", "MB/s", *_BOTH, better=Better.MORE),
            ),
        ),
        Workload(
            "fairness",
            "New small connections one after the other, beside one download without end",
            beside,
            measures.fairness,
            lambda options: 0.6 + options.small * 0.001,
            (
                Row("fairness", "beside a firehose: p99 of new small connections", "p99_ms", "ms", *_BOTH, first=1.2),
                Row(
                    "fairness", "beside a firehose: failed connections", "failed", "", *_BOTH, first=0, goal=0, by="sum"
                ),
            ),
        ),
    ]


def _rate() -> list[Workload]:
    idle, haproxy_idle = (OURS_IDLE.name, OURS.name), (HAPROXY_IDLE.name, HAPROXY.name)
    both_idle = (OURS_IDLE.name, HAPROXY_IDLE.name)
    name, what = "fixed-rate", "fixed rate"
    return [
        Workload(
            name,
            "A fixed rate of requests over 100 kept connections (h2load), without and with many idle ones",
            (DIRECT, HAPROXY, OURS, HAPROXY_IDLE, OURS_IDLE, NGINX),
            measures.fixed_rate,
            lambda options: options.seconds + 1.7,
            (
                Row(name, f"{what}: p99", "p99_ms", "ms", *_BOTH, first=1.2, goal=1.0),
                Row(name, f"{what}: failed requests", "failed", "", *_BOTH, first=0, goal=0, by="sum"),
                Row(name, f"{what}: achieved", "per_second", "/s", *_BOTH, better=Better.MORE),
                Row(name, f"{what}: p50", "p50_ms", "ms", *_BOTH),
                Row(name, f"{what}: p99.9", "p999_ms", "ms", *_BOTH),
                Row(name, f"{what}: cpu each", *_CPU, *_BOTH),
                Row(
                    name,
                    f"{what}, many idle: p99 against none idle",
                    "p99_ms",
                    "ms",
                    *idle,
                    first=1.3,
                    goal=1.1,
                    beside=haproxy_idle,
                ),
                Row(name, f"{what}, many idle: p99", "p99_ms", "ms", *both_idle),
                Row(name, f"{what}, many idle: failed requests", "failed", "", *both_idle, first=0, goal=0, by="sum"),
            ),
        )
    ]


def _sizes(options: Options) -> list[Workload]:
    few = [Contestant(f"{each.name}-10-endpoints", each.family, endpoints=10) for each in (OURS, HAPROXY)]
    count = options.endpoints
    many = [Contestant(f"{each.name}-{count}-endpoints", each.family, endpoints=count) for each in (OURS, HAPROXY)]
    ours, theirs = (many[0].name, few[0].name), (many[1].name, few[1].name)
    return [
        Workload(
            "idle-memory",
            "Resident memory that one open and silent connection adds",
            (HAPROXY, OURS),
            measures.idle_memory,
            lambda options: 1.0 + options.idle / 2500,
            (Row("idle-memory", "memory per idle connection", "kib_per_connection", "KiB", *_BOTH, first=4, goal=2),),
            runs="fresh",
        ),
        Workload(
            "picking",
            f"The balancer's choice among {count} endpoints against 10, alone",
            (few[0], many[0]),
            measures.picking,
            lambda options: 0.8,
            (Row("picking", f"picking: {count} endpoints against 10", "pick_ns", "ns", *ours, first=1.2, goal=1.0),),
            runs="alone",
        ),
        Workload(
            "endpoints",
            f"A new connection for each request: {count} endpoints against 10, the whole chain (wrk)",
            (few[1], many[1], few[0], many[0]),
            measures.new_connections,
            lambda options: options.seconds + 0.3,
            (
                Row(
                    "endpoints",
                    f"whole chain: {count} endpoints against 10, cpu each",
                    *_CPU,
                    *ours,
                    first=1.2,
                    goal=1.0,
                    beside=theirs,
                ),
                Row("endpoints", f"{count} endpoints: cpu each", *_CPU, many[0].name, many[1].name),
            ),
        ),
        Workload(
            "start",
            "From the start of the process to the first byte through it, and its resident memory then",
            (HAPROXY, OURS, NGINX, HAPROXY_TLS, OURS_TLS),
            measures.start,
            lambda options: 0.6,
            (
                Row("start", "start to first byte", "first_byte_secs", "s", *_BOTH, first=1.0, goal=0.4, by="value"),
                Row("start", "resident memory, idle", "rss_mb", "MB", *_BOTH, first=70, goal=55, by="value"),
                Row("start", "start to first byte, with TLS", "first_byte_secs", "s", OURS_TLS.name, HAPROXY_TLS.name),
                Row("start", "resident memory, idle, with TLS", "rss_mb", "MB", OURS_TLS.name, HAPROXY_TLS.name),
            ),
            runs="fresh",
        ),
    ]


def _tls() -> list[Workload]:
    contestants, both = (HAPROXY_TLS, OURS_TLS), (OURS_TLS.name, HAPROXY_TLS.name)
    return [
        Workload(
            "tls-keep-alive",
            "Requests over 50 kept TLS connections (wrk)",
            contestants,
            measures.tls_keep_alive,
            lambda options: options.seconds + 0.3,
            (Row("tls-keep-alive", "TLS keep-alive: cpu each", *_CPU, *both, first=1.15, goal=1.0),),
        ),
        Workload(
            "tls-handshake",
            "A new TLS connection for each request, ECDSA P-256 (wrk)",
            contestants,
            measures.tls_handshakes,
            lambda options: options.seconds + 0.3,
            (Row("tls-handshake", "TLS handshake: cpu each", *_CPU, *both, first=1.25, goal=1.05),),
        ),
        Workload(
            "tls-download",
            "One bulk download over TLS (curl)",
            contestants,
            measures.tls_download,
            lambda options: 0.3 + options.bulk_mib / 500,
            (
                Row("tls-download", "TLS download: cpu per GiB", "cpu_s_per_gib", "s/GiB", *both, first=0.8, goal=0.5),
                Row("tls-download", "TLS download: bytes/s", "mb_per_second", "MB/s", *both, better=Better.MORE),
            ),
        ),
    ]


def _churn() -> Workload:
    what = {"rss_mib": ("resident memory", "MiB"), "descriptors": ("descriptors", ""), "threads": ("threads", "")}
    own = {"open": "open connections", "greenlets": "greenlets"}
    return Workload(
        "churn",
        "New connections at a fixed rate for minutes, through both at once: what they hold must not grow",
        (HAPROXY, OURS),
        measures.churn,
        lambda options: options.churn_seconds + 1.0,
        (
            *(Row("churn", f"churn: {title}", name, unit, *_BOTH, by="flat") for name, (title, unit) in what.items()),
            *(Row("churn", f"churn: {title}", name, "", OURS.name, None, by="flat") for name, title in own.items()),
            Row("churn", "churn: failed connections", "failed", "", *_BOTH, first=0, goal=0, by="sum"),
            Row("churn", "churn: cpu each", *_CPU, *_BOTH),
        ),
        runs="together",
    )

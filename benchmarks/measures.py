"""One measurement each: what is done to a running contestant, and the figures that come of it.

cpu is user and system time of the proxy, its processes and threads, between two looks: it is steadier than rates, which
share the cores with the generator and the backend. `cpu_us` is microseconds for each answered request, `cpu_s_per_gib`
seconds for each GiB.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.request import urlopen

from benchmarks import loads, parsing
from benchmarks.machines import ROOT
from benchmarks.model import GIB, MIB, Measured, Options
from benchmarks.processes import Failed, Tree
from benchmarks.proxies import BULK_FILE_MIB, Target

WARM_CONNECTIONS: Final = 100
SAMPLE_SECS: Final = 1.0


class Cost:
    """Seconds and cpu seconds of a block."""

    secs = 0.0
    cpu_secs: float | None = None
    """None where there is no proxy."""

    def each(self, count: float) -> dict[str, float]:
        return {} if self.cpu_secs is None else {"cpu_us": self.cpu_secs / count * 1e6}

    def each_gib(self, size_bytes: float) -> dict[str, float]:
        return {} if self.cpu_secs is None else {"cpu_s_per_gib": self.cpu_secs / size_bytes * GIB}


@contextmanager
def costing(target: Target) -> Iterator[Cost]:
    """Statistics are read meanwhile, once a second."""
    cost = Cost()
    with loads.scraped(target.statistics_url):
        before = target.tree.cpu_secs() if target.tree else 0.0
        began = time.monotonic()
        yield cost
        cost.secs = time.monotonic() - began
        if target.tree:
            cost.cpu_secs = target.tree.cpu_secs() - before


# Requests


def requests(target: Target, options: Options, *, new_connections: bool = False, tls: bool = False) -> Measured:
    with costing(target) as cost:
        url = target.tls_url if tls else target.url
        figures = loads.wrk(url, options.seconds, new_connections=new_connections)
    return Measured({**figures, **cost.each(figures["requests"])})


def keep_alive(target: Target, options: Options) -> Measured:
    return requests(target, options)


def new_connections(target: Target, options: Options) -> Measured:
    return requests(target, options, new_connections=True)


def tls_keep_alive(target: Target, options: Options) -> Measured:
    return requests(target, options, tls=True)


def tls_handshakes(target: Target, options: Options) -> Measured:
    """A whole handshake and one request each."""
    return requests(target, options, new_connections=True, tls=True)


def fixed_rate(target: Target, options: Options) -> Measured:
    """cpu is that of the warm-up, too, at the rate that was achieved after it."""
    with costing(target) as cost:
        figures = loads.h2load(target.url, options.seconds, options.rate, options.rate_connections)
    return Measured({**figures, **cost.each(figures["per_second"] * figures["lasted_secs"])})


# Bytes


def download(target: Target, options: Options) -> Measured:
    """Not by curl, which is slower than a proxy that splices, and would be what is measured."""
    times = options.bulk_mib // BULK_FILE_MIB
    return _bulk(
        target, options, lambda: loads.client("fetch", target.port, times, BULK_FILE_MIB, seconds=60)["seconds"]
    )


def tls_download(target: Target, options: Options) -> Measured:
    return _bulk(target, options, lambda: loads.curl(f"{target.tls_url}bulk", options.bulk_mib // BULK_FILE_MIB))


def upload(target: Target, options: Options) -> Measured:
    return _bulk(
        target, options, lambda: loads.client("pour", target.upload_port, options.bulk_mib, seconds=60)["seconds"]
    )


def _bulk(target: Target, options: Options, move: Callable[[], float | None]) -> Measured:
    with costing(target) as cost:
        secs = move()
    size = options.bulk_mib * MIB
    return Measured({"mb_per_second": size / (secs or cost.secs) / 1e6, **cost.each_gib(size)})


def mixed(target: Target, options: Options) -> Measured:
    """Small requests over kept connections beside one download without end."""
    with costing(target), loads.background("pull", target.port) as pull:
        figures = loads.wrk(target.url, options.seconds)
        pulled = pull.end()
    return Measured({**figures, "mb_per_second": pulled["bytes"] / pulled["seconds"] / 1e6})


def fairness(target: Target, options: Options) -> Measured:
    """New small connections, one after the other, beside one download without end."""
    with loads.scraped(target.statistics_url), loads.background("pull", target.port) as pull:
        visited = loads.client("visit", target.port, options.small, seconds=options.small * 0.1)
        pulled = pull.end()
    figures = parsing.percentiles(visited["millis"])
    return Measured(
        {**figures, "failed": visited["failed"], "mb_per_second": pulled["bytes"] / pulled["seconds"] / 1e6}
    )


# Size and start


def start(target: Target, options: Options) -> Measured:
    """From its start to the first byte that came through it, and what it then has in memory."""
    return Measured({"first_byte_secs": target.first_byte_secs, "rss_mb": _tree(target).rss_mib() * MIB / 1e6})


def idle_memory(target: Target, options: Options) -> Measured:
    """What resident memory grows by for each open and silent connection, of a fresh process that has served a few."""
    tree = _tree(target)
    with loads.held(target.port, WARM_CONNECTIONS):
        pass
    before = tree.rss_mib()
    with loads.held(target.port, options.idle):
        after = tree.rss_mib()
    return Measured({"kib_per_connection": (after - before) * 1024 / options.idle, "rss_mb": after * MIB / 1e6})


def _tree(target: Target) -> Tree:
    assert target.tree is not None
    return target.tree


def picking(target: Target, options: Options) -> Measured:
    """The balancer's choice alone, in a process of its own; nothing else of the target runs."""
    command = [sys.executable, "-m", "benchmarks.picking", str(target.contestant.endpoints)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    if done.returncode:
        raise Failed(done.stderr.strip()[-300:])
    return Measured({"pick_ns": float(done.stdout)})


# What must not grow


def churn(target: Target, options: Options) -> Measured:
    """New connections at a fixed rate for minutes; memory, descriptors and threads are looked at once a second."""
    series: dict[str, list[float]] = {"at": []}
    stop = threading.Event()
    began = time.monotonic()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECS - (time.monotonic() - began) % SAMPLE_SECS):
            looked = _look(target)
            series["at"].append(time.monotonic() - began)
            for name, value in looked.items():
                series.setdefault(name, []).append(value)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        with costing(target) as cost:
            done = loads.client(
                "churn", target.port, options.churn_rate, options.churn_seconds, seconds=options.churn_seconds
            )
    finally:
        stop.set()
        sampler.join(10)
    figures = {"failed": done["failed"], "per_second": done["served"] / options.churn_seconds}
    return Measured({**figures, **cost.each(max(1, done["served"]))}, series)


def _look(target: Target) -> dict[str, float]:
    """All or nothing, so that the series are of one length."""
    tree = _tree(target)
    found = {"rss_mib": tree.rss_mib(), "descriptors": tree.descriptors(), "threads": tree.threads()}
    if target.statistics_url and target.statistics_url.endswith("/metrics"):
        said = {}
        with suppress(OSError):
            said = parsing.metrics(urlopen(target.statistics_url, timeout=5).read().decode())
        found |= {name: said.get(family, 0.0) for name, family in OWN_GAUGES.items() if family in said}
    return {name: float(value) for name, value in found.items()}


OWN_GAUGES: Final = {"open": "l5d_srv_active", "greenlets": "l5d_srv_greenlets"}
"""Of /metrics, where it has them."""

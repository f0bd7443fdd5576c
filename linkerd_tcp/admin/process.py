"""`process_*`: what prometheus_client's own collector has, without its stall.

That one lists /proc/self/fd in one go: 16 000 descriptors hold the loop for more than 10 ms.
"""

import os
import resource
from collections.abc import Iterator
from typing import Final

from prometheus_client import GCCollector, PlatformCollector
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from linkerd_tcp.net.turns import Turns

DESCRIPTORS: Final = "/dev/fd" if not os.path.isdir("/proc/self/fd") else "/proc/self/fd"


class ProcessCollector(Collector):
    """Of this process. Memory only where there is a /proc. `started_at` is in seconds since the epoch."""

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at

    def collect(self) -> Iterator[Metric]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_secs = used.ru_utime + used.ru_stime
        yield CounterMetricFamily("process_cpu_seconds_total", "User and system time spent.", value=cpu_secs)
        yield GaugeMetricFamily("process_start_time_seconds", "Start, since the epoch.", value=self._started_at)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield GaugeMetricFamily("process_max_fds", "Open file descriptors at most.", value=limit)
        yield GaugeMetricFamily("process_open_fds", "Open file descriptors.", value=count_descriptors())
        yield from _memory()


class OtherCollector(Collector):
    """The same of another process, as far as /proc shows it; nothing where there is none, or the process has gone."""

    def __init__(self, pid: int) -> None:
        self._folder = f"/proc/{pid}"

    def collect(self) -> Iterator[Metric]:
        try:
            with open(f"{self._folder}/stat", "rb") as file:
                # After the name in brackets, which may hold spaces; so the first is the third of proc(5).
                words = file.read().rpartition(b")")[2].split()
            with open("/proc/stat", "rb") as file:
                booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
            descriptors = count_descriptors(f"{self._folder}/fd")
        except OSError:
            return
        ticks = os.sysconf("SC_CLK_TCK")
        cpu_secs, started_at = (int(words[11]) + int(words[12])) / ticks, booted + int(words[19]) / ticks
        yield CounterMetricFamily("process_cpu_seconds_total", "User and system time spent.", value=cpu_secs)
        yield GaugeMetricFamily("process_start_time_seconds", "Start, since the epoch.", value=started_at)
        yield GaugeMetricFamily("process_open_fds", "Open file descriptors.", value=descriptors)
        yield from _memory(self._folder)


def process_collectors(started_at: float) -> tuple[Collector, ...]:
    """Of this process and its Python, in a registry of their own: the library's default one belongs to whoever else is
    here.
    """
    python = CollectorRegistry()
    GCCollector(python)
    return ProcessCollector(started_at), PlatformCollector(None), python


def _memory(folder: str = "/proc/self") -> Iterator[Metric]:
    try:
        with open(f"{folder}/statm", "rb") as file:
            pages = file.read().split()
    except OSError:
        return
    page_bytes = resource.getpagesize()
    virtual, resident = int(pages[0]) * page_bytes, int(pages[1]) * page_bytes
    yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory size.", value=virtual)
    yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory size.", value=resident)


def count_descriptors(folder: str = DESCRIPTORS) -> int:
    """How many descriptors are open: the folder's size where the kernel says it (Linux 6.2), else counted in turns."""
    size = os.stat(folder).st_size if folder.startswith("/proc/") else 0
    if size:
        return size
    turns = Turns()
    counted = 0
    with os.scandir(folder) as entries:
        for _ in entries:
            counted += 1
            turns.rest()
    return counted

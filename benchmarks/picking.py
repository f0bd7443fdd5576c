"""`python -m benchmarks.picking COUNT`: nanoseconds that the balancer's choice among so many endpoints takes.

Endpoints have load that differs, as in use. The median of several repetitions is printed.
"""

import statistics
import sys
import time
from random import Random
from typing import Final

from linkerd_tcp.balancers.endpoints import Endpoint
from linkerd_tcp.balancers.p2c import P2c
from linkerd_tcp.naming.addr import Address

PICKS: Final = 20_000
REPETITIONS: Final = 10


def picker_among(count: int) -> P2c:
    """A picker over so many endpoints of equal weight."""
    endpoints = [Endpoint(Address(f"10.0.{number // 250}.{number % 250 + 1}", 80, 1.0)) for number in range(count)]
    rng = Random(7)
    for endpoint in endpoints:
        endpoint.load = rng.randrange(5)
    picker = P2c(rng)
    picker.rebuild(endpoints)
    return picker


def nanoseconds(count: int) -> float:
    pick = picker_among(count).pick
    times = range(PICKS)
    took = []
    for _ in range(REPETITIONS):
        began = time.perf_counter_ns()
        for _ in times:
            pick(None)
        took.append((time.perf_counter_ns() - began) / PICKS)
    return statistics.median(took)


if __name__ == "__main__":
    print(nanoseconds(int(sys.argv[1])))

"""Connections that have lived long enough end one by one, each at a quiet moment."""

import random
import time
from pathlib import Path

import gevent
from gevent.pool import Pool

from tests.system.harness import Proxy, config
from tests.system.peers import Backend, Client

CONNECTIONS = 100
LIFETIME_SECS = 10.0
ANSWER_SECS = 0.3  # longer than a delayed acknowledgement, which would tell of the request by itself


def questions_in(size: int) -> int:
    """How many of `line 0`, `line 1`, ... make `size` bytes; AssertionError for a part of one."""
    count = 0
    while size > 0:
        size -= len(f"line {count}\n")
        count += 1
    assert size == 0
    return count


def test_lifetimes_spread_the_ends_and_cut_no_request(tmp_path: Path) -> None:
    limits = {"connectionLifetimeSecs": int(LIFETIME_SECS), "connectionLifetimeJitter": 0.5}
    ends: list[float] = []
    dice = random.Random(4)

    def live(client: Client) -> None:
        """Ask, think, ask again, until the other side ends it between an answer and the next question."""
        with client:
            while not client.ended():
                try:
                    client.ask()
                except ConnectionError:
                    # It asked in the very moment of the end. Whether that was an answer too few, the sums will tell.
                    break
                gevent.sleep(dice.uniform(0.06, 0.3))
            ends.append(time.monotonic() - began)

    with (
        Backend("b", answer_after_secs=ANSWER_SECS) as backend,
        Proxy(tmp_path, config([backend.address], server=limits)) as proxy,
    ):
        began = time.monotonic()
        pool = Pool()
        for _ in range(CONNECTIONS):
            pool.spawn(live, Client(proxy.address))
        pool.join(timeout=LIFETIME_SECS + 10)
        pool.kill()
        assert len(ends) == CONNECTIONS
        lines = proxy.closed(CONNECTIONS)
        assert {line["cause"] for line in lines} == {"lifetime"}
        assert min(line["txBytes"] for line in lines) > 0
        # Every question that was taken has its answer, which is the backend's name, a space and the question.
        assert [line["txBytes"] - line["rxBytes"] for line in lines] == [
            len("b ") * questions_in(line["rxBytes"]) for line in lines
        ]
        # Closed at the proxy, not seen by a thinking client, which notices up to 0.3 s later.
        closed = sorted(line["acceptedAt"] + line["ageSecs"] for line in lines)
        assert max(sum(at <= other < at + 0.1 for other in closed) for at in closed) <= 10
        ages = [line["ageSecs"] for line in lines]
        assert min(ages) >= LIFETIME_SECS / 2
        assert max(ages) < LIFETIME_SECS + 2

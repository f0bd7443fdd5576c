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


def test_lifetimes_spread_the_ends_and_cut_no_request(tmp_path: Path) -> None:
    limits = {"connectionLifetimeSecs": int(LIFETIME_SECS), "connectionLifetimeJitter": 0.5}
    ends: list[float] = []
    cut: list[str] = []
    dice = random.Random(4)

    def live(client: Client) -> None:
        """Ask, think, ask again, until the other side ends it between an answer and the next question."""
        with client:
            while not client.ended():
                try:
                    client.ask()
                except (OSError, AssertionError) as error:
                    cut.append(repr(error))
                    return
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
        assert cut == []
        assert len(ends) == CONNECTIONS
        lines = proxy.closed(CONNECTIONS)
        assert {line["cause"] for line in lines} == {"lifetime"}
        assert min(line["txBytes"] for line in lines) > 0
        # Closed at the proxy, not seen by a thinking client, which notices up to 0.3 s later.
        closed = sorted(line["acceptedAt"] + line["ageSecs"] for line in lines)
        assert max(sum(at <= other < at + 0.1 for other in closed) for at in closed) <= 10
        ages = [line["ageSecs"] for line in lines]
        assert min(ages) >= LIFETIME_SECS / 2
        assert max(ages) < LIFETIME_SECS + 2

"""No request holds up the connections: with 8 000 open, 20 000 records and 1 000 bindings, no gap over 10 ms.

The client is a process of its own, or its work would count as a gap. A try may be spoilt by whatever else runs on
this machine, so the best of three counts.
"""

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from time import perf_counter

import gevent
import pytest

from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from tests.admin.fake import FakeApp
from tests.sockets import eventually

pytestmark = pytest.mark.alone

LONGEST_GAP_SECS = 0.010
TRIES = 3

CLIENT = """
import sys, urllib.request
for line in sys.stdin:
    url, _, body = line.strip().partition(" ")
    with urllib.request.urlopen(url, data=body.encode() or None, timeout=30) as answer:
        print(answer.status, len(answer.read()), flush=True)
"""

PATHS = [
    "/metrics", "/bindings.json", "/namers.json", "/config.json", "/connections.json", "/connections.json?limit=2000",
    "/connections.json?limit=2000&state=closed&source=127.0.0.1&endpoint=127.0.0.1:8081&path=/svc",
    "/connections.json?limit=2000&source=10.9.9.9", "/overview.json", "/", "/ready", "/logging.json",
    "/delegator.json?path=/svc/web", "/connections", "/connections?limit=2000&path=/svc&state=closed",
    "/connections/newer.json?since=0-1", "/connections/0-1",
]  # fmt: skip


@pytest.fixture
def busy(make_app: Callable[[str], FakeApp]) -> Iterator[FakeApp]:
    app = make_app("")
    app.remember(8_000, 12_000)
    router = app.routers["default"]
    for number in range(1_000):
        addr = Var(Bound(tuple(Address(f"10.0.{last}.1", 80) for last in range(3))))
        router._find_or_bind(Path(("svc", f"n{number}")))._update(
            Leaf(BoundName(Path(("#", "io.l5d.fs", f"n{number}")), addr))
        )
        router.balancers()[-1].figures.connect_failures[Cause.REFUSED] = number
    assert len(router.balancers()) == 1_000
    # As App does once it has started: what lives long is no work for the collector.
    gc.collect()
    gc.freeze()
    yield app
    gc.unfreeze()
    app.book.open.clear()


class Client:
    """Asks in another process; `gap` is the longest time in which this one's loop did not turn."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, url: str, body: str = "") -> tuple[int, float]:
        """(bytes of the answer, longest gap in seconds)"""
        gaps: list[float] = []
        probe = gevent.spawn(_probe, gaps)
        eventually(lambda: gaps)
        self._process.stdin.write(f"{url} {body}\n")
        self._process.stdin.flush()
        with gevent.Timeout(30):
            status, size = self._process.stdout.readline().split()
        before = len(gaps)
        eventually(lambda: len(gaps) > before)
        probe.kill()
        assert status == "200"
        return int(size), max(gaps)

    def close(self) -> None:
        self._process.stdin.close()
        assert self._process.wait(timeout=5) == 0
        self._process.stdout.close()


def _probe(gaps: list[float]) -> None:
    last = perf_counter()
    while True:
        gevent.sleep(0.001)
        now = perf_counter()
        gaps.append(now - last)
        last = now


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


def best_gap(client: Client, url: str, body: str = "") -> float:
    best = 1.0
    for _ in range(TRIES):
        size, gap = client.ask(url, body)
        assert size > 0
        best = min(best, gap)
        if best <= LONGEST_GAP_SECS:
            break
    return best


def test_no_path_holds_up_the_loop(busy: FakeApp, client: Client) -> None:
    client.ask(f"{busy.url}/ping")
    gaps = {path: best_gap(client, busy.url + path) for path in PATHS}
    assert {path: gap for path, gap in gaps.items() if gap > LONGEST_GAP_SECS} == {}


def test_a_long_dtab_does_not_hold_up_the_loop(busy: FakeApp, client: Client) -> None:
    body = json.dumps({"path": "/svc/web", "dtab": "".join(f"/svc/x{n} => /#/io.l5d.fs/y ;" for n in range(5_000))})
    assert best_gap(client, f"{busy.url}/delegator.json", body) <= LONGEST_GAP_SECS


def test_the_probe_sees_a_stall(busy: FakeApp, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def stall() -> list[dict[str, str]]:
        until = perf_counter() + 3 * LONGEST_GAP_SECS
        while perf_counter() < until:
            pass
        return []

    monkeypatch.setattr(busy.logs, "levels", stall)
    assert best_gap(client, f"{busy.url}/logging.json") > 2 * LONGEST_GAP_SECS

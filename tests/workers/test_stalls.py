"""Putting together what four workers say holds up nothing.

They are all in this process here and take turns, so a gap of the loop would be the sum of five processes' work. What
is measured is the longest that anybody goes on without letting another run.
"""

import gc
from collections.abc import Callable, Iterator
from time import thread_time

import gevent
import greenlet
import pytest

from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from tests.admin.test_stalls import LONGEST_GAP_SECS, TRIES, Client, client
from tests.workers.fake import FakeWorker, Front

pytestmark = pytest.mark.alone

__all__ = ["client"]

PATHS = [
    "/metrics", "/bindings.json", "/namers.json", "/connections.json?limit=2000", "/overview.json", "/", "/ready",
    "/workers.json", "/connections.json?limit=2000&worker=1", "/bindings.json?worker=2", "/metrics?worker=3",
    "/connections", "/connections?limit=2000", "/connections/newer.json?since=0-0",
]  # fmt: skip


@pytest.fixture
def busy(make_workers: Callable[..., list[FakeWorker]]) -> Iterator[Front]:
    """20 000 connections over four workers; each has 300 names and one of 1 000 endpoints."""
    workers = make_workers(4)
    for worker in workers:
        worker.remember(2_000, 3_000)
        for number in range(300):
            bind(worker, f"n{number}", 3)
        bind(worker, "large", 1_000)
    front = Front(workers)
    gc.collect()
    gc.freeze()
    yield front
    gc.unfreeze()
    front.close()
    for worker in workers:
        worker.book.open.clear()


def bind(worker: FakeWorker, name: str, endpoints: int) -> None:
    router = worker.routers["default"]
    addr = Var(Bound(tuple(Address(f"10.0.{n >> 8}.{n & 255}", 80) for n in range(endpoints))))
    router._find_or_bind(Path(("svc", name)))._update(Leaf(BoundName(Path(("#", "io.l5d.fs", name)), addr)))
    router.balancers()[-1].figures.connect_failures[Cause.REFUSED] = endpoints


def best_hold(client: Client, url: str) -> float:
    best = 1.0
    for _ in range(TRIES):
        best = min(best, longest_hold(lambda: client.ask(url)))
        if best <= LONGEST_GAP_SECS:
            break
    return best


def longest_hold(do: Callable[[], object]) -> float:
    """Between two switches of greenlets, in processor time, of which others on this machine take nothing. The hub,
    which waits for what comes, is not counted.
    """
    hub, longest, last = gevent.get_hub(), 0.0, thread_time()

    def switched(_: str, greenlets: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        nonlocal longest, last
        now = thread_time()
        if greenlets[0] is not hub:
            longest = max(longest, now - last)
        last = now

    greenlet.settrace(switched)
    try:
        do()
    finally:
        greenlet.settrace(None)
    return longest


def test_no_path_holds_up_the_loop(busy: Front, client: Client) -> None:
    client.ask(f"{busy.url}/ping")
    client.ask(f"{busy.url}/metrics")  # from here on there is something that was counted before
    holds = {path: best_hold(client, busy.url + path) for path in PATHS}
    assert {path: hold for path, hold in holds.items() if hold > LONGEST_GAP_SECS} == {}


def test_a_replaced_workers_figures_are_kept_without_a_stall(busy: Front, client: Client) -> None:
    client.ask(f"{busy.url}/metrics")

    best = 1.0
    for _ in range(TRIES):
        for worker in busy.fleet.members:
            worker.started_at += 1
            worker.stop_answering()
            worker.answer_again()
        best = min(best, longest_hold(lambda: client.ask(f"{busy.url}/metrics")))
    assert best <= LONGEST_GAP_SECS


def test_a_hold_is_seen(busy: Front, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def stall() -> list[dict[str, str]]:
        until = thread_time() + 2 * LONGEST_GAP_SECS
        while thread_time() < until:
            pass
        return []

    monkeypatch.setattr(busy.logs, "levels", stall)
    assert best_hold(client, f"{busy.url}/logging.json") > LONGEST_GAP_SECS

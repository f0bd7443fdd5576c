"""What is stale is seen: in words, in numbers, and without keeping anybody waiting."""

from collections.abc import Iterable, Iterator
from time import thread_time, time

import gevent
import pytest

from linkerd_tcp.naming.addr import PENDING, Address, Bound
from linkerd_tcp.naming.namer import NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.staleness import age, ahead, count_stale, remarks, said

ONE = Bound((Address("10.0.0.1", 80),))


class Source:
    """A discovery of rows."""

    kind = "fake"
    prefix = Path(("fake",))

    def __init__(self, rows: Iterable[WatchState]) -> None:
        self.figures = NamerFigures()
        self.rows = rows

    def watches(self) -> Iterable[WatchState]:
        return self.rows


def many(number: int) -> Iterator[WatchState]:
    addr = Bound(tuple(Address(f"10.0.0.{n}", 80) for n in range(50)))
    return (watch_state(f"/{n}", addr, time(), None if n % 2 else "away", time()) for n in range(number))


def test_what_is_well_is_not_remarked() -> None:
    assert remarks([Source([watch_state("/web", ONE, time()), watch_state("/new", PENDING)])]) == []


def test_what_is_stale_is_named_with_its_error_and_the_age_of_what_is_known() -> None:
    rows = [watch_state("/web", ONE, time() - 65, "timeout", time()), watch_state("/new", PENDING, None, "refused")]
    assert remarks([Source(rows)]) == [
        "namer /#/fake: /web: timeout (last good 65 s ago)",
        "namer /#/fake: /new: refused (nothing known yet)",
    ]


def test_the_first_are_named_and_the_others_counted() -> None:
    lines = remarks([Source(many(30)), Source(many(100))])
    assert len(lines) == 21
    assert lines[-1] == "and 45 more"
    assert count_stale(Source(many(100)), Turns()) == 50


def test_10_000_watches_keep_the_loop_waiting_a_few_milliseconds_at_most() -> None:
    longest, last, asked = 0.0, thread_time(), True

    def others() -> None:
        nonlocal longest, last
        while asked:
            gevent.sleep(0)
            now = thread_time()
            longest, last = max(longest, now - last), now

    ticker = gevent.spawn(others)
    gevent.sleep(0.01)
    longest = 0.0
    assert remarks([Source(many(10_000))])[-1] == "and 4980 more"
    asked = False
    ticker.join()
    assert longest < 0.01


@pytest.mark.parametrize(
    ("watch", "words"),
    [
        (watch_state("/web", ONE), "bound"),
        (watch_state("/web", ONE, 0.0), "bound, last good 11574 d ago"),
        (watch_state("/web", PENDING, None, "no answer"), "pending; last attempt failed: no answer"),
        (
            watch_state("/web", ONE, 999_000_000, "no answer", 999_999_970, 1_000_000_003),
            "bound, last good 11 d ago; last attempt failed 30 s ago: no answer; next attempt in 3 s",
        ),
    ],
)
def test_a_watch_in_words(watch: WatchState, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.staleness.time", lambda: 1_000_000_000.0)
    assert said(watch) == words


@pytest.mark.parametrize(
    ("secs", "words"),
    [(-1, "0 s"), (0.9, "0 s"), (119.9, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_an_age_is_in_the_largest_unit_that_there_are_two_of(secs: float, words: str) -> None:
    assert age(secs) == words


def test_an_attempt_that_is_due_is_now() -> None:
    assert ahead(time() - 3) == "now"


def test_an_error_that_stands_beside_is_not_said_twice() -> None:
    watch = watch_state("/web", PENDING, None, "no answer", time())
    assert said(watch, "cannot be bound: no answer") == "pending; last attempt failed 0 s ago"

"""What every namer promises, whoever wrote it."""

import gc
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkerd_tcp.naming.addr import Bound, Failed, Neg, Pending
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import Namer, NamerFigures, WatchState
from linkerd_tcp.naming.nametree import leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.testing.leaks import nothing_left
from linkerd_tcp.testing.waiting import eventually

HOSTILE: Final[tuple[tuple[str, ...], ...]] = (
    (),
    ("..",),
    ("..", "..", "etc", "passwd"),
    (".",),
    (".hidden",),
    ("/etc/passwd",),
    ("a/../../etc/passwd",),
    ("nul\0",),
    ("\n",),
    ("x" * 10_000,),
    ("a",) * 1000,
    ("\udcff",),
    ("~",),
    ("%2e%2e",),
    ("CON",),
    ("inet",),
    ("inet", "99999999999"),
    ("inet", "host", "-1"),
    ("inet", "h" * 300, "80"),
    ("80", "a" * 64 + ".example"),
    ("80", "-.example"),
    ("80", "ex ample\r\nHost: x"),
    ("?dtab=/=>/$/fail", "&", "#"),
)
"""Paths as a stranger may send them: a connection's name becomes a path."""

MOST_GROWTH: Final = 500
"""Objects that may be there after 3 000 names that are not there, more than before."""

labels: Final = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
paths: Final = st.lists(
    labels | st.sampled_from(["inet", "nil", "hostportPfx", "a:b", "127.1", "80", "web", "example.com"]), max_size=6
).map(Path)


class LookupContract:
    """What every namer promises, also one that answers with paths only. A subclass in a test file has the fixtures

    * `namer`: a namer that was started, and that the fixture closes after the test;
    * `known`: a path for its `lookup` that has an answer other than neg.
    """

    settle_secs: ClassVar[float] = 5.0
    """How long what it asks may take to answer. 0 where everything is known at once."""

    @pytest.fixture(autouse=True)
    def no_leaks(self) -> Iterator[None]:
        """Each test ends with the greenlets, threads, sockets and watchers that it began with."""
        with nothing_left():
            yield

    def released(self, namer: Namer) -> None:
        """Return when it watches nothing; AssertionError if that takes longer than `settle_secs`."""
        eventually(lambda: not list(namer.watches()), self.settle_secs)

    def test_it_names_itself_and_counts(self, namer: Namer) -> None:
        assert namer.kind
        assert isinstance(namer.prefix, Path)
        assert isinstance(namer.figures, NamerFigures)

    def test_a_lookup_waits_for_nothing(self, namer: Namer, known: Path) -> None:
        """A connection's greenlet, or the loop itself, is who asks."""
        turns: list[str] = []
        other = gevent.spawn(turns.append, "somebody else had a turn")
        watch = namer.lookup(known)
        rows = list(namer.watches())
        watch.close()
        assert turns == []
        assert all(isinstance(row, WatchState) for row in rows)
        other.join()

    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(path=paths)
    def test_any_path_has_an_answer_and_none_raises(self, namer: Namer, path: Path) -> None:
        check_answer(namer, path)
        self.released(namer)

    @pytest.mark.parametrize("labels", HOSTILE, ids=lambda labels: repr(labels)[:30])
    def test_hostile_names_have_an_answer(self, namer: Namer, labels: tuple[str, ...]) -> None:
        check_answer(namer, Path(labels))
        self.released(namer)

    def test_a_closed_watch_is_told_nothing_and_closing_twice_is_harmless(self, namer: Namer, known: Path) -> None:
        watch = namer.lookup(known)
        told: list[Any] = []
        cancel = watch.observe(told.append)
        watch.close()
        watch.close()
        cancel()
        namer.close()
        assert told == []

    def test_closing_the_namer_twice_is_harmless_and_watches_may_be_closed_after_it(
        self, namer: Namer, known: Path
    ) -> None:
        watch = namer.lookup(known)
        namer.close()
        namer.close()
        watch.close()
        assert list(namer.watches()) == []
        namer.lookup(known).close()
        assert list(namer.watches()) == []

    def test_many_names_that_are_not_there_leave_nothing_behind(self, namer: Namer) -> None:
        def several(count: int) -> None:
            for number in range(count):
                namer.lookup(Path((f"nobody-{number}", "x"))).close()

        several(200)
        self.released(namer)
        before = objects()
        several(3000)
        eventually(lambda: objects() - before < MOST_GROWTH, self.settle_secs)


class NamerContract(LookupContract):
    """What a namer that finds addresses promises besides: `known` leads to one bound name with at least one address,
    and ends in the label `rest`, which is left over.
    """

    def found(self, namer: Namer, known: Path) -> tuple[Watch[Found], BoundName]:
        """A lookup of `known`, to be closed, and the name it led to once that has addresses."""
        watch = namer.lookup(known)
        eventually(lambda: bound_name(watch.value) is not None, self.settle_secs)
        name = bound_name(watch.value)
        assert name is not None
        return watch, name

    def row(self, namer: Namer, known: Path) -> WatchState:
        """That of `known`: its name is how `known` begins, the longest if there are several."""
        rows = [row for row in namer.watches() if known.starts_with(Path.read(row.name))]
        assert rows, f"no row of {known}"
        return max(rows, key=lambda row: len(row.name))

    def test_a_known_name_is_bound_with_what_is_left_over(self, namer: Namer, known: Path) -> None:
        watch, name = self.found(namer, known)
        assert name.residual == Path(("rest",))
        watch.close()

    def test_two_lookups_of_one_name_give_one_id_and_one_live_addr(self, namer: Namer, known: Path) -> None:
        (one, first), (other, second) = self.found(namer, known), self.found(namer, known)
        assert first == second
        assert first.addr is second.addr
        one.close()
        other.close()

    def test_the_addresses_live_as_long_as_they_are_observed(self, namer: Namer, known: Path) -> None:
        watch, name = self.found(namer, known)
        cancel = name.addr.observe(lambda _: None)
        watch.close()
        assert self.row(namer, known).state == "bound"
        cancel()
        cancel()
        self.released(namer)

    def test_a_second_lookup_while_the_first_is_open_is_answered_at_once(self, namer: Namer, known: Path) -> None:
        watch, name = self.found(namer, known)
        other = namer.lookup(known)
        assert bound_name(other.value) == name
        other.close()
        watch.close()

    def test_watches_says_what_is_watched(self, namer: Namer, known: Path) -> None:
        watch, _ = self.found(namer, known)
        row = self.row(namer, known)
        assert (row.state, row.error) == ("bound", None)
        assert row.addresses > 0
        watch.close()
        self.released(namer)


def bound_name(found: Found) -> BoundName | None:
    """The one bound name that `found` is, if that has addresses."""
    if isinstance(found, Pending | Failed):
        return None
    match list(leaves(found)):
        case [BoundName(addr=addr) as name] if isinstance(addr.value, Bound) and addr.value.addresses:
            return name
    return None


def check_answer(namer: Namer, path: Path) -> None:
    """`path` has an answer that a binding can use; its watch is closed."""
    watch = namer.lookup(path)
    found = watch.value
    if not isinstance(found, Pending | Failed):
        for name in leaves(found):
            if isinstance(name, BoundName):
                assert isinstance(name.addr.value, Bound | Neg | Pending | Failed)
                assert tuple(path[len(path) - len(name.residual) :]) == tuple(name.residual)
            else:
                assert isinstance(name, Path)
    watch.close()
    watch.close()


def objects() -> int:
    """How many objects there are that the garbage collector knows of and cannot collect."""
    gc.collect()
    return len(gc.get_objects())

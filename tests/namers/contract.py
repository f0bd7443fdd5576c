"""What every namer promises. Each namer's test file has a subclass of this with the fixtures `namer` and `known`."""

import gc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkerd_tcp.naming.addr import Bound, Failed, Neg, Pending
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import Namer, NamerFigures, WatchState
from linkerd_tcp.naming.nametree import NEG, leaves
from linkerd_tcp.naming.path import Path

HOSTILE = (
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
)

labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
paths = st.lists(labels | st.sampled_from(["inet", "nil", "hostportPfx", "a:b", "127.1", "80"]), max_size=6).map(Path)


class NamerContract:
    """`known` is a path with a residual of ("rest",) that this namer finds addresses for at once."""

    def test_a_known_name_has_its_value_at_once(self, namer: Namer, known: Path) -> None:
        watch = namer.lookup(known)
        [name] = leaves(watch.value)
        assert isinstance(name, BoundName)
        assert name.residual == Path(("rest",))
        assert isinstance(name.addr.value, Bound)
        assert name.addr.value.addresses
        watch.close()

    def test_two_lookups_of_one_name_give_one_id_and_one_live_addr(self, namer: Namer, known: Path) -> None:
        one, other = namer.lookup(known), namer.lookup(known)
        [first], [second] = leaves(one.value), leaves(other.value)
        assert first == second
        assert first.addr is second.addr
        one.close()
        other.close()

    def test_the_addresses_live_as_long_as_they_are_observed(self, namer: Namer, known: Path) -> None:
        watch = namer.lookup(known)
        [name] = leaves(watch.value)
        cancel = name.addr.observe(lambda _: None)
        watch.close()
        assert len(namer.watches()) == 1
        cancel()
        cancel()
        assert namer.watches() == []

    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(path=paths)
    def test_any_path_has_an_answer_and_none_raises(self, namer: Namer, path: Path) -> None:
        check_answer(namer, path)
        assert namer.watches() == []

    @pytest.mark.parametrize("labels", HOSTILE, ids=lambda labels: repr(labels)[:30])
    def test_hostile_names_have_an_answer(self, namer: Namer, labels: tuple[str, ...]) -> None:
        check_answer(namer, Path(labels))

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
        assert namer.watches() == []
        namer.lookup(known).close()

    def test_watches_says_what_is_watched(self, namer: Namer, known: Path) -> None:
        watch = namer.lookup(known)
        [row] = namer.watches()
        assert isinstance(row, WatchState)
        assert row.state == "bound"
        assert row.addresses > 0
        assert str(known).startswith(row.name)
        watch.close()
        assert namer.watches() == []

    def test_it_names_itself_and_counts(self, namer: Namer) -> None:
        assert namer.kind
        assert isinstance(namer.prefix, Path)
        assert isinstance(namer.figures, NamerFigures)

    def test_many_names_that_are_not_there_leave_nothing_behind(self, namer: Namer) -> None:
        def several(count: int) -> None:
            for number in range(count):
                namer.lookup(Path((f"nobody-{number}", "x"))).close()

        several(200)
        gc.collect()
        before = len(gc.get_objects())
        several(3000)
        gc.collect()
        assert len(gc.get_objects()) - before < 500


def check_answer(namer: Namer, path: Path) -> None:
    watch = namer.lookup(path)
    found: Found = watch.value
    if not isinstance(found, Pending | Failed):
        for name in leaves(found):
            if isinstance(name, BoundName):
                assert isinstance(name.addr.value, Bound | Neg | Pending | Failed)
                assert tuple(path[len(path) - len(name.residual) :]) == tuple(name.residual)
    else:
        assert found != NEG
    watch.close()
    watch.close()

"""What every interpreter promises, whoever wrote it."""

from collections.abc import Iterator
from typing import Any, ClassVar

import gevent
import pytest
from hypothesis import HealthCheck, given, settings

from linkerd_tcp.naming.addr import Bound, Failed, Pending
from linkerd_tcp.naming.delegation import DelegateTree
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.namer import Interpreter, NamerFigures
from linkerd_tcp.naming.nametree import FAIL, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing.leaks import nothing_left
from linkerd_tcp.testing.namers import HOSTILE, paths
from linkerd_tcp.testing.waiting import eventually


class InterpreterContract:
    """What every interpreter promises. A subclass in a test file has the fixtures

    * `interpreter`: which the fixture closes after the test;
    * `known`: a path that it binds to one name with at least one address.
    """

    settle_secs: ClassVar[float] = 5.0
    """How long what it asks may take to answer. 0 where everything is known at once."""

    takes_extra: ClassVar[bool] = True
    """False where what it asks cannot be given further entries: `extra` is not looked at then."""

    @pytest.fixture(autouse=True)
    def no_leaks(self) -> Iterator[None]:
        """Each test ends with the greenlets, threads, sockets and watchers that it began with."""
        with nothing_left():
            yield

    def test_it_names_itself_and_what_it_asks(self, interpreter: Interpreter) -> None:
        assert interpreter.kind
        for source in interpreter.sources:
            assert isinstance(source.prefix, Path)
            assert isinstance(source.figures, NamerFigures)

    def test_a_known_path_is_bound_to_addresses(self, interpreter: Interpreter, known: Path) -> None:
        watch = interpreter.bind(known)
        eventually(lambda: has_addresses(watch.value), self.settle_secs)
        watch.close()

    def test_binding_waits_for_nothing(self, interpreter: Interpreter, known: Path) -> None:
        """A connection's greenlet, or the loop itself, is who asks."""
        turns: list[str] = []
        other = gevent.spawn(turns.append, "somebody else had a turn")
        watch = interpreter.bind(known)
        assert turns == []
        watch.close()
        other.join()

    def test_entries_given_with_a_path_win(self, interpreter: Interpreter, known: Path) -> None:
        if not self.takes_extra:
            pytest.skip("takes no further entries")
        watch = interpreter.bind(known, Dtab.read(f"{known} => !"))
        eventually(lambda: watch.value == FAIL, self.settle_secs)
        watch.close()

    def test_a_known_path_is_delegated_down_to_addresses(self, interpreter: Interpreter, known: Path) -> None:
        watch = interpreter.delegation(known)
        eventually(lambda: is_delegated(watch.value), self.settle_secs)
        assert isinstance(interpreter.delegate(known), DelegateTree)
        watch.close()

    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(path=paths)
    def test_any_path_has_an_answer_and_none_raises(self, interpreter: Interpreter, path: Path) -> None:
        check_answers(interpreter, path)

    @pytest.mark.parametrize("labels", HOSTILE, ids=lambda labels: repr(labels)[:30])
    def test_hostile_names_have_an_answer(self, interpreter: Interpreter, labels: tuple[str, ...]) -> None:
        check_answers(interpreter, Path(labels))
        check_answers(interpreter, Path(("svc", *labels)))

    def test_a_closed_watch_is_told_nothing_and_closing_twice_is_harmless(
        self, interpreter: Interpreter, known: Path
    ) -> None:
        told: list[Any] = []
        watches = (interpreter.bind(known), interpreter.delegation(known))
        for watch in watches:
            watch.observe(told.append)
            watch.close()
            watch.close()
        interpreter.close()
        assert told == []

    def test_closing_it_twice_is_harmless_and_watches_may_be_closed_after_it(
        self, interpreter: Interpreter, known: Path
    ) -> None:
        binding, delegation = interpreter.bind(known), interpreter.delegation(known)
        interpreter.close()
        interpreter.close()
        binding.close()
        delegation.close()

    def test_what_is_closed_is_watched_no_more(self, interpreter: Interpreter, known: Path) -> None:
        always = watched(interpreter)  # a file that it follows all the time
        watch = interpreter.bind(known)
        eventually(lambda: has_addresses(watch.value), self.settle_secs)
        watch.close()
        eventually(lambda: watched(interpreter) == always, self.settle_secs)


def has_addresses(binding: Binding) -> bool:
    """Whether `binding` is one name with at least one address."""
    if isinstance(binding, Pending | Failed):
        return False
    match list(leaves(binding)):
        case [BoundName(addr=addr)]:
            return isinstance(addr.value, Bound) and bool(addr.value.addresses)
    return False


def watched(interpreter: Interpreter) -> list[tuple[Path, str]]:
    """What it watches now: the prefix of each source with the names in its rows."""
    return [(source.prefix, row.name) for source in interpreter.sources for row in source.watches()]


def is_delegated(tree: DelegateTree) -> bool:
    """Whether some step of `tree` is a name with at least one address."""
    addrs = [node.bound.addr.value for node in tree.walk() if node.bound is not None]
    return any(isinstance(addr, Bound) and addr.addresses for addr in addrs)


def check_answers(interpreter: Interpreter, path: Path) -> None:
    """Every question about `path` has an answer; what was opened is closed."""
    assert isinstance(interpreter.delegate(path), DelegateTree)
    for watch in (interpreter.bind(path), interpreter.delegation(path)):
        assert watch.value is not None
        watch.close()
        watch.close()

"""The contract of namers can be broken, and every kind is held to it."""

import importlib
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import PENDING, Address, Bound, Failed
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.shared import SharedAddr
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.testing import LookupContract, NamerContract

KNOWN = Path(("web", "rest"))
ONE = Bound((Address("127.0.0.1", 80),))


class Good:
    """A namer of one name, which is known after a while, as if somebody else had to be asked."""

    kind = "good"
    prefix = Path(("good",))

    def __init__(self, late: bool = True) -> None:
        self.figures = NamerFigures()
        self.addr = SharedAddr(lambda: None)
        self.holders: set[Any] = set()
        self.late = late
        if not late:
            self.addr.set(ONE)
        self.asking: gevent.Greenlet | None = None

    def start(self) -> None:
        pass

    def lookup(self, path: Path) -> Watch[Found]:
        if not path or path[0] != "web":
            return Var[Found](NEG)
        answer = self.answer(path)
        known = not self.late or self.addr.value == ONE
        watch: Var[Found] = Var(answer if known else PENDING, on_close=lambda: self.holders.discard(watch))
        self.holders.add(watch)
        if not known:
            self.asking = gevent.spawn(lambda: (self.addr.set(ONE), watch.set(answer)))
        return watch

    def answer(self, path: Path) -> Found:
        return Leaf(BoundName(Path(("#", "good", "web")), self.addr, path.drop(1)))

    def watches(self) -> list[WatchState]:
        return [watch_state("/web", ONE)] if self.holders or self.addr.observed else []

    def close(self) -> None:
        self.holders.clear()
        if self.asking is not None:
            self.asking.kill()


@pytest.mark.parametrize("late", [False, True])
class TestGood(NamerContract):
    @pytest.fixture
    def namer(self, late: bool) -> Good:
        return Good(late)

    @pytest.fixture
    def known(self) -> Path:
        return KNOWN


class Waits(Good):
    def lookup(self, path: Path) -> Watch[Found]:
        gevent.sleep(0)
        return super().lookup(path)


class Raises(Good):
    def lookup(self, path: Path) -> Watch[Found]:
        if ".." in path:
            raise ValueError(path)
        return super().lookup(path)


class Forgets(Good):
    """To give back what it watched."""

    def watches(self) -> list[WatchState]:
        return [watch_state("/web", ONE)]


class TellsTheClosed(Good):
    """Those who let go of it, when it closes itself."""

    def lookup(self, path: Path) -> Watch[Found]:
        self.told = Var[Found](self.answer(path))
        return Unclosed(self.told)  # type: ignore[return-value]

    def close(self) -> None:
        self.told.set(Failed("closed"))


class Unclosed:
    """A watch whose observers stay when it is closed."""

    def __init__(self, var: Var[Found]) -> None:
        self.value = var.value
        self.var = var

    def observe(self, callback: Callable[[Found], None]) -> Callable[[], None]:
        self.var.observe(callback)
        return lambda: None

    def close(self) -> None:
        pass


class EatsTheRest(Good):
    def answer(self, path: Path) -> Found:
        return Leaf(BoundName(Path(("#", "good", "web")), self.addr))


class MakesAddressesEachTime(Good):
    def answer(self, path: Path) -> Found:
        return Leaf(BoundName(Path(("#", "good", "web")), Var(ONE), path.drop(1)))


class Keeps(Good):
    """Something of every name it was ever asked for."""

    kept: list[object]

    def lookup(self, path: Path) -> Watch[Found]:
        self.__dict__.setdefault("kept", []).append([path])
        return super().lookup(path)


class NamesRowsOtherwise(Good):
    def watches(self) -> list[WatchState]:
        return [watch_state("web.example", ONE)] if super().watches() else []


class NeverAnswers(Good):
    def answer(self, path: Path) -> Found:
        return PENDING


BROKEN: list[tuple[type[Good], Callable[[NamerContract, Any], None]]] = [
    (Waits, lambda contract, namer: contract.test_a_lookup_waits_for_nothing(namer, KNOWN)),
    (Raises, lambda contract, namer: contract.test_hostile_names_have_an_answer(namer, ("..",))),
    (Forgets, lambda contract, namer: contract.test_hostile_names_have_an_answer(namer, ("..",))),
    (Forgets, lambda contract, namer: contract.test_watches_says_what_is_watched(namer, KNOWN)),
    (
        TellsTheClosed,
        lambda contract, namer: contract.test_a_closed_watch_is_told_nothing_and_closing_twice_is_harmless(
            namer, KNOWN
        ),
    ),
    (EatsTheRest, lambda contract, namer: contract.test_a_known_name_is_bound_with_what_is_left_over(namer, KNOWN)),
    (NeverAnswers, lambda contract, namer: contract.test_a_known_name_is_bound_with_what_is_left_over(namer, KNOWN)),
    (
        MakesAddressesEachTime,
        lambda contract, namer: contract.test_two_lookups_of_one_name_give_one_id_and_one_live_addr(namer, KNOWN),
    ),
    (Keeps, lambda contract, namer: contract.test_many_names_that_are_not_there_leave_nothing_behind(namer)),
    (NamesRowsOtherwise, lambda contract, namer: contract.test_watches_says_what_is_watched(namer, KNOWN)),
]


@pytest.mark.parametrize(("broken", "test"), BROKEN)
def test_a_broken_promise_is_found(broken: type[Good], test: Callable[[NamerContract, Any], None]) -> None:
    class Impatient(NamerContract):
        settle_secs = 0.1

    namer = broken()
    with pytest.raises((AssertionError, ValueError)):
        test(Impatient(), namer)
    namer.close()


@pytest.mark.parametrize(
    ("role", "kind"), [(role, kind) for role in ("namer", "utilities") for kind in registry.BUILT_IN[role]]
)
def test_every_kind_of_namer_is_held_to_the_contract(role: str, kind: str) -> None:
    """By a subclass in the test file of its module."""
    module = registry.BUILT_IN[role][kind].partition(":")[0]
    package, _, name = module.partition(".")
    tests = importlib.import_module(f"tests.{package}.test_{name}")
    held = [each for each in vars(tests).values() if isinstance(each, type) and issubclass(each, LookupContract)]
    assert [each for each in held if each.__name__.startswith("Test")], f"tests/{package}/test_{name}.py has none"

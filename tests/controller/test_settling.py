"""A dtab that changes reaches whoever is bound by it, whatever happens to the others."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import gevent
import pytest

from linkerd_tcp.controller import kinds
from linkerd_tcp.controller.control import Control
from linkerd_tcp.controller.memory import MemoryStore
from linkerd_tcp.controller.topic import Topic
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import NamerFigures, WatchState
from linkerd_tcp.naming.nametree import Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.testing.leaks import no_leaks
from linkerd_tcp.testing.waiting import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


class Names:
    """A namer that has every name, and is broken for some."""

    kind = "names"
    prefix = Path(("names",))

    def __init__(self) -> None:
        self.figures = NamerFigures()

    def start(self) -> None: ...

    def lookup(self, path: Path) -> Watch[Found]:
        if "broken" in path:
            raise RuntimeError("a namer's own trouble")
        return Var[Found](Leaf(BoundName(Path(("#", "names")) + path, Var(Bound((Address("127.0.0.1", 1),))))))

    def watches(self) -> list[WatchState]:
        return []

    def close(self) -> None: ...


class Bindings:
    """What is bound in two namespaces, as if it were watched."""

    def __init__(self, stack: ExitStack) -> None:
        self.store = MemoryStore({})
        self.store.start()
        self.put("one", "first")
        self.put("two", "first")
        names = Names()
        self.control = Control(self.store, [names], names)
        self._stack = stack
        stack.callback(self.control.close)

    def put(self, ns: str, to: str) -> None:
        self.store.put(ns, Dtab.read(f"/svc => /#/names/{to} ; /svc/fine => /#/names/{to}-fine"))

    def bind(self, ns: str, path: str) -> Topic:
        name = Path.read(path)
        topics = self.control.topics
        return self._stack.enter_context(
            topics.use((ns, name), lambda: kinds.binding(self.control.namespaces, ns, name, None))
        )


@pytest.fixture
def bindings() -> Iterator[Bindings]:
    with ExitStack() as stack:
        yield Bindings(stack)


def leads_to(topic: Topic, name: str) -> bool:
    return f"/#/names/{name}'" in repr(topic.state)


def test_a_namer_that_fails_for_one_name_keeps_the_change_from_no_other(bindings: Bindings) -> None:
    broken, fine, other = bindings.bind("one", "/svc"), bindings.bind("one", "/svc/fine"), bindings.bind("two", "/svc")
    bindings.put("one", "broken")
    eventually(lambda: leads_to(fine, "broken-fine"))
    assert leads_to(broken, "first"), "the last good one"
    bindings.put("two", "second")
    eventually(lambda: leads_to(other, "second"))
    assert bindings.control.settle("one")
    bindings.put("one", "good")
    eventually(lambda: leads_to(broken, "good"))


def test_a_namespace_that_changes_all_the_time_holds_up_no_other(bindings: Bindings) -> None:
    names = [bindings.bind("one", f"/svc/{number}") for number in range(1000)]
    other = bindings.bind("two", "/svc")

    def change() -> None:
        for number in count():
            bindings.put("one", f"n{number}")
            gevent.sleep(0.001)

    changing = gevent.spawn(change)
    try:
        eventually(lambda: not leads_to(names[0], "first/0"))
        bindings.put("two", "second")
        eventually(lambda: leads_to(other, "second"), 2.0)
    finally:
        changing.kill()
    bindings.put("one", "last")
    eventually(lambda: all(leads_to(topic, f"last/{number}") for number, topic in enumerate(names)))
    assert bindings.control.settle("one")

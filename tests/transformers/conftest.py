"""A namer whose addresses a test decides, behind transformers that the file's options describe."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from linkerd_tcp import registry
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.transformers import Transformers
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Found
from linkerd_tcp.naming.namer import Interpreter, InterpreterContext, Namer, NamerContext, NamerFigures, WatchState
from linkerd_tcp.naming.nametree import NEG
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.testing import FakeHosts
from linkerd_tcp.transformers.build import build_interpreter, build_namer

BuildNamer = Callable[..., Namer]
BuildInterpreter = Callable[..., Interpreter]


def bound(*addresses: str, **meta: Any) -> Bound:
    """`host:port` or `host:port*weight`, each."""
    made = []
    for text in addresses:
        place, _, weight = text.partition("*")
        ip, _, port = place.rpartition(":")
        made.append(Address(ip, int(port), float(weight or 1)))
    return Bound(tuple(made), meta)


class Inner:
    """Answers as told, Neg to anything else; `open` are the names looked up and not closed yet."""

    kind = "inner"

    def __init__(self) -> None:
        self.prefix = Path(("inner",))
        self.figures = NamerFigures()
        self.answers: dict[str, Found] = {}
        self.open: list[tuple[str, Var[Found]]] = []
        self.started = False
        self.closed = 0

    def start(self) -> None:
        self.started = True

    def lookup(self, path: Path) -> Watch[Found]:
        entry: tuple[str, Var[Found]]
        var: Var[Found] = Var(self.answers.get(str(path), NEG), on_close=lambda: self.open.remove(entry))
        entry = (str(path), var)
        self.open.append(entry)
        return var

    def set(self, path: str, found: Found) -> None:
        self.answers[path] = found
        for name, var in tuple(self.open):
            if name == path:
                var.tell(found)

    def watches(self) -> list[WatchState]:
        return [WatchState(name, "bound", 0) for name, _ in self.open]

    def check(self) -> list[str]:
        return ["a problem"]

    def close(self) -> None:
        self.closed += 1


class Options(Model):
    """Of a namer that is there already."""

    transformers: Transformers = ()
    made: Any

    def build(self, _context: NamerContext) -> Any:
        return self.made


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


@pytest.fixture
def namer(inner: Inner, hosts: FakeHosts) -> Iterator[BuildNamer]:
    """Builds `inner` with the transformers whose options are given."""
    utilities = registry.load("utilities", "/$/")(hosts)
    built: list[Namer] = []

    def build(*transformers: dict[str, Any]) -> Namer:
        config = Options.model_validate({"transformers": list(transformers), "made": inner})
        built.append(build_namer(config, NamerContext(hosts), utilities))
        built[-1].start()
        return built[-1]

    yield build
    for each in built:
        each.close()
    assert inner.open == []
    utilities.close()
    assert hosts.open == []


@pytest.fixture
def interpreter(inner: Inner, hosts: FakeHosts) -> Iterator[BuildInterpreter]:
    """Builds a default interpreter over `inner`, with the dtab and the transformers that are given."""
    utilities = registry.load("utilities", "/$/")(hosts)
    built: list[Interpreter] = []

    def build(dtab: str, *transformers: dict[str, Any]) -> Interpreter:
        config = registry.load("interpreter", "default").model_validate(  # type: ignore[attr-defined]
            {"kind": "default", "transformers": list(transformers)}
        )
        built.append(build_interpreter(config, InterpreterContext("r", Dtab.read(dtab), (inner,), utilities)))
        return built[-1]

    yield build
    for each in built:
        each.close()
    assert inner.open == []
    utilities.close()
    assert hosts.open == []

"""A control plane over real sockets: a store in memory, namers whose answers tests change, and requests as curl's."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from linkerd_tcp.config.admin import NamerdConfig
from linkerd_tcp.controller.control import Control
from linkerd_tcp.controller.memory import MemoryStore
from linkerd_tcp.controller.server import ControlServer
from linkerd_tcp.naming.addr import PENDING, Addr, Address, Bound
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import NamerFigures, WatchState
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.registry import load
from tests.leaks import no_leaks as no_leaks

ONE = Bound((Address("127.0.0.1", 1),))
TWO = Bound((Address("127.0.0.1", 1), Address("127.0.0.1", 2)))


class FakeNamer:
    """`/#/fake/<name>`: the leaf of that name, whose addresses are `addrs[name]`; NEG where there is none.

    `answers[name]` is another tree instead. `held` are the lookups that are open.
    """

    kind = "fake"

    def __init__(self, prefix: str = "/fake", **addrs: Addr) -> None:
        self.prefix = Path.read(prefix)
        self.figures = NamerFigures()
        self.addrs = {name: Var(addr) for name, addr in addrs.items()}
        self.answers: dict[str, Var[Found]] = {}
        self.held: dict[Var[Found], None] = {}

    def start(self) -> None:
        pass

    def names(self) -> list[str]:
        return sorted(self.addrs)

    def add(self, name: str, addr: Addr) -> None:
        """A name that was not there, or with other live addresses."""
        self.addrs[name] = Var(addr)
        self.answer(name, self.leaf(name))

    def leaf(self, name: str) -> Found:
        if name not in self.addrs:
            return NEG
        return Leaf(BoundName(Path(("#",)) + self.prefix + Path((name,)), self.addrs[name]))

    def answer(self, name: str, found: Found) -> None:
        self.answers.setdefault(name, Var(found)).tell(found)

    def lookup(self, path: Path) -> Watch[Found]:
        name = path[0]
        source = self.answers.get(name)
        if source is None:
            source = self.answers[name] = Var(self.leaf(name))
        watch: Var[Found] = Var(source.value)
        cancel = source.observe(watch.tell)

        def release() -> None:
            cancel()
            del self.held[watch]

        watch._on_close = release
        self.held[watch] = None
        return watch

    def watches(self) -> list[WatchState]:
        return []

    def close(self) -> None:
        pass


class Stream:
    """An answer without end, read document by document."""

    def __init__(self, address: tuple[str, int], target: str, **headers: str) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(5)
        if "window" in headers:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(headers.pop("window")))
        self.socket.connect(address)
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value
        self._rest = b""

    def line(self) -> str | None:
        """The next line that was sent, in however many chunks; None at the end of the stream."""
        while b"\n" not in self._rest:
            size = int(self._file.readline() or b"0", 16)
            data = self._file.read(size)
            self._file.readline()
            if not size:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def json(self) -> Any:
        line = self.line()
        return None if line is None else json.loads(line)

    def is_silent(self, secs: float = 0.05) -> bool:
        """Whether nothing comes for a while."""
        self.socket.settimeout(secs)
        try:
            return not self._rest and not self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class Plane:
    """A control plane with its server."""

    def __init__(self, namers: list[Any], dtabs: dict[str, str]) -> None:
        self.store = MemoryStore({ns: Dtab.read(text) for ns, text in dtabs.items()})
        self.store.start()
        self.hosts = HostResolver()
        self.utilities = load("utilities", "/$/")(self.hosts)
        self.control = Control(self.store, namers, self.utilities)
        self.server = ControlServer(lambda: self.control)
        config = NamerdConfig.model_validate({"port": 0, "storage": {"kind": "io.l5d.inMemory"}})
        self.server.bind(config)
        self.server.start()
        self.session = requests.Session()
        self.session.trust_env = False
        self._streams: list[Stream] = []

    @property
    def url(self) -> str:
        ip, port = self.server.address
        return f"http://{ip}:{port}"

    def ask(self, method: str, target: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.url + target, timeout=15, **more)

    def get(self, target: str, **more: Any) -> requests.Response:
        return self.ask("GET", target, **more)

    def put(self, ns: str, text: str, **headers: str) -> requests.Response:
        return self.ask("PUT", f"/api/1/dtabs/{ns}", data=text, headers={"Content-Type": "text/plain", **headers})

    def follow(self, target: str, **headers: str) -> Stream:
        self._streams.append(Stream(self.server.address, target, **headers))
        return self._streams[-1]

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        self.session.close()
        self.server.close()
        self.control.close()
        self.store.close()
        self.utilities.close()
        self.hosts.close()


DTABS = {"yeezus": "/yeezy => /yeezus", "tlop": "/yeezy => /pablo", "default": "/svc => /#/fake"}


@pytest.fixture
def namer() -> FakeNamer:
    return FakeNamer(foo=ONE, two=TWO, slow=PENDING)


@pytest.fixture
def make_plane(no_leaks: None) -> Iterator[Callable[..., Plane]]:
    made: list[Plane] = []

    def make(namers: list[Any], dtabs: dict[str, str] = DTABS) -> Plane:
        made.append(Plane(namers, dtabs))
        return made[-1]

    yield make
    for plane in made:
        plane.close()


@pytest.fixture
def plane(make_plane: Callable[..., Plane], namer: FakeNamer) -> Plane:
    return make_plane([namer])

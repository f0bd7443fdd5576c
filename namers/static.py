"""`io.l5d.static`: endpoints written in the configuration itself."""

from collections.abc import Iterator
from time import time
from typing import Final, Literal

from pydantic import model_validator

from linkerd_tcp.config.endpoints import EndpointItem
from linkerd_tcp.config.fields import Items, Table, refuse
from linkerd_tcp.config.namers import NamerOptions
from linkerd_tcp.naming.addr import Failed
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import Hosts, NamerContext, NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from namers.endpoints import Endpoint
from namers.live import LiveName

KIND: Final = "io.l5d.static"


class StaticConfig(NamerOptions):
    """Endpoints in the configuration itself: name -> list."""

    kind: Literal["io.l5d.static"] = KIND
    services: Table[Items[EndpointItem]]
    """`web` is `/#/io.l5d.static/web`; a name of several elements is written with slashes: `a/b`."""

    @model_validator(mode="after")
    def _names(self) -> "StaticConfig":
        for name in self.services:
            if not name.strip("/") or "" in name.strip("/").split("/"):
                refuse(f"expected a name such as web or a/b, got {name!r}")
        return self

    def build(self, context: NamerContext) -> "StaticNamer":
        """The namer, with everything in it."""
        services = {
            tuple(name.strip("/").split("/")): tuple(
                Endpoint(each.host, each.port, each.weight, each.meta) for each in items
            )
            for name, items in self.services.items()
        }
        return StaticNamer(services, self.prefix, context.hosts)


class StaticNamer:
    """Of several names that begin a path the longest is meant; what follows it is residual. Anything else is Neg."""

    kind = KIND

    def __init__(self, services: dict[tuple[str, ...], tuple[Endpoint, ...]], prefix: Path, hosts: Hosts) -> None:
        self.prefix = prefix
        self.figures = NamerFigures()
        self._services = services
        self._longest = max(map(len, services), default=0)
        self._hosts = hosts
        self._live: dict[tuple[str, ...], LiveName] = {}
        self._started_at = time()

    def start(self) -> None:
        self._started_at = self.figures.last_good_at = time()

    def lookup(self, path: Path) -> Watch[Found]:
        for length in range(min(self._longest, len(path)), 0, -1):
            name = tuple(path[:length])
            if name in self._services:
                return self._leaf(name, path.drop(length))
        return Var[Found](NEG)

    def _leaf(self, name: tuple[str, ...], residual: Path) -> Watch[Found]:
        live = self._live.get(name)
        if live is None:
            live = LiveName(self._hosts, lambda: self._live.pop(name, None))
            self._live[name] = live
            live.replace(self._services[name])
        bound = BoundName(Path(("#",)) + self.prefix + name, live.addr, residual)
        return Var[Found](Leaf(bound), on_close=live.hold())

    def names(self) -> list[str]:
        """The first element of every name, sorted."""
        return sorted({name[0] for name in self._services})

    def watches(self) -> Iterator[WatchState]:
        for name, live in tuple(self._live.items()):
            value = live.addr.value
            error = value.cause if isinstance(value, Failed) else None
            yield watch_state(str(Path(name)), value, self._started_at, error)

    def close(self) -> None:
        for live in tuple(self._live.values()):
            live.close()
        self._live.clear()

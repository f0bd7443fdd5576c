"""The utility names below `/$`, which are always there: addresses written out, and paths rewritten (linkerd's
namer/core).

    inet/<host>/<port>, inet/<port>                 the addresses of a host; of this machine's loopback
    fixedinet/<host>/<port>, fixedinet/<port>       the same, resolved once
    io.buoyant.rinet/<port>/<host>                  the same as inet
    nil, fail                                       Empty, Fail
    io.buoyant.hostportPfx/<pfx>/<host:port>        the path /<pfx>/<host>/<port>
    io.buoyant.porthostPfx/<pfx>/<host:port>        the path /<pfx>/<port>/<host>
    io.buoyant.http.subdomainOfPfx/<domain>/<pfx>/<host>   the path /<pfx>/<host without .domain>
    io.buoyant.http.domainToPathPfx/<pfx>/<a.b.c>          the path /<pfx>/c/b/a
    io.buoyant.http.anyHostPfx/<pfx>/<host>                the path /<pfx>
    io.buoyant.http.anyMethodPfx/<pfx>/<METHOD>            the path /<pfx>

The last four are there without `Pfx` and <pfx> too, and all of them by their last word alone. What follows is the
residual, or is appended to the path. A path that does not fit is Neg; an unknown utility, or an address that is none,
a failure.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from linkerd_tcp.naming.addr import Failed
from linkerd_tcp.naming.name import BoundName, Found, Name
from linkerd_tcp.naming.namer import Hosts, NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Leaf, NameTree
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from namers.endpoints import Endpoint
from namers.live import LiveName

LOOPBACK: Final = "127.0.0.1"

_SYSTEM: Final = Path(("$",))
_PORT: Final = re.compile(r"[0-9]{1,10}")
_PORT_NAME: Final = re.compile(r"[a-z0-9][-a-z0-9]{0,62}")
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]+")
_METHOD: Final = re.compile(r"[A-Z]+")

Rewrite = Callable[[Path, int], NameTree[Name]]
"""A path, and how many labels of it (0 or 1) are a prefix to be kept in front."""


def _host_port(path: Path, prefix: int) -> NameTree[Name]:
    return _host_and_port(path, prefix, reverse=False)


def _port_host(path: Path, prefix: int) -> NameTree[Name]:
    return _host_and_port(path, prefix, reverse=True)


def _host_and_port(path: Path, prefix: int, *, reverse: bool) -> NameTree[Name]:
    host, _, port = path[prefix].partition(":")
    if not host or not _PORT_NAME.fullmatch(port):
        return NEG
    both = (port, host) if reverse else (host, port)
    return Leaf(Path((*path.take(prefix), *both, *path.drop(prefix + 1))))


def _subdomain(path: Path, prefix: int) -> NameTree[Name]:
    domain, label = path[0], path[1 + prefix]
    host = label[: label.index(":")] if label.find(":") > 0 else label
    suffix = "." + domain
    if not _HOST.fullmatch(domain) or not _HOST.fullmatch(label) or not host.endswith(suffix) or host == suffix:
        return NEG
    return Leaf(Path((*path[1 : 1 + prefix], host.removesuffix(suffix), *path.drop(2 + prefix))))


def _domain(path: Path, prefix: int) -> NameTree[Name]:
    labels = path[prefix].removesuffix(".").split(".")
    if "" in labels or not _HOST.fullmatch(path[prefix]):
        return NEG
    return Leaf(path.take(prefix) + tuple(reversed(labels)) + path.drop(prefix + 1))


def _any(pattern: re.Pattern[str]) -> Rewrite:
    def rewrite(path: Path, prefix: int) -> NameTree[Name]:
        return Leaf(path.take(prefix) + path.drop(prefix + 1)) if pattern.fullmatch(path[prefix]) else NEG

    return rewrite


# Name -> how, how many labels it needs, and how many of them are the kept prefix.
_REWRITES: Final[dict[str, tuple[Rewrite, int, int]]] = {
    "nil": (lambda _path, _prefix: EMPTY, 0, 0),
    "fail": (lambda _path, _prefix: FAIL, 0, 0),
    "io.buoyant.hostportPfx": (_host_port, 2, 1),
    "io.buoyant.porthostPfx": (_port_host, 2, 1),
    "io.buoyant.http.subdomainOf": (_subdomain, 2, 0),
    "io.buoyant.http.subdomainOfPfx": (_subdomain, 3, 1),
    "io.buoyant.http.domainToPath": (_domain, 1, 0),
    "io.buoyant.http.domainToPathPfx": (_domain, 2, 1),
    "io.buoyant.http.anyHost": (_any(_HOST), 1, 0),
    "io.buoyant.http.anyHostPfx": (_any(_HOST), 2, 1),
    "io.buoyant.http.anyMethod": (_any(_METHOD), 1, 0),
    "io.buoyant.http.anyMethodPfx": (_any(_METHOD), 2, 1),
}
_REWRITES.update({name.rpartition(".")[2]: how for name, how in tuple(_REWRITES.items())})


def _port(text: str) -> int | None:
    """The port that `text` spells, if it is a number at all; ports that cannot be are 0."""
    if not _PORT.fullmatch(text):
        return None
    return int(text) if int(text) <= 65535 else 0


class Utilities:
    """See the module. The paths looked up here are those below `/$`. Found names share their host's addresses."""

    kind = "/$/"
    prefix = Path()

    def __init__(self, hosts: Hosts) -> None:
        self.figures = NamerFigures()
        self._hosts = hosts
        self._live: dict[Path, LiveName] = {}

    def start(self) -> None:
        """Nothing to begin."""

    def lookup(self, path: Path) -> Watch[Found]:
        match tuple(path[:3]):
            case ("inet" | "fixedinet", host, port, *_) if (number := _port(port)) is not None:
                return self._inet(path, 3, host, number)
            case ("inet" | "fixedinet", port, *_) if (number := _port(port)) is not None:
                return self._inet(path, 2, LOOPBACK, number)
            case ("io.buoyant.rinet" | "rinet", port, host) if (number := _port(port)) is not None:
                return self._inet(path, 3, host, number)
            case ("inet" | "fixedinet" | "io.buoyant.rinet" | "rinet", *_):
                return Var[Found](
                    Failed(f"{_SYSTEM + path} is not /$/inet/<host>/<port>, /$/inet/<port> or /$/rinet/<port>/<host>")
                )
            case (utility, *_) if utility in _REWRITES:
                rewrite, needed, prefix = _REWRITES[utility]
                rest = path.drop(1)
                return Var[Found](rewrite(rest, prefix) if len(rest) >= needed else NEG)
            case (utility, *_):
                return Var[Found](Failed(f"Unknown namer: /$/{utility}"))
        return Var[Found](NEG)

    def _inet(self, path: Path, length: int, host: str, port: int) -> Watch[Found]:
        if not port:
            return Var[Found](Failed(f"{_SYSTEM + path}: a port is 1 to 65535"))
        name = path.take(length)
        live = self._live.get(name)
        if live is None:
            live = self._live[name] = LiveName(
                self._hosts, lambda: self._live.pop(name, None), once=name[0] == "fixedinet"
            )
            live.replace((Endpoint(host, port),))
        bound = BoundName(_SYSTEM + name, live.addr, path.drop(length))
        return Var[Found](Leaf(bound), on_close=live.hold())

    def watches(self) -> Iterator[WatchState]:
        """Every address looked up now."""
        for name, live in tuple(self._live.items()):
            value = live.addr.value
            yield watch_state(str(name), value, error=value.cause if isinstance(value, Failed) else None)

    def close(self) -> None:
        for live in tuple(self._live.values()):
            live.close()
        self._live.clear()

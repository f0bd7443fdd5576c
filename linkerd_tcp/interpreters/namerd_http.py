"""`io.l5d.namerd.http`: names are bound by namerd, whose dtab the router's own entries come after.

The namers of the file have no part in it.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Literal

from linkerd_tcp.config.interpreters import InterpreterOptions
from linkerd_tcp.namerd.client import NamerdClient
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.naming.addr import NEG, Addr, Failed, Pending
from linkerd_tcp.naming.delegate import DelegateTree
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName, Found
from linkerd_tcp.naming.namer import Discovery, InterpreterContext, Namer
from linkerd_tcp.naming.nametree import Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch

KIND: Final = "io.l5d.namerd.http"
_ANY_PORT: Final = "1"


class NamerdHttpConfig(NamerdOptions, InterpreterOptions):
    """Names are bound by namerd."""

    uses_namers: ClassVar[bool] = False

    kind: Literal["io.l5d.namerd.http"] = KIND

    def build(self, context: InterpreterContext) -> "NamerdHttpInterpreter":
        """The interpreter; namerd is asked when the first name is."""
        client = NamerdClient(self, Path((KIND, context.label)), KIND, _hosts_by(context.utilities), dtab=context.dtab)
        return NamerdHttpInterpreter(client)


class NamerdHttpInterpreter:
    """Binds as namerd does. See `NamerdClient`, which it closes."""

    kind = KIND

    def __init__(self, client: NamerdClient) -> None:
        self._client = client

    @property
    def sources(self) -> Sequence[Discovery]:
        return (self._client,)

    def bind(self, path: Path, extra: Dtab | None = None) -> Watch[Binding]:
        return self._client.bind(path, extra)

    def delegate(self, path: Path, extra: Dtab | None = None) -> DelegateTree:
        """What is known here of `path` now; `delegation` asks namerd for every step."""
        return self._client.delegate(path, extra)

    def delegation(self, path: Path, extra: Dtab | None = None) -> Watch[DelegateTree]:
        return self._client.delegation(path, extra)

    def stored(self, secs: float) -> Dtab:
        """The dtab that namerd binds by for this router, asked for now; LinkerdTcpError where it does not say."""
        return self._client.stored(secs)

    def instead(self, dtab: Dtab) -> "ByNamersOfNamerd":
        """One that shows what namerd's namers make of `dtab` alone."""
        return ByNamersOfNamerd(self._client, dtab)

    def close(self) -> None:
        self._client.close()


class ByNamersOfNamerd:
    """Delegations by another dtab than the stored one. It binds nothing, and `client` is another's to close."""

    kind = KIND

    def __init__(self, client: NamerdClient, dtab: Dtab) -> None:
        self._client = client
        self._dtab = dtab

    def delegation(self, path: Path, extra: Dtab | None = None) -> Watch[DelegateTree]:
        return self._client.delegation_by(path, self._dtab + extra if extra else self._dtab)

    def close(self) -> None:
        """Nothing runs here but what its watches end."""


def _hosts_by(utilities: Namer) -> Callable[[str], Watch[Addr]]:
    """Hosts are found as `/$/inet/<host>/...` finds them: refreshed, and the last good addresses kept."""
    return lambda host: _HostAddr(utilities.lookup(Path(("inet", host, _ANY_PORT))))


class _HostAddr:
    """The addresses behind a leaf that always stays the same."""

    def __init__(self, found: Watch[Found]) -> None:
        self._found = found
        value = found.value
        if isinstance(value, Leaf) and isinstance(value.value, BoundName):
            self._addr: Watch[Addr] = value.value.addr
        else:
            self._addr = Var[Addr](value if isinstance(value, Pending | Failed) else NEG)

    @property
    def value(self) -> Addr:
        return self._addr.value

    def observe(self, callback: Callable[[Addr], None]) -> Callable[[], None]:
        return self._addr.observe(callback)

    def close(self) -> None:
        self._found.close()

"""`io.l5d.namerd`: namerd as a namer, so that a dtab can fall back from it, or to it.

`/#/io.l5d.namerd/svc/web` is what namerd binds `/svc/web` to. Only what it knows not to be there falls through in
`/svc => /#/io.l5d.namerd/svc | /#/io.l5d.fs`: a namerd that cannot be reached does not.
"""

from collections.abc import Iterator
from typing import Final, Literal

from linkerd_tcp.config.namers import NamerOptions
from linkerd_tcp.namerd.client import NamerdClient
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.naming.name import Found
from linkerd_tcp.naming.namer import NamerContext, WatchState
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch

KIND: Final = "io.l5d.namerd"


class NamerdConfig(NamerdOptions, NamerOptions):
    """namerd as a namer."""

    kind: Literal["io.l5d.namerd"] = KIND

    def build(self, context: NamerContext) -> "NamerdNamer":
        """The namer; namerd is asked when the first name is."""
        client = NamerdClient(self, self.prefix, KIND, context.hosts.watch, id_prefix=Path(("#",)) + self.prefix)
        return NamerdNamer(client)


class NamerdNamer:
    """Binds as namerd does; `/#/<prefix>` goes in front of its ids, so that they never meet one of this file's namers.

    See `NamerdClient`, which it closes.
    """

    kind = KIND

    def __init__(self, client: NamerdClient) -> None:
        self.prefix = client.prefix
        self.figures = client.figures
        self._client = client

    def start(self) -> None:
        """Nothing to begin."""

    def lookup(self, path: Path) -> Watch[Found]:
        return self._client.bind(path)

    def watches(self) -> Iterator[WatchState]:
        return self._client.watches()

    def close(self) -> None:
        self._client.close()

"""Every connection of a server has one destination: what `dstName` means."""

from typing import Literal

from linkerd_tcp.config.fields import PathText
from linkerd_tcp.config.model import Model
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.peek import FirstBytes


class StaticIdentifierConfig(Model):
    """`identifier: {kind: io.l5d.static, path: /svc/web}`, which is what `dstName: /svc/web` is short for."""

    kind: Literal["io.l5d.static"] = "io.l5d.static"
    path: PathText
    """The destination of every connection."""

    def build(self) -> "StaticIdentifier":
        return StaticIdentifier(self.path)


class StaticIdentifier:
    """Names the same destination for every connection."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def identify(self, envelope: Envelope, first: FirstBytes) -> Path:
        """The destination; nothing of the connection is read."""
        return self.path

"""What every identifier that finds a name has in common: `prefix` and the name, or `default`, or the reason why not.

A name comes from a stranger. It becomes one path element of lower-case letters, digits, `-`, `_` and `.`, without an
empty label: nothing in it can leave the prefix, or a folder of endpoint files.
"""

from collections.abc import Callable
from typing import TypeAlias

from pydantic import Field

from linkerd_tcp.config.fields import PathText
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause, ConnectionFailed, LinkerdTcpError
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.peek import FirstBytes
from linkerd_tcp.wire.client_hello import read_server_name
from linkerd_tcp.wire.parsing import WireError


class NothingFound(LinkerdTcpError):
    """A connection has no name of the kind that is looked for; the text says what was found instead."""


Find: TypeAlias = Callable[[Envelope, FirstBytes], str]
"""The name of a connection; NothingFound if it has none, ConnectionFailed if it is over."""


class ByNameConfig(Model):
    """The options of an identifier that finds a name."""

    kind: str
    prefix: PathText = Field(default_factory=lambda: Path(("svc",)), json_schema_extra={"default": "/svc"})
    """Stands before the name that was found."""
    default: PathText | None = None
    """The destination where no name was found; without it such a connection is closed."""

    def never_finds(self, server: ServerConfig) -> str | None:
        """Why no connection of `server` can have a name of this kind: words for a warning."""
        return None


class ByName:
    """The destination is `prefix` and the one name that `find` finds."""

    __slots__ = ("_default", "_find", "_prefix")

    def __init__(self, config: ByNameConfig, find: Find) -> None:
        self._prefix = config.prefix
        self._default = config.default
        self._find = find

    def identify(self, envelope: Envelope, first: FirstBytes) -> Path:
        """The destination. ConnectionFailed: `identify` where nothing was found and there is no default, `reset`.

        Blocks the calling greenlet, until the deadline of `first` at most, if its bytes have to be looked at.
        """
        try:
            return self._prefix / self._find(envelope, first)
        except NothingFound as nothing:
            if self._default is not None:
                return self._default
            raise ConnectionFailed(Cause.IDENTIFY, f"{nothing}; the identifier has no default") from nothing


def read_name(text: str, what: str) -> str:
    """`text` as a path element, by the rules of server names (`wire.client_hello.read_server_name`).

    NothingFound if it cannot be one: `what` is then its subject.
    """
    try:
        return read_server_name(text.encode("utf-8", "backslashreplace"))
    except WireError as error:
        raise NothingFound(f"{what} cannot be used as {error.expected}: {error.found}") from error

"""The whole file."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr

from linkerd_tcp.config.admin import AccessLogConfig, AdminConfig, NamerdConfig
from linkerd_tcp.config.fields import Items, refuse
from linkerd_tcp.config.kinds import NamerOf
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.origin import Origin, Written
from linkerd_tcp.config.router import RouterConfig
from linkerd_tcp.config.words import say

MAX_WORKERS = 1024


def _workers(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_WORKERS):
        return value
    return refuse(f"expected a whole number from 1 to {MAX_WORKERS}, or auto; got {say(value)}")


Workers = Annotated[
    int | Literal["auto"],
    BeforeValidator(_workers),
]


class AppConfig(Model):
    """A configuration file that is valid in itself. Equal ones configure the same program."""

    admin: AdminConfig = AdminConfig()
    workers: Workers = 1
    """Processes; every limit is per worker."""
    buffer_size_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 65_536
    access_log: AccessLogConfig | None = None
    namerd: NamerdConfig | None = None
    namers: Items[NamerOf] = ()
    """The last one listed is asked first."""
    routers: Annotated[Items[RouterConfig], Field(min_length=1)]

    _origin: Origin = PrivateAttr(default_factory=Origin)

    def place_of(self, loc: tuple[str | int, ...], words: str) -> str:
        """`file:line:column: key.path: words` for the key at `loc`."""
        return self._origin.line(loc, words)

    @property
    def file(self) -> str:
        """As it was named at the start, `-` for standard input."""
        return self._origin.name

    @property
    def read_at(self) -> float | None:
        """Seconds since the epoch."""
        return self._origin.read_at

    def line_of(self, loc: tuple[str | int, ...]) -> int | None:
        """The line of the key at `loc` in the file, in the process that has read it."""
        document = self._origin.document
        return None if document is None else document.spot(loc, at_key=True)[0]

    def written_dtab(self, label: str) -> Written | None:
        """The dtab of the router `label` as the file has it, where it has one."""
        return self._origin.dtabs.get(label)

    def without_places(self) -> "AppConfig":
        """The same without where each key stands, which is most of its size: for another process."""
        copy = self.model_copy()
        copy._origin = Origin(self._origin.name)
        copy._origin.dtabs = self._origin.dtabs
        copy._origin.read_at = self._origin.read_at
        return copy

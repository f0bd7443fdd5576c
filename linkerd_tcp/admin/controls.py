"""What the admin server needs of the program, which it sits below."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.history import History
from linkerd_tcp.last_lines import LogLine
from linkerd_tcp.metrics import Source
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.router import Drained
from linkerd_tcp.transition import Reloaded

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control


class Logs(Protocol):
    """The levels of the loggers."""

    def levels(self) -> list[dict[str, Any]]:
        """[{"logger": "linkerd_tcp", "level": "info", ...}, ...]; see `logs.Logs`."""

    def set_level(self, logger: str, level: str, by: str = "", for_secs: float | None = None) -> None:
        """LookupError if there is no such logger, ValueError if no such level."""


class OwnLogs(Logs, Protocol):
    """And what this process has said."""

    def last_lines(self, after: float = 0.0) -> Iterator[LogLine]:
        """Those said later than `after`, the newest last."""


class Actions(Protocol):
    """What may be done."""

    @property
    def config(self) -> AppConfig: ...

    @property
    def logs(self) -> Logs: ...

    def reload(self) -> list[str]:
        """What changed; ConfigError or StartError if refused, and then nothing has."""

    def shutdown(self, grace_secs: float | None = None) -> None:
        """Ask for the stop; returns at once."""

    def abort(self) -> None:
        """Exit at once, status 1."""

    def end_connection(self, number: str) -> bool:
        """False if no open connection has this id."""

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        """False if there is no such endpoint. `by` is the address that asks."""


class Probed(Protocol):
    """What probes want to know."""

    @property
    def ready(self) -> tuple[bool, list[str]]:
        """Whether every listener is open and stays so; and what a person should know besides."""


class Controls(Source, Actions, Probed, Protocol):
    """What is shown, besides what is measured, and what may be done."""

    @property
    def logs(self) -> OwnLogs: ...

    @property
    def started_at(self) -> float:
        """Seconds since the epoch."""

    @property
    def stopping(self) -> bool:
        """Whether the stop has been asked for."""

    @property
    def last_reload(self) -> Reloaded: ...

    @property
    def capacity(self) -> Capacity: ...

    @property
    def drained(self) -> Drained: ...

    @property
    def history(self) -> History: ...

    @property
    def admin_address(self) -> tuple[str, int]:
        """Where admin is served."""

    @property
    def control(self) -> "Control | None":
        """The control plane, where the file has a namerd section."""

    @property
    def namerd_address(self) -> tuple[str, int] | None:
        """Where namerd's API is served."""

"""What the pages need of the program; one process and all workers together both have it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.dashboard.frame import Frame, Reload
from linkerd_tcp.last_lines import LogLine

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control


class Found(NamedTuple):
    """A page of connections."""

    rows: list[dict[str, Any]]
    """As in /connections.json, the newest first."""
    next_id: str | None
    unanswered: list[int]
    """Workers that said nothing."""


class Said(NamedTuple):
    """Of the log."""

    lines: list[LogLine]
    """The newest last."""
    missing: dict[str, str]
    """Whose lines could not be had, `worker 1`, and why."""


class Shown(Protocol):
    """To be called in a greenlet. What cannot be had is an HTTPException in words (`web.inputs.refuse`)."""

    @property
    def config(self) -> AppConfig: ...

    @property
    def control(self) -> "Control | None":
        """The control plane, where the file has a namerd section."""

    @property
    def address(self) -> tuple[str, int]:
        """Where admin is served."""

    @property
    def pid(self) -> int:
        """That of the process that signals are for."""

    def frame(self) -> Frame: ...

    def connections(self, arguments: Mapping[str, str]) -> Found:
        """Those that `arguments`, as of /connections.json, ask for; ValueError that says what is wrong with them."""

    def connection_counts(self, arguments: Mapping[str, str]) -> dict[str, int]:
        """How many of those there are by cause, and `open`; of the workers that answer."""

    def connection(self, id_: str) -> dict[str, Any] | None:
        """The one of this id, open or remembered; None where there is none."""

    def delegation(self, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and body that /delegator.json answers to these fields."""

    def dtabs(self) -> list[dict[str, Any]]:
        """Of each router: `router`, `dtab` (its text, None if another process has it), `where` it is written, and
        `replaceable`: whether a delegation can be asked for with another in its place.
        """

    def configuration(self) -> dict[str, Any]:
        """As /config.json."""

    @property
    def listening(self) -> list[tuple[str, str]]:
        """(router, address) of each server, where it really listens."""

    @property
    def last_reload(self) -> Reload: ...

    def levels(self) -> list[dict[str, Any]]:
        """As /logging.json."""

    def log_lines(self, after: float = 0.0) -> Said:
        """The last ones of all processes, said later than `after` (seconds since the epoch)."""

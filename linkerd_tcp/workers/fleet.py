"""What the admin process knows of the workers, and what it asks of the supervisor, which it sits below."""

from typing import Literal, NamedTuple, Protocol, TypeAlias

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.last_lines import LogLine
from linkerd_tcp.transition import Reloaded

WorkerState: TypeAlias = Literal["starting", "serving", "leaving", "gone"]


class WorkerRow(NamedTuple):
    """One worker. `number` is its place (0 to N-1), which a replacement takes over; `restarts` counts those."""

    number: int
    pid: int
    started_at: float
    """Seconds since the epoch."""
    state: WorkerState
    restarts: int
    admin_path: str
    """The UNIX socket on which its own admin app answers; a replacement answers on the same one."""


class Fleet(Protocol):
    """Everything here may be called from any greenlet; what asks the supervisor waits, with a deadline.

    StartError where it does not answer in time.
    """

    @property
    def config(self) -> AppConfig:
        """The whole configuration in force."""

    @property
    def workers(self) -> list[WorkerRow]: ...

    @property
    def supervisor_pid(self) -> int: ...

    @property
    def started_at(self) -> float:
        """When the supervisor began, seconds since the epoch."""

    @property
    def servers(self) -> list[tuple[str, tuple[str, int]]]:
        """(router label, address) of each listener."""

    @property
    def stopping(self) -> bool:
        """Whether the stop has been asked for: /ready says 503."""

    @property
    def last_reload(self) -> Reloaded: ...

    def reload(self) -> list[str]:
        """What changed; ConfigError or StartError if refused, and then nothing has, in any worker."""

    def shutdown(self, grace_secs: float | None = None) -> None:
        """Ask for the stop of everything; returns at once."""

    def abort(self) -> None:
        """Every process ends at once, status 1."""

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        """In every worker, and in each that replaces one; False if none knows the endpoint. `by` is the address that
        asks.
        """

    def log_lines(self, after: float = 0.0) -> list[LogLine]:
        """The last ones of the supervisor itself, said later than `after`; the newest last."""

    def set_level(self, logger: str, level: str, by: str = "", for_secs: float | None = None) -> None:
        """In every process, and in each that replaces one; see `logs.Logs`. LookupError if there is no such logger,
        ValueError if no such level.
        """

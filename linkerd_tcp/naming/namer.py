"""What a namer and an interpreter are. A plug-in implements one of these two protocols."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from linkerd_tcp.naming.addr import Addr, Bound
from linkerd_tcp.naming.delegate import DelegateTree
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, Found
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch

_SYSTEM: Final = Path(("$",))


@dataclass(slots=True)
class NamerFigures:
    """Plain counters of one namer, read by the metrics collector; times are seconds since the epoch."""

    updates: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    last_good_at: float | None = None

    def error(self, cause: str) -> None:
        self.errors[cause] = self.errors.get(cause, 0) + 1


@dataclass(frozen=True, slots=True)
class WatchState:
    """One name that a namer is watching, for people: a row of /namers.json. Times are seconds since the epoch."""

    name: str
    """The path looked up, as text, without what was left over."""
    state: str
    addresses: int
    last_good_at: float | None = None
    error: str | None = None
    """Why the last attempt failed; None once one has succeeded. A watch with an error is stale."""
    error_at: float | None = None
    next_attempt_at: float | None = None
    value: Addr | str | None = None
    """What is known now: its addresses, or a few words where it is something else. None: nothing to add to `state`."""

    @property
    def is_stale(self) -> bool:
        """Whether the last attempt failed: what is known may not be so any more."""
        return self.error is not None


def watch_state(
    name: str,
    addr: Addr,
    last_good_at: float | None = None,
    error: str | None = None,
    error_at: float | None = None,
    next_attempt_at: float | None = None,
) -> WatchState:
    """The row of a name whose addresses are `addr` now."""
    count = len(addr.addresses) if isinstance(addr, Bound) else 0
    state = type(addr).__name__.lower()
    return WatchState(name, state, count, last_good_at, error, error_at, next_attempt_at, addr)


class Discovery(Protocol):
    """What can be seen of something that finds addresses. `prefix` names it to people and in metrics."""

    kind: str
    prefix: Path
    figures: NamerFigures

    def watches(self) -> Iterable[WatchState]:
        """Every name watched now, each row made when it is asked for: there may be thousands, and no reader waits
        for all of them at once. A list will do where there are few.
        """


class Namer(Discovery, Protocol):
    """Turns a path (what follows its prefix) into a live tree of names.

    `lookup` never blocks and never raises for a name: what is not known yet is Pending, what does not
    exist is a Neg tree, what cannot be known is Failed, and last good wins over all but a definite Neg.
    The caller closes the watch it got. `prefix` is what follows `/#` in the paths that reach this namer.
    """

    def start(self) -> None:
        """Begin whatever watches the outside world. Called once, before the first lookup."""

    def lookup(self, path: Path) -> Watch[Found]: ...

    def close(self) -> None:
        """End every greenlet, thread and watcher of this namer. Nothing calls back afterwards."""


def shown_prefix(discovery: Discovery) -> str:
    """How names that it finds begin: `/#/io.l5d.fs`, or `/$/...` for what is always there."""
    return str(discovery.prefix) if discovery.prefix.starts_with(_SYSTEM) else f"/#{discovery.prefix}"


class Interpreter(Protocol):
    """Binds a destination path to live names; the caller closes the watch it got.

    For the delegator's page it may have besides: `dtab`, what it goes by; `instead(dtab)`, one that goes by another and
    shares all else, for the caller to close; `stored(secs)`, the dtab where another process has it.
    """

    kind: str

    @property
    def sources(self) -> Sequence[Discovery]:
        """What it asks by itself, besides the namers of the file: rows of /namers.json, figures in metrics."""

    def bind(self, path: Path, extra: Dtab | None = None) -> Watch[Binding]:
        """`extra` entries win over the configured ones."""

    def delegate(self, path: Path, extra: Dtab | None = None) -> DelegateTree:
        """How `path` is resolved, every step of it, for people. `extra` entries win over the configured ones."""

    def delegation(self, path: Path, extra: Dtab | None = None) -> Watch[DelegateTree]:
        """As `delegate`, live: for who waits until what is pending in it becomes known. The caller closes it."""

    def close(self) -> None: ...


class Hosts(Protocol):
    """Host names resolved off the data path, again and again."""

    def watch(self, host: str) -> Watch[Addr]:
        """The addresses of `host` with port 0; Pending until first known, Neg when the name does not exist."""


@dataclass(frozen=True, slots=True)
class NamerContext:
    """What a namer's configuration is built into a namer with."""

    hosts: Hosts


@dataclass(frozen=True, slots=True)
class InterpreterContext:
    """What an interpreter's configuration is built into an interpreter with."""

    label: str
    """Its router's: with the kind it makes a prefix of its own, `/<kind>/<label>`."""
    dtab: Dtab
    """The router's entries."""
    namers: Sequence[Namer]
    """Those of the file, in its order; started, and others' to close."""
    utilities: Namer
    """What is below `/$`."""

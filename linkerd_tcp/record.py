"""The story of one connection, kept while it is open and for a while after.

One mutable object per connection, made at accept. The access log, the metrics, /connections.json and whoever
closes a connection from outside read only this.
"""

from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import count
from time import monotonic, time
from typing import Any, Final, NamedTuple, Protocol

from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.addr import Address
from linkerd_tcp.naming.path import Path

ENDED_KEPT: Final = 3_000
"""Connections that ended well and are remembered, the newest ones. Few enough to stay in the processor's cache: at ten
thousand a second each new one takes the memory of the oldest."""

FAILED_KEPT: Final = 7_000
"""Failed ones, which no flood of good ones washes away."""

MAX_ATTEMPTS_KEPT: Final = 100

_BEGUN: Final = ((0.0, "accepted"),)


class Attempt(NamedTuple):
    """One endpoint that was tried; `error` is a cause, or None when it connected."""

    endpoint: str
    error: Cause | None
    seconds: float


class Flow(Protocol):
    """What counts bytes while they flow."""

    @property
    def rx_bytes(self) -> int: ...

    @property
    def tx_bytes(self) -> int: ...

    def abort(self, cause: Cause, *, reset: bool = False) -> None: ...

    def end_when_quiet(self, cause: Cause) -> None: ...


class Record:
    """See the module. `rx` is from the accepted side, `tx` to it; `clock` is time.monotonic at accept."""

    __slots__ = (
        "accepted_at",
        "attempts",
        "bound",
        "cause",
        "clock",
        "detail",
        "duration",
        "endpoint",
        "envelope",
        "explanation",
        "flow",
        "identified_at",
        "number",
        "path",
        "router",
        "rx_bytes",
        "server",
        "source",
        "steps",
        "task",
        "tx_bytes",
        "worker",
    )

    def __init__(self, number: int, router: str, server: str, source: tuple[str, int], worker: int = 0) -> None:
        self.number = number
        self.worker = worker
        self.router = router
        self.server = server
        self.source = source
        self.envelope: Envelope | None = None
        """None until it has begun to be served."""
        self.path: Path | None = None
        self.bound: Path | None = None
        self.endpoint: str | None = None
        self.accepted_at = time()
        self.clock = self.identified_at = monotonic()
        self.duration: float | None = None
        """Seconds from accept to close; None while open."""
        self.rx_bytes = 0
        self.tx_bytes = 0
        self.flow: Flow | None = None
        """The bytes counted so far, while they flow; None before and after."""
        self.cause: Cause | None = None
        self.detail: str | None = None
        """The words that go with the cause of a failure."""
        self.explanation: Any = None
        """The delegation of `path`, kept for connections that found no endpoint."""
        self.attempts: tuple[Attempt, ...] = ()
        self.steps: tuple[tuple[float, str], ...] = _BEGUN
        self.task: Any = None
        """The greenlet that owns the connection until it has ended."""

    @property
    def id(self) -> str:
        return f"{self.worker}-{self.number:x}"

    @property
    def is_open(self) -> bool:
        return self.duration is None

    @property
    def ended_at(self) -> float:
        """On the clock of time.monotonic; of one that has ended."""
        return self.clock + (self.duration or 0.0)

    def step(self, what: str) -> None:
        """Note that `what` happened now."""
        self.steps += ((monotonic() - self.clock, what),)

    def attempt(self, endpoint: str, error: Cause | None, seconds: float) -> None:
        """Note one endpoint tried; the first hundred are kept."""
        if len(self.attempts) < MAX_ATTEMPTS_KEPT:
            self.attempts += (Attempt(endpoint, error, seconds),)

    def end(self, cause: Cause, detail: str | None) -> None:
        """Why it ends, in a word and in words; the first reason said stays."""
        if self.cause is None:
            self.cause, self.detail = cause, detail

    def bytes_so_far(self) -> tuple[int, int]:
        """(rx, tx), also while they flow."""
        flow = self.flow
        return (self.rx_bytes, self.tx_bytes) if flow is None else (flow.rx_bytes, flow.tx_bytes)


def address_text(address: tuple[str, int]) -> str:
    """`127.0.0.1:80` or `[::1]:80`."""
    return str(Address(address[0], address[1]))


def as_json(record: Record, *, with_steps: bool = True) -> dict[str, Any]:
    """The shape of /connections.json and, without the steps, of the access log."""
    rx, tx = record.bytes_so_far()
    shape: dict[str, Any] = {
        "id": record.id,
        "router": record.router,
        "server": record.server,
        "source": address_text(record.source),
        "path": None if record.path is None else str(record.path),
        "bound": None if record.bound is None else str(record.bound),
        "endpoint": record.endpoint,
        "state": "open" if record.is_open else "closed",
        "acceptedAt": round(record.accepted_at, 6),
        "ageSecs": round(monotonic() - record.clock if record.duration is None else record.duration, 6),
        "rxBytes": rx,
        "txBytes": tx,
        "cause": record.cause,
        "detail": record.detail,
        "proxyHeader": _proxy_json(record),
        "attempts": [
            {"endpoint": tried.endpoint, "error": tried.error, "seconds": round(tried.seconds, 6)}
            for tried in record.attempts
        ],
    }
    if with_steps:
        shape["steps"] = [{"at": round(at, 6), "what": what} for at, what in record.steps]
    shape["explanation"] = record.explanation
    return shape


def _proxy_json(record: Record) -> dict[str, Any] | None:
    """What a believed PROXY header said besides the addresses, which are the connection's own then."""
    header = record.envelope.proxy if record.envelope is not None else None
    if header is None:
        return None
    said: dict[str, Any] = {"version": header.version, "command": header.command.name.lower()}
    if header.authority is not None:
        said["authority"] = header.authority
    if header.alpn is not None:
        said["alpn"] = header.alpn.decode("latin-1")
    if header.unique_id is not None:
        said["uniqueId"] = header.unique_id.hex()
    if header.ssl is not None:
        tls = header.ssl
        said["ssl"] = {"verified": tls.verified, "version": tls.version, "cn": tls.common_name, "cipher": tls.cipher}
    return said


class Book:
    """Every open connection by number, and the newest closed ones.

    `numbers` rise; with several workers they are of the clock (`clock_numbers`), and so in one order over all of them.
    """

    def __init__(
        self,
        ended_kept: int = ENDED_KEPT,
        failed_kept: int = FAILED_KEPT,
        *,
        worker: int = 0,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.open: dict[int, Record] = {}
        self._ended: deque[Record] = deque(maxlen=ended_kept)
        self._failed: deque[Record] = deque(maxlen=failed_kept)
        self._worker = worker
        self._numbers = count(1) if numbers is None else numbers

    def begin(self, router: str, server: str, source: tuple[str, int]) -> Record:
        """A new record, in the book until `end`."""
        number = next(self._numbers)
        record = Record(number, router, server, source, self._worker)
        self.open[number] = record
        return record

    @property
    def closed(self) -> list[Record]:
        """Those that are remembered, the last to end last."""
        return list(merge(self._ended, self._failed, key=lambda record: record.ended_at))

    def records(self) -> list[Record]:
        """Every one, open or remembered, in no order: one copy in one go, and whoever ends meanwhile is in it once."""
        return [*self.open.values(), *self._ended, *self._failed]

    def end(self, record: Record) -> None:
        """Close the record: its figures are final from here on."""
        record.rx_bytes, record.tx_bytes = record.bytes_so_far()
        record.flow = record.task = None
        record.duration = monotonic() - record.clock
        envelope, cause = record.envelope, record.cause
        if envelope is not None and envelope.proxy is None and not envelope.tls:
            record.envelope = None  # the record has all that there is to know of it
        del self.open[record.number]
        (self._failed if cause is None or cause.is_failure else self._ended).append(record)


def clock_numbers() -> Iterator[int]:
    """Microseconds since the epoch, each number higher than the one before: a worker's replacement repeats none."""
    last = 0
    while True:
        last = max(last + 1, int(time() * 1e6))
        yield last

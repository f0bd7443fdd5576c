"""The story of one connection, kept while it is open and for a while after.

One mutable object per connection, made at accept. The access log, the metrics, /connections.json and whoever
closes a connection from outside read only this.
"""

from time import monotonic, time
from typing import Any, Final, NamedTuple, Protocol, Self

from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.addr import Address
from linkerd_tcp.naming.path import Path

MAX_ATTEMPTS_KEPT: Final = 100

_BEGUN: Final = ((0.0, "accepted"),)


class Attempt(NamedTuple):
    """One endpoint that was tried; `error` is a cause, or None when it connected."""

    endpoint: str
    error: Cause | None
    seconds: float


class ServerName(str):
    """A server's `ip:port`, and how it finds destinations: so that each of its records tells that, and none pays."""

    __slots__ = ("identifier",)
    identifier: str | None
    """The kind of its identifier; None where every connection has one destination."""

    @classmethod
    def of(cls, label: str, identifier: str | None) -> Self:
        name = cls(label)
        name.identifier = identifier
        return name


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

    def close(self) -> None:
        """Its figures are final from here on, and of its envelope only what it alone knows is kept."""
        self.rx_bytes, self.tx_bytes = self.bytes_so_far()
        self.flow = self.task = None
        self.duration = monotonic() - self.clock
        envelope = self.envelope
        if envelope is not None and envelope.proxy is None and not envelope.tls:
            self.envelope = None

    def bytes_so_far(self) -> tuple[int, int]:
        """(rx, tx), also while they flow."""
        flow = self.flow
        return (self.rx_bytes, self.tx_bytes) if flow is None else (flow.rx_bytes, flow.tx_bytes)


def address_text(address: tuple[str, int]) -> str:
    """`127.0.0.1:80` or `[::1]:80`."""
    return str(Address(address[0], address[1]))


def as_json(record: Record, *, with_steps: bool = True) -> dict[str, Any]:
    """The shape of /connections.json and, without `steps`, `identified` and an empty `tls`, of the access log."""
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
    tls = _tls_json(record)
    if with_steps or tls is not None:
        shape["tls"] = tls
    if with_steps:
        shape["steps"] = [{"at": round(at, 6), "what": what} for at, what in record.steps]
        shape["identified"] = _identified_json(record)
    shape["explanation"] = record.explanation
    return shape


def _identified_json(record: Record) -> dict[str, Any] | None:
    """When, seconds since accept, and by which kind of identifier; `by` is None where all have one destination."""
    if record.path is None:
        return None
    return {
        "at": round(record.identified_at - record.clock, 6),
        "by": getattr(record.server, "identifier", None),
    }


def _tls_json(record: Record) -> dict[str, Any] | None:
    """What was agreed with the client, where its TLS ends here."""
    envelope = record.envelope
    if envelope is None or not envelope.tls:
        return None
    version, cipher = envelope.cipher or (None, None)
    said: dict[str, Any] = {
        "version": version,
        "cipher": cipher,
        "serverName": envelope.server_name,
        "alpn": envelope.alpn,
    }
    if envelope.peer is not None:
        peer = envelope.peer
        said["peer"] = {"cn": peer.common_name, "dns": list(peer.dns_names), "uris": list(peer.uris)}
    return said


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

"""What a connector is, and what it connects to."""

import _socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Protocol

from gevent.hub import get_hub
from greenlet import getcurrent

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.naming.addr import Address
from linkerd_tcp.net.duplex import Side
from linkerd_tcp.net.options import SetSockOpt
from linkerd_tcp.record import Record

_EPHEMERAL_PORTS_FILE: Final = "/proc/sys/net/ipv4/ip_local_port_range"
_WIDEST_EPHEMERAL_PORTS: Final = (1024, 65535)
"""Assumed where the system does not say: the check that hangs on it costs one system call, no more."""


class Attempt(Protocol):
    """A connect in progress that somebody else may end."""

    def abort(self) -> None:
        """End it: its greenlet gets `Abandoned` in the next turn of the loop. Harmless when it is over."""


class Target:
    """One address made ready to be dialled: nothing is parsed, resolved or formatted any more.

    `sockaddr` holds an IP literal, so that connect() never asks a resolver. `near` says that a connect
    normally ends within its own system call (loopback on Linux). `may_meet_itself` says that a connect could
    be given this very port as its own and so be connected to itself. `attempts` are the connects in progress.
    `session` is what its connector keeps of the last one: what shortens the next TLS handshake. `late_options` are to
    be set on a connection to it that lasts longer than a second or two.
    """

    __slots__ = ("attempts", "family", "late_options", "may_meet_itself", "near", "session", "sockaddr", "text")

    def __init__(self, address: Address) -> None:
        self.text = str(address)
        self.family: int
        self.sockaddr: tuple[Any, ...]
        self.family, self.sockaddr = to_sockaddr(address)
        ip = self.sockaddr[0]
        self.near = sys.platform == "linux" and (ip.startswith("127.") or ip == "::1")
        low, high = ephemeral_ports()
        self.may_meet_itself = low <= address.port <= high
        self.attempts: set[Attempt] | None = None
        self.session: Any = None
        self.late_options: tuple[SetSockOpt, ...] = ()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """`abandon` ends whatever the calling greenlet waits for inside."""
        greenlet = getcurrent()
        attempt = _Interruption(lambda: greenlet.throw(Abandoned(self.text)))
        if self.attempts is None:
            self.attempts = set()
        self.attempts.add(attempt)
        try:
            yield
        finally:
            self.attempts.discard(attempt)
            attempt.withdraw()

    def abandon(self) -> None:
        """End every connect in progress to this address."""
        for attempt in tuple(self.attempts or ()):
            attempt.abort()


class _Interruption:
    """Throws into a greenlet, from the hub, at most once."""

    __slots__ = ("_callback", "_throw")

    def __init__(self, throw: Callable[[], object]) -> None:
        self._throw = throw
        self._callback: Any = None

    def abort(self) -> None:
        """See `Attempt.abort`."""
        if self._callback is None:
            self._callback = get_hub().loop.run_callback(self._throw)

    def withdraw(self) -> None:
        """The greenlet may have gone on in the same turn, before the callback ran: nothing of it is to be ended."""
        if self._callback is not None:
            self._callback.stop()


class Connector(Protocol):
    """Opens connections. One is shared by all connections of a balancer and keeps nothing of any of them."""

    def connect(self, target: Target, timeout_secs: float, record: Record | None = None) -> Side:
        """A connected, non-blocking socket, or TLS over one, which the caller closes.

        `record` is of the client that it is for; None: for one yet to come. Parks the calling greenlet for at most
        `timeout_secs` (> 0). Raises ConnectFailed, or Abandoned after `target.abandon()`; whatever is raised, also
        into the parked greenlet, nothing stays open.
        """


class ConnectFailed(ConnectionFailed):
    """One attempt failed. `blames_endpoint`: it speaks against that endpoint; `elsewhere`: another may do better."""

    def __init__(self, cause: Cause, message: str, *, blames_endpoint: bool = True, elsewhere: bool = True) -> None:
        super().__init__(cause, message)
        self.blames_endpoint = blames_endpoint
        self.elsewhere = elsewhere


class Abandoned(ConnectFailed):
    """The attempt was ended from here, since its endpoint is not wanted any more."""

    def __init__(self, text: str) -> None:
        super().__init__(Cause.OTHER, f"{text}: was removed while it was being connected to", blames_endpoint=False)


def to_sockaddr(address: Address) -> tuple[int, tuple[Any, ...]]:
    """(family, what connect() takes) of an IP literal; ValueError for anything else (a name would be resolved)."""
    ip, _, zone = address.ip.partition("%")
    try:
        if ":" not in ip:
            return _socket.AF_INET, (_socket.inet_ntoa(_socket.inet_aton(ip)), address.port)
        literal = _socket.inet_ntop(_socket.AF_INET6, _socket.inet_pton(_socket.AF_INET6, ip))
        return _socket.AF_INET6, (literal, address.port, 0, _scope_id(zone))
    except OSError:
        raise ValueError(f"{address.ip!r} is not an IP address") from None


def _scope_id(zone: str) -> int:
    if not zone or zone.isdecimal():
        return int(zone or 0)
    try:
        return _socket.if_nametoindex(zone)
    except OSError:
        return 0  # No such interface (yet): connect() then says so, in its own words.


@cache
def ephemeral_ports() -> tuple[int, int]:
    """The lowest and the highest port that the system picks by itself; read once."""
    try:
        with open(_EPHEMERAL_PORTS_FILE, encoding="ascii") as file:
            low, high = file.read().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return _WIDEST_EPHEMERAL_PORTS

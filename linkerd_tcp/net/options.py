"""`socketOptions` as setsockopt calls, for listeners (whose accepted sockets inherit them) and outbound sockets."""

import _socket
from typing import Final, Protocol, TypeAlias

SetSockOpt: TypeAlias = tuple[int, int, int]
"""(level, option, value)"""


class KeepAlive(Protocol):
    """`socketOptions.keepAlive`; see docs/configuration.md."""

    @property
    def idle_secs(self) -> int: ...

    @property
    def interval_secs(self) -> int: ...

    @property
    def count(self) -> int: ...


class SocketOptions(Protocol):
    """What of `socketOptions` concerns a connection."""

    @property
    def no_delay(self) -> bool: ...

    @property
    def keep_alive(self) -> KeepAlive | None: ...

    @property
    def user_timeout_ms(self) -> int: ...


def can_wait(option: SetSockOpt) -> bool:
    """Whether it makes no difference in a connection's first seconds: what finds out that an idle peer is dead."""
    return option[:2] in _KEEP_ALIVE


_KEEP_ALIVE: Final = frozenset(
    (level, getattr(_socket, name))
    for level, name in (
        (_socket.SOL_SOCKET, "SO_KEEPALIVE"),
        (_socket.IPPROTO_TCP, "TCP_KEEPIDLE"),
        (_socket.IPPROTO_TCP, "TCP_KEEPALIVE"),
        (_socket.IPPROTO_TCP, "TCP_KEEPINTVL"),
        (_socket.IPPROTO_TCP, "TCP_KEEPCNT"),
    )
    if hasattr(_socket, name)
)


def to_setsockopt(options: SocketOptions, *, off_too: bool = False) -> tuple[SetSockOpt, ...]:
    """Every option that changes something in a new socket; those that a system lacks are left out.

    `off_too`: also what takes earlier options back, for a socket that may have had some.
    """
    wanted: list[tuple[int, str, int]] = []
    if options.no_delay or off_too:
        wanted.append((_socket.IPPROTO_TCP, "TCP_NODELAY", int(options.no_delay)))
    alive = options.keep_alive
    if alive is None and off_too:
        wanted.append((_socket.SOL_SOCKET, "SO_KEEPALIVE", 0))
    if alive is not None:
        # macOS calls the idle time TCP_KEEPALIVE.
        idle = "TCP_KEEPIDLE" if hasattr(_socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
        wanted.append((_socket.SOL_SOCKET, "SO_KEEPALIVE", 1))
        wanted.append((_socket.IPPROTO_TCP, idle, alive.idle_secs))
        wanted.append((_socket.IPPROTO_TCP, "TCP_KEEPINTVL", alive.interval_secs))
        wanted.append((_socket.IPPROTO_TCP, "TCP_KEEPCNT", alive.count))
    if options.user_timeout_ms or off_too:
        wanted.append((_socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", options.user_timeout_ms))
    return tuple((level, getattr(_socket, name), value) for level, name, value in wanted if hasattr(_socket, name))

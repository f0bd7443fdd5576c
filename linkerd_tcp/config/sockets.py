"""Options of sockets, accepted and connected."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from linkerd_tcp.config.fields import Millis
from linkerd_tcp.config.model import Model

# Linux refuses larger ones (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT of include/net/tcp.h).
KeepAliveSecs = Annotated[int, Field(ge=1, le=32767)]
KeepAliveCount = Annotated[int, Field(ge=1, le=127)]


class KeepAlive(Model):
    """When a silent peer is asked whether it is still there. Whole seconds: the kernel takes no fractions."""

    idle_secs: KeepAliveSecs = 60
    interval_secs: KeepAliveSecs = 10
    count: KeepAliveCount = 6


def _off_or_on(value: Any) -> Any:
    return {False: None, True: {}}[value] if isinstance(value, bool) else value


class SocketOptions(Model):
    """Of one socket."""

    no_delay: bool = True
    keep_alive: Annotated[
        KeepAlive | None, BeforeValidator(_off_or_on, json_schema_input_type=KeepAlive | bool | None)
    ] = KeepAlive()
    """`false` turns it off."""
    backlog: Annotated[int, Field(ge=1, le=65535)] = 4096
    """Of a listener: connections that may wait to be accepted."""
    user_timeout_ms: Annotated[Millis, Field(le=2**31 - 1)] = 0
    """TCP_USER_TIMEOUT; 0 is off. It also ends a living peer that merely stopped reading."""

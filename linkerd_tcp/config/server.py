"""One listener of a router."""

from typing import Annotated, Any

from pydantic import Field

from linkerd_tcp.config.fields import (
    Cidr,
    Ip,
    Items,
    Millis,
    OptionalSecs,
    PathText,
    Port,
    PositiveMillis,
    Secs,
)
from linkerd_tcp.config.kinds import IdentifierOf, default_of
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.sockets import SocketOptions
from linkerd_tcp.config.tls import ServerTls, TrustedProxy


class ServerConfig(Model):
    """Connections come in here. Exactly one of `dst_name` and `identifier` is set."""

    port: Port
    """0 is any free one."""
    ip: Ip = "127.0.0.1"
    dst_name: PathText | None = None
    """The destination of every connection."""
    identifier: IdentifierOf | None = None
    """Finds each connection's destination."""
    detect_timeout_ms: PositiveMillis = 10_000
    """Accept to identified: PROXY header, TLS handshake and peeking together."""
    tls: ServerTls | None = None
    proxy_protocol: TrustedProxy | None = None
    allow: Items[Cidr] = ()
    """Sources that may connect; empty is all."""
    deny: Items[Cidr] = ()
    """Sources that may not; wins over `allow`."""
    connect_timeout_ms: PositiveMillis = 5_000
    """Identified to connected, binding included."""
    idle_timeout_ms: Millis = 3_600_000
    """No byte either way; 0 is never."""
    half_close_timeout_ms: Millis = 60_000
    """One direction ended and the other is silent; 0 is never."""
    connection_lifetime_secs: OptionalSecs = None
    """Each connection's limit is uniform in [(1 - jitter) * this, this]."""
    connection_lifetime_jitter: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    connection_lifetime_grace_secs: Secs = 30.0
    """How long a connection at its limit may wait for a quiet moment."""
    max_concurrency: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Connections open at once; then the listener pauses."""
    socket_options: SocketOptions = SocketOptions()

    def identifier_config(self) -> Any:
        """The identifier's options; `dst_name` means the static kind."""
        if self.identifier is not None:
            return self.identifier
        return default_of("identifier", "io.l5d.static", path=self.dst_name)

"""The server name that a TLS client asks for: of the handshake where TLS ends here, else of its ClientHello."""

from typing import Literal

from linkerd_tcp.envelope import Envelope
from linkerd_tcp.identifiers.by_name import ByName, ByNameConfig, NothingFound, read_name
from linkerd_tcp.identifiers.hello import peek_hello
from linkerd_tcp.net.peek import FirstBytes


class SniConfig(ByNameConfig):
    """`identifier: {kind: io.l5d.sni}`: a client that asks for www.example.com goes to /svc/www.example.com."""

    kind: Literal["io.l5d.sni"] = "io.l5d.sni"
    start_tls: Literal["postgres"] | None = None
    """What is spoken before TLS begins."""

    def build(self) -> ByName:
        return ByName(self, find_server_name)


def find_server_name(envelope: Envelope, first: FirstBytes) -> str:
    """The name asked for; NothingFound if there is none, or no TLS."""
    if envelope.tls:
        if envelope.server_name is None:
            raise NothingFound("the client asked for no server name (SNI) in its TLS handshake")
        return read_name(envelope.server_name, "the client's server name (SNI)")
    name = peek_hello(first).server_name
    if name is None:
        raise NothingFound("the client's TLS ClientHello asks for no server name (SNI)")
    return name

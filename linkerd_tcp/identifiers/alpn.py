"""The application protocol of a TLS client: the agreed one where TLS ends here, else the first one it offers."""

from typing import Literal

from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.identifiers.by_name import ByName, ByNameConfig, NothingFound, read_name
from linkerd_tcp.identifiers.hello import peek_hello
from linkerd_tcp.net.peek import FirstBytes


class AlpnConfig(ByNameConfig):
    """`identifier: {kind: io.l5d.alpn}`: h2 goes to /svc/h2, http/1.1 to /svc/http-1.1."""

    kind: Literal["io.l5d.alpn"] = "io.l5d.alpn"

    def build(self) -> ByName:
        return ByName(self, find_protocol)

    def never_finds(self, server: ServerConfig) -> str | None:
        if server.tls is not None and not server.tls.alpn_protocols:
            return "no protocol is ever agreed on: TLS ends here, and tls.alpnProtocols is empty"
        return None


def find_protocol(envelope: Envelope, first: FirstBytes) -> str:
    """The protocol, `-` for each `/` in it; NothingFound if there is none, or no TLS.

    Of what a client offers the first counts: the order is its preference (RFC 7301 section 3.1), and which of them the
    endpoint will take is not known yet.
    """
    if envelope.tls:
        if envelope.alpn is None:
            raise NothingFound("no application protocol (ALPN) was agreed on in the TLS handshake")
        protocol = envelope.alpn
    else:
        offered = peek_hello(first).alpn
        if not offered:
            raise NothingFound("the client's TLS ClientHello offers no application protocol (ALPN)")
        protocol = offered[0]
    return read_name(protocol.replace("/", "-"), "the client's application protocol (ALPN)")

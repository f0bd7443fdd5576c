"""The port that the client connected to, as a believed PROXY header says it, else this server's own."""

from typing import Literal

from linkerd_tcp.envelope import Envelope
from linkerd_tcp.identifiers.by_name import ByName, ByNameConfig
from linkerd_tcp.net.peek import FirstBytes


class LocalAddressConfig(ByNameConfig):
    """`identifier: {kind: io.l5d.localAddress}`: what a client sent to port 443 goes to /svc/443.

    `default` is never used: there is always a port.
    """

    kind: Literal["io.l5d.localAddress"] = "io.l5d.localAddress"

    def build(self) -> ByName:
        return ByName(self, find_port)


def find_port(envelope: Envelope, first: FirstBytes) -> str:
    """The destination's port, as decimal text. Only the port: an address has characters that no path element has."""
    return str(envelope.local[1])

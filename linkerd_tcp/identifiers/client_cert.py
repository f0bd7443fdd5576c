"""Who the caller proved to be with its certificate, where TLS ends here.

The name is the first DNS name of its subjectAltName; only a certificate without any is called by its common name. URIs
are not looked at: the host of a SPIFFE ID is the trust domain, which all its workloads share, and the rest is no name.
"""

from typing import Literal

from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.identifiers.by_name import ByName, ByNameConfig, NothingFound, read_name
from linkerd_tcp.net.peek import FirstBytes


class ClientCertConfig(ByNameConfig):
    """`identifier: {kind: io.l5d.clientCert}`: a caller proven to be web.example.com goes to /svc/web.example.com."""

    kind: Literal["io.l5d.clientCert"] = "io.l5d.clientCert"

    def build(self) -> ByName:
        return ByName(self, find_caller)

    def never_finds(self, server: ServerConfig) -> str | None:
        if server.tls is None:
            return "no certificate is ever seen: TLS does not end here (tls is needed, with clientAuth)"
        if server.tls.client_auth is None or server.tls.client_auth.mode == "none":
            return "no certificate is ever asked for: tls.clientAuth is needed, its mode optional or required"
        return None


def find_caller(envelope: Envelope, first: FirstBytes) -> str:
    """The caller's name; NothingFound if it showed no certificate, or one without a usable name."""
    peer = envelope.peer
    if peer is None:
        raise NothingFound("the client showed no certificate" if envelope.tls else "TLS does not end here")
    if peer.dns_names:
        return read_name(peer.dns_names[0], "the DNS name of the client's certificate")
    if peer.common_name is None:
        uris = " (its URIs are not looked at)" if peer.uris else ""
        raise NothingFound(f"the client's certificate has neither a DNS name nor a common name{uris}")
    return read_name(peer.common_name, "the common name of the client's certificate")

"""What is known about a connection before it is routed."""

from dataclasses import dataclass
from typing import NamedTuple

from linkerd_tcp.wire.proxy_protocol_header import Parsed as ProxyHeader


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """Who the caller proved to be, by a certificate that was verified: subject and subjectAltName (RFC 5280)."""

    common_name: str | None
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


class Envelope(NamedTuple):
    """Who is calling, where they called, what was learned before the first byte of theirs was taken.

    `source` and `local` are (ip, port), those of a PROXY header where one was believed; `deadline` is on the clock of
    time.monotonic, seconds, and bounds everything up to the identified destination. `tls`: it ended here; only then are
    `server_name` and `alpn` (what it agreed on) and `peer` set.
    """

    source: tuple[str, int]
    local: tuple[str, int]
    deadline: float
    tls: bool = False
    server_name: str | None = None
    alpn: str | None = None
    peer: PeerCertificate | None = None
    proxy: ProxyHeader | None = None
    start_tls: bool = False
    """The client asked in plain text for the TLS that comes (`startTls`), and was told yes."""
    cipher: tuple[str, str] | None = None
    """The version and the cipher that TLS agreed on, `("TLSv1.3", "TLS_AES_256_GCM_SHA384")`."""

    def with_tls(
        self,
        server_name: str | None,
        alpn: str | None,
        peer: PeerCertificate | None,
        cipher: tuple[str, str] | None = None,
    ) -> "Envelope":
        """TLS has ended here, and this was agreed."""
        addresses = (self.source, self.local, self.deadline)
        return Envelope(*addresses, True, server_name, alpn, peer, self.proxy, self.start_tls, cipher)

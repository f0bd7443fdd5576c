"""What comes before a connection is routed: the PROXY header, who may call at all, and TLS where it ends here."""

import ipaddress
from _socket import MSG_PEEK
from _socket import socket as Socket
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from linkerd_tcp import starttls
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.config.tls import TrustedProxy
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.figures import ServerFigures
from linkerd_tcp.net.duplex import Side
from linkerd_tcp.net.peek import FirstBytes
from linkerd_tcp.record import Record, address_text
from linkerd_tcp.wire import proxy_protocol
from linkerd_tcp.wire.parsing import WireError
from linkerd_tcp.wire.proxy_protocol_header import Parsed
from linkerd_tcp.wire.proxy_protocol_v2 import SIGNATURE

if TYPE_CHECKING:
    from linkerd_tcp.terminator import Terminator

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Preface:
    """Reads what a server's configuration says comes first; stateless, shared by the server's connections."""

    def __init__(self, config: ServerConfig, figures: ServerFigures, terminator: "Terminator | None" = None) -> None:
        self._terminator = terminator
        self._handshake = figures.tls_handshake
        self._proxy = config.proxy_protocol
        self._allow: Sequence[Network] = config.allow
        self._deny: Sequence[Network] = config.deny
        self._start_tls: bool = getattr(config.identifier, "start_tls", None) is not None
        self.is_empty = not (self._proxy or self._allow or self._deny or terminator or self._start_tls)
        """Nothing comes first, and nobody is refused."""

    def read(self, client: Socket, envelope: Envelope, record: Record) -> tuple[Side, Envelope]:
        """The client's side of the stream, and the envelope with what was learned; `record` gets the steps.

        Of what `client` sent, exactly the PROXY header is taken, and TLS's own messages where TLS ends here. Blocks
        until `envelope.deadline` at most. ConnectionFailed with its cause.
        """
        if self._proxy is not None:
            envelope = self._read_proxy_header(self._proxy, client, envelope)
            if envelope.proxy is not None:
                # Its addresses hold at once: whoever is refused is refused under the name that the header gave.
                record.envelope, record.source = envelope, envelope.source
                record.step("PROXY header")
        self._check_access(envelope)
        if self._start_tls and starttls.answer(client, envelope.deadline):
            envelope = envelope._replace(start_tls=True)
            record.step("request for TLS")
        if self._terminator is None:
            return client, envelope
        began = monotonic()
        agreed = self._terminator.accept(client, envelope.deadline)
        self._handshake.observe(monotonic() - began)
        record.step("TLS")
        return agreed.end, envelope.with_tls(agreed.server_name, agreed.alpn, agreed.peer, agreed.cipher)

    def _read_proxy_header(self, proxy: TrustedProxy, client: Socket, envelope: Envelope) -> Envelope:
        if _network_of(envelope.source[0], proxy.trusted) is None:
            if proxy.mode == "optional":
                return envelope  # a stranger's bytes are payload, whatever they look like
            raise ConnectionFailed(
                Cause.PROXY_PROTOCOL,
                f"{envelope.source[0]} may not send a PROXY header: it is in none of proxyProtocol.trusted",
            )
        header = _peek_header(client, envelope, required=proxy.mode == "required")
        if header is None:
            return envelope
        client.recv(header.header_length)
        if header.source is None or header.destination is None:
            # LOCAL, UNKNOWN, or addresses of another kind: the connection is the proxy's own.
            return envelope._replace(proxy=header)
        return envelope._replace(source=header.source, local=header.destination, proxy=header)

    def _check_access(self, envelope: Envelope) -> None:
        """`deny` wins; an empty `allow` allows all."""
        ip = envelope.source[0]
        rule = _network_of(ip, self._deny) if self._deny else None
        if rule is not None:
            raise ConnectionFailed(Cause.DENIED, f"{ip} is in deny ({rule})")
        if self._allow and _network_of(ip, self._allow) is None:
            raise ConnectionFailed(Cause.DENIED, f"{ip} is not in allow")


def _peek_header(client: Socket, envelope: Envelope, *, required: bool) -> Parsed | None:
    """The header, still in the socket; None if there is none and need not be."""
    began = monotonic()
    try:
        peeked = FirstBytes(client, envelope.deadline).peek(proxy_protocol.parse, proxy_protocol.MAX_HEADER_BYTES)
    except WireError as error:
        if not required and not _begins_as_header(client):
            return None
        raise ConnectionFailed(
            Cause.PROXY_PROTOCOL, f"{address_text(envelope.source)}: PROXY header: {error}"
        ) from error
    except OSError as error:
        raise ConnectionFailed(Cause.RESET, f"client: {error.strerror}") from error
    if peeked.message is not None:
        return peeked.message
    if not required and not peeked.seen:
        return None
    what = "ended" if peeked.ended else f"sent no more for {monotonic() - began:.1f} s"
    raise ConnectionFailed(
        Cause.PROXY_PROTOCOL, f"{address_text(envelope.source)} {what} after {len(peeked.seen)} bytes of a PROXY header"
    )


def _begins_as_header(client: Socket) -> bool:
    """Whether what was refused was meant as a header; what begins otherwise is payload."""
    return client.recv(len(SIGNATURE), MSG_PEEK).startswith((b"PROXY ", SIGNATURE))


def _network_of(ip: str, networks: Sequence[Network]) -> Network | None:
    """The first of `networks` that `ip` is in."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return next((network for network in networks if address in network), None)

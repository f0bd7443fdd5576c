"""A PROXY protocol header before anything else: the endpoint learns who its client really is.

What is said is what the envelope holds, so the address of a header that was believed is passed on.
"""

import _socket
import errno
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeAlias

from gevent.socket import wait_write

from linkerd_tcp.config.tls import ProxyHeader
from linkerd_tcp.connectors.connector import Target
from linkerd_tcp.connectors.direct import DirectConnector
from linkerd_tcp.connectors.failures import failure
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.record import Record
from linkerd_tcp.wire.proxy_protocol import (
    Alpn,
    Authority,
    Endpoint,
    Ssl,
    Tlv,
    UniqueId,
    build_local,
    build_v1,
    build_v2,
)

UNKNOWN: Final = b"PROXY UNKNOWN\r\n"
"""Version 1 for: take the addresses that you see."""

_NOT_VERIFIED: Final = 1
"""`verify` of an ssl TLV: "non-zero otherwise", the client having shown no certificate that was verified."""

_MAPPED: Final = "::ffff:"


class HeaderConnector:
    """Connects as `inner` does, then sends the header, before the connect timeout. See `Connector.connect`."""

    __slots__ = ("_header", "_inner")

    def __init__(self, inner: DirectConnector, settings: ProxyHeader) -> None:
        self._inner = inner
        self._header = HeaderFormat(settings)

    def connect(self, target: Target, timeout_secs: float, record: Record | None = None) -> _socket.socket:
        """See `Connector.connect`. Without a client the header says that the connection is this proxy's own."""
        until = monotonic() + timeout_secs
        header = self._header.of(record)
        sock = self._inner.connect(target, timeout_secs)
        try:
            # A new socket's buffer is empty: all of it goes in one segment, unless an endpoint's window is tiny.
            sent = sock.send(header)
            if sent < len(header):
                with target.interruptible():
                    _send_rest(sock, header[sent:], until)
        except OSError as error:
            sock.close()
            raise failure(target.text, error.errno or errno.ETIMEDOUT) from None
        except BaseException:
            sock.close()
            raise
        return sock


def _send_rest(sock: _socket.socket, rest: bytes, until: float) -> None:
    """By `until` (time.monotonic seconds), or TimeoutError; OSError when the connection broke."""
    while rest:
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError
        wait_write(sock.fileno(), timeout=left, timeout_exc=TimeoutError())
        try:
            rest = rest[sock.send(rest) :]
        except (BlockingIOError, InterruptedError):
            continue


class HeaderFormat:
    """What `client.proxyProtocol` asks for."""

    __slots__ = ("_crc32c", "_tlvs", "_version")

    def __init__(self, settings: ProxyHeader) -> None:
        self._version = settings.version
        self._crc32c = "crc32c" in settings.tlvs
        self._tlvs = tuple(_TLVS[name] for name in settings.tlvs if name in _TLVS)

    def of(self, record: Record | None) -> bytes:
        """The header for this client; LOCAL or UNKNOWN where there is none."""
        envelope = None if record is None else record.envelope
        if record is None or envelope is None:
            return build_local() if self._version == "v2" else UNKNOWN
        source, local = unmapped(envelope.source), unmapped(envelope.local)
        if self._version == "v1":
            # One line names one family. Version 2 says it with the IPv4 address mapped into IPv6.
            mixed = (":" in source[0]) != (":" in local[0])
            return UNKNOWN if mixed else build_v1(source, local)
        tlvs = [tlv for make in self._tlvs if (tlv := make(envelope, record)) is not None]
        return build_v2(source, local, tlvs, self._crc32c)


def unmapped(address: Endpoint) -> Endpoint:
    """An IPv4 client of an IPv6 listener is an IPv4 client: `::ffff:192.0.2.1` is 192.0.2.1 (RFC 4291 2.5.5.2)."""
    host, port = address
    return (host[len(_MAPPED) :], port) if host.startswith(_MAPPED) and "." in host else address


def _authority(envelope: Envelope, record: Record) -> Tlv | None:
    """The server name where TLS ends here, else the one that a trusted proxy said."""
    name = envelope.server_name or (envelope.proxy and envelope.proxy.authority)
    return Authority(name) if name else None


def _alpn(envelope: Envelope, record: Record) -> Tlv | None:
    if envelope.alpn:
        return Alpn(envelope.alpn.encode())
    received = envelope.proxy and envelope.proxy.alpn
    return Alpn(received) if received else None


def _ssl(envelope: Envelope, record: Record) -> Tlv | None:
    """How the client itself spoke TLS: with a trusted proxy in front that says so, or with this one.

    Only what is known for certain: that a certificate was shown in this very connection is not, after a resumption.
    """
    if envelope.proxy and envelope.proxy.ssl:
        return envelope.proxy.ssl
    if not envelope.tls:
        return None
    if envelope.peer is None:
        return Ssl(Ssl.CLIENT_SSL, _NOT_VERIFIED)
    return Ssl(Ssl.CLIENT_SSL | Ssl.CLIENT_CERT_SESS, 0, common_name=envelope.peer.common_name)


def _unique_id(envelope: Envelope, record: Record) -> Tlv:
    """The first proxy's name for the connection goes through the whole chain; without one, the id of the record."""
    received = envelope.proxy and envelope.proxy.unique_id
    return UniqueId(received or record.id.encode())


_Maker: TypeAlias = Callable[[Envelope, Record], Tlv | None]
_TLVS: Final[dict[str, _Maker]] = {"authority": _authority, "alpn": _alpn, "ssl": _ssl, "uniqueId": _unique_id}

"""The type-length-value records behind the addresses of a version 2 header: section 2.2 from "TLV vectors" on.

A registered type with a value that its paragraph forbids is an error (text that is not UTF-8 or US-ASCII, a unique id
of over 128 bytes, ...); a type that is not known here is kept as it came.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from linkerd_tcp.wire.parsing import WireError

ALPN: Final = 0x01
AUTHORITY: Final = 0x02
CRC32C: Final = 0x03
NOOP: Final = 0x04
UNIQUE_ID: Final = 0x05
SSL: Final = 0x20
NETNS: Final = 0x30

MAX_UNIQUE_ID_BYTES: Final = 128

_SSL_BYTES: Final = 5
"""`client` (1 byte) and `verify` (4 bytes), before the sub-TLVs."""

_CLIENT_CERT: Final = 0x28
_SSL_TEXTS: Final = {
    0x21: ("version", "ascii"),
    0x22: ("common_name", "utf-8"),
    0x23: ("cipher", "ascii"),
    0x24: ("signature_algorithm", "ascii"),
    0x25: ("key_algorithm", "ascii"),
    0x26: ("group", "ascii"),
    0x27: ("signature_scheme", "ascii"),
}
_CHARSETS: Final = {"ascii": "US-ASCII text", "utf-8": "UTF-8 text"}


@dataclass(frozen=True, slots=True)
class Alpn:
    """The application protocol as the sender put it: from HAProxy the negotiated one (`h2`), without a length byte."""

    protocol: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """The host name that the client asked for; with TLS, its server_name. As it came: any text at all."""

    name: str


@dataclass(frozen=True, slots=True)
class UniqueId:
    """What the first proxy calls this connection: opaque, at most MAX_UNIQUE_ID_BYTES."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Netns:
    """The network namespace of the sender's side."""

    name: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Any other type, top level or inside an Ssl; 0xE0 to 0xEF are for applications."""

    type: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Ssl:
    """How the client reached the first proxy over TLS. `client` holds the CLIENT_* bits; absent sub-TLVs are None.

    Of two sub-TLVs of one type the first is read, and the second is kept in `others` with the unknown ones.
    """

    client: int
    verify: int
    version: str | None = None
    common_name: str | None = None
    cipher: str | None = None
    signature_algorithm: str | None = None
    key_algorithm: str | None = None
    group: str | None = None
    signature_scheme: str | None = None
    client_cert: bytes | None = None
    others: tuple[Unknown, ...] = ()

    CLIENT_SSL = 0x01
    CLIENT_CERT_CONN = 0x02
    CLIENT_CERT_SESS = 0x04

    @property
    def verified(self) -> bool:
        """The client gave a certificate, now or earlier in this TLS session, and the sender found it good.

        `verify` alone does not say so: HAProxy sends 0 for a client without a certificate too.
        """
        return self.verify == 0 and bool(self.client & (self.CLIENT_CERT_CONN | self.CLIENT_CERT_SESS))


Tlv: TypeAlias = Alpn | Authority | UniqueId | Ssl | Netns | Unknown


def records(header: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, start and end of value) of each record in header[start:end]; WireError unless they fill it exactly."""
    while start < end:
        if end - start < 3:
            raise WireError(start, "a type and a two-byte length", f"{end - start} byte(s) left over")
        length = int.from_bytes(header[start + 1 : start + 3])
        if length > end - start - 3:
            raise WireError(start + 1, f"a value of at most {end - start - 3} bytes", f"a length of {length}")
        yield header[start], start + 3, start + 3 + length
        start += 3 + length


def read_tlv(kind: int, header: bytes, start: int, end: int) -> Tlv:
    """The record of type `kind` with the value header[start:end]. WireError where its type does not allow that."""
    value = header[start:end]
    if kind == ALPN:
        return Alpn(value)
    if kind == AUTHORITY:
        return Authority(_text(value, start, "utf-8"))
    if kind == UNIQUE_ID:
        if len(value) > MAX_UNIQUE_ID_BYTES:
            raise WireError(start, f"a unique id of at most {MAX_UNIQUE_ID_BYTES} bytes", f"{len(value)} bytes")
        return UniqueId(value)
    if kind == SSL:
        return _read_ssl(header, start, end)
    if kind == NETNS:
        return Netns(_text(value, start, "ascii"))
    return Unknown(kind, value)


def _read_ssl(header: bytes, start: int, end: int) -> Ssl:
    if end - start < _SSL_BYTES:
        raise WireError(start, f"an ssl value of at least {_SSL_BYTES} bytes", f"{end - start} bytes")
    client, verify = struct.unpack_from("!BI", header, start)
    texts: dict[str, str] = {}
    client_cert: bytes | None = None
    others: list[Unknown] = []
    for kind, first, last in records(header, start + _SSL_BYTES, end):
        name, charset = _SSL_TEXTS.get(kind, ("", ""))
        if name and name not in texts:
            texts[name] = _text(header[first:last], first, charset)
        elif kind == _CLIENT_CERT and client_cert is None:
            client_cert = header[first:last]
        else:
            others.append(Unknown(kind, header[first:last]))
    return Ssl(client, verify, client_cert=client_cert, others=tuple(others), **texts)


def _text(value: bytes, offset: int, charset: str) -> str:
    try:
        return value.decode(charset)
    except UnicodeDecodeError as error:
        found = f"0x{value[error.start]:02x}"
        raise WireError(offset + error.start, _CHARSETS[charset], found) from None


def write_tlvs(tlvs: Sequence[Tlv]) -> bytes:
    """The records, in this order. ValueError for a value that its type does not allow, or that is too long."""
    return b"".join(_write(tlv) for tlv in tlvs)


def record(kind: int, value: bytes) -> bytes:
    """One record of any type. ValueError for a type that is no byte, or a value of over 65535 bytes."""
    if not 0 <= kind <= 0xFF:
        raise ValueError(f"the type of a TLV is one byte, not {kind}")
    if len(value) > 0xFFFF:
        raise ValueError(f"a TLV holds at most 65535 bytes, not {len(value)}")
    return struct.pack("!BH", kind, len(value)) + value


def _write(tlv: Tlv) -> bytes:
    match tlv:
        case Alpn(protocol):
            return record(ALPN, protocol)
        case Authority(name):
            return record(AUTHORITY, name.encode())
        case UniqueId(value):
            if len(value) > MAX_UNIQUE_ID_BYTES:
                raise ValueError(f"a unique id has at most {MAX_UNIQUE_ID_BYTES} bytes, not {len(value)}")
            return record(UNIQUE_ID, value)
        case Netns(name):
            return record(NETNS, name.encode("ascii"))
        case Ssl():
            return record(SSL, _ssl_value(tlv))
        case Unknown(kind, value):
            if kind == CRC32C:
                raise ValueError("the checksum is computed by the builder, not given to it")
            return record(kind, value)


def _ssl_value(tlv: Ssl) -> bytes:
    if not (0 <= tlv.client <= 0xFF and 0 <= tlv.verify <= 0xFFFFFFFF):
        raise ValueError(f"client is one byte and verify are four, not {tlv.client} and {tlv.verify}")
    parts = [struct.pack("!BI", tlv.client, tlv.verify)]
    for kind, (name, charset) in _SSL_TEXTS.items():
        text: str | None = getattr(tlv, name)
        if text is not None:
            parts.append(record(kind, text.encode(charset)))
    if tlv.client_cert is not None:
        parts.append(record(_CLIENT_CERT, tlv.client_cert))
    parts += [record(other.type, other.value) for other in tlv.others]
    return b"".join(parts)

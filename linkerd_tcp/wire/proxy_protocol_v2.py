"""Version 2: a binary header of a known length. Section 2.2 of the specification."""

import struct
from collections.abc import Sequence
from typing import Final

from linkerd_tcp.wire.parsing import Incomplete, WireError
from linkerd_tcp.wire.proxy_protocol_crc32c import crc32c as checksum
from linkerd_tcp.wire.proxy_protocol_header import (
    Command,
    Endpoint,
    Family,
    Parsed,
    Transport,
    ipv4_text,
    ipv6_text,
    one_family,
)
from linkerd_tcp.wire.proxy_protocol_tlv import CRC32C, NOOP, Tlv, read_tlv, record, records, write_tlvs

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
FIXED_BYTES: Final = 16
"""Signature, version and command, family and transport, length of the rest."""

_VERSION: Final = 2
_ADDRESS_BYTES: Final = {Family.INET: 4, Family.INET6: 16, Family.UNIX: 108}
_PORT_BYTES: Final = 2


def parse_v2(data: bytes | memoryview, max_bytes: int) -> Parsed | Incomplete:
    """What a connection that begins with CR says. `data` may end anywhere; nothing behind the header is looked at."""
    fixed = bytes(data[:FIXED_BYTES])
    if not SIGNATURE.startswith(fixed[: len(SIGNATURE)]):
        raise WireError(0, "a PROXY protocol header", repr(fixed[: len(SIGNATURE)]))
    command, family, transport = _kind(fixed)
    if len(fixed) < FIXED_BYTES:
        return Incomplete(FIXED_BYTES)
    length = FIXED_BYTES + int.from_bytes(fixed[14:16])
    if length > max_bytes:
        raise WireError(14, f"a header of at most {max_bytes} bytes", f"{length} bytes")
    tlvs_at = _tlvs_at(family, transport)
    if tlvs_at > length:
        raise WireError(
            14, f"{tlvs_at - FIXED_BYTES} bytes of addresses or more", f"a length of {length - FIXED_BYTES}"
        )
    if len(data) < length:
        return Incomplete(length)
    if not tlvs_at:
        return Parsed(length, 2, command, family=family, transport=transport)
    header = bytes(data[:length])
    source, destination = _addresses(header, family)
    return Parsed(length, 2, command, source, destination, _tlvs(header, tlvs_at), family, transport)


def _kind(fixed: bytes) -> tuple[Command, Family, Transport]:
    """Bytes 12 and 13, as far as they are there: a wrong one is refused before the length is known."""
    command = Command.LOCAL
    if len(fixed) > 12:
        if fixed[12] >> 4 != _VERSION:
            raise WireError(12, f"version {_VERSION}", f"version {fixed[12] >> 4}")
        if fixed[12] & 15 > Command.PROXY:
            raise WireError(12, "command 0 (LOCAL) or 1 (PROXY)", f"command {fixed[12] & 15}")
        command = Command(fixed[12] & 15)
    # LOCAL: "discard the protocol block including the family which is ignored".
    if len(fixed) < 14 or command is Command.LOCAL:
        return command, Family.UNSPEC, Transport.UNSPEC
    family, transport = fixed[13] >> 4, fixed[13] & 15
    if family > Family.UNIX:
        raise WireError(13, "address family 0 (UNSPEC), 1 (INET), 2 (INET6) or 3 (UNIX)", f"family {family}")
    if transport > Transport.DGRAM:
        raise WireError(13, "transport 0 (UNSPEC), 1 (STREAM) or 2 (DGRAM)", f"transport {transport}")
    return command, Family(family), Transport(transport)


def _tlvs_at(family: Family, transport: Transport) -> int:
    """Where the addresses end; 0 where that is unknown, because one half of the combination is UNSPEC."""
    if family is Family.UNSPEC or transport is Transport.UNSPEC:
        return 0
    ports = 0 if family is Family.UNIX else 2 * _PORT_BYTES
    return FIXED_BYTES + 2 * _ADDRESS_BYTES[family] + ports


def _addresses(header: bytes, family: Family) -> tuple[Endpoint | None, Endpoint | None]:
    if family is Family.UNIX:
        return None, None
    text = ipv4_text if family is Family.INET else ipv6_text
    src, dst, src_port, dst_port = struct.unpack_from("!{0}s{0}sHH".format(_ADDRESS_BYTES[family]), header, FIXED_BYTES)
    return (text(src), src_port), (text(dst), dst_port)


def _tlvs(header: bytes, start: int) -> tuple[Tlv, ...]:
    tlvs: list[Tlv] = []
    checked = False
    for kind, first, last in records(header, start, len(header)):
        if kind == CRC32C:
            if checked:
                # Each would have to be zero while the other is computed: there is no such pair to verify.
                raise WireError(first - 3, "one checksum", "a second one")
            _verify(header, first, last)
            checked = True
        elif kind != NOOP:
            tlvs.append(read_tlv(kind, header, first, last))
    return tuple(tlvs)


def _verify(header: bytes, first: int, last: int) -> None:
    if last - first != 4:
        raise WireError(first, "a checksum of 4 bytes", f"{last - first} bytes")
    right = checksum(header[:first] + bytes(4) + header[last:])
    said = int.from_bytes(header[first:last])
    if said != right:
        raise WireError(first, f"CRC32c 0x{right:08x}", f"0x{said:08x}")


def build_v2(source: Endpoint, destination: Endpoint, tlvs: Sequence[Tlv] = (), crc32c: bool = True) -> bytes:
    """A complete header for a client's TCP connection; with `crc32c` a checksum goes before the TLVs.

    IPv4 if both addresses are, else IPv6. ValueError for what is no IP address or port, for a value that its TLV does
    not allow, and for more than 65535 bytes in all.
    """
    family, src, dst = one_family(source, destination)
    block = src + dst + struct.pack("!HH", source[1], destination[1])
    rest = block + (record(CRC32C, bytes(4)) if crc32c else b"") + write_tlvs(tlvs)
    header = _fixed(Command.PROXY, family << 4 | Transport.STREAM, len(rest)) + rest
    if not crc32c:
        return header
    at = FIXED_BYTES + len(block) + 3
    return header[:at] + checksum(header).to_bytes(4) + header[at + 4 :]


def build_local() -> bytes:
    """The header of a connection that is the sender's own: the receiver uses the real addresses."""
    return _fixed(Command.LOCAL, 0, 0)


def _fixed(command: Command, family_and_transport: int, length: int) -> bytes:
    if length > 0xFFFF:
        raise ValueError(f"addresses and TLVs have at most 65535 bytes, not {length}")
    return SIGNATURE + struct.pack("!BBH", _VERSION << 4 | command, family_and_transport, length)

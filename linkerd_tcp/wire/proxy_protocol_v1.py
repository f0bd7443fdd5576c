"""Version 1: one line of text. Section 2.1 of the specification.

`PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\\r\\n`. Addresses are decoded only when the whole line is there, but a line
that can no longer become valid is refused at once, as the text recommends.
"""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from linkerd_tcp.wire.parsing import Incomplete, WireError
from linkerd_tcp.wire.proxy_protocol_header import (
    MAX_PORT,
    Command,
    Endpoint,
    Family,
    Parsed,
    Transport,
    ipv4_text,
    ipv6_text,
    one_family,
)

PREFIX: Final = b"PROXY "
MAX_LINE_BYTES: Final = 107
"""Of any line, CR LF included."""

_UNKNOWN: Final = b"PROXY UNKNOWN"
_TCP: Final = {b"PROXY TCP4 ": (Family.INET, 32, 56), b"PROXY TCP6 ": (Family.INET6, 22, 104)}
"""Start of line -> family, the shortest line (`PROXY TCP6 :: :: 0 0`) and the longest, CR LF included."""

_END: Final = re.compile(rb"[\r\n]")
_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_IPV4: Final = re.compile(rb"(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})")
_IPV6: Final = re.compile(rb"[0-9A-Fa-f:.]{2,45}")


def parse_v1(data: bytes) -> Parsed | Incomplete:
    """What a connection that begins with `P` says. `data` may end anywhere; only MAX_LINE_BYTES of it are looked at."""
    data = data[:MAX_LINE_BYTES]
    for start, (family, shortest, longest) in _TCP.items():
        if data.startswith(start):
            end = _line_end(data, len(start), shortest, longest)
            return end if isinstance(end, Incomplete) else _tcp(data[:end], family)
    if data.startswith(_UNKNOWN):
        return _unknown(data)
    starts = [start for start in (*_TCP, _UNKNOWN) if start.startswith(data)]
    if starts:
        # TCP6's 22 and TCP4's 32 are more than UNKNOWN's 15, which is all that is sure as long as it may be that.
        return Incomplete(min(_shortest(start) for start in starts))
    if data.startswith(PREFIX):
        raise WireError(len(PREFIX), "TCP4, TCP6 or UNKNOWN and one space", repr(data[len(PREFIX) : 20]))
    raise WireError(0, "a PROXY protocol header", repr(data[:14]))


def _shortest(start: bytes) -> int:
    return _TCP[start][1] if start in _TCP else len(_UNKNOWN) + 2


def _unknown(data: bytes) -> Parsed | Incomplete:
    """The rest of an UNKNOWN line is to be ignored, whatever it is: only CR LF ends it."""
    after = data[len(_UNKNOWN) : len(_UNKNOWN) + 1]
    if after not in (b"", b" ", b"\r"):
        raise WireError(len(_UNKNOWN), "one space or CR LF", repr(after))
    if after == b"\r" and data[len(_UNKNOWN) + 1 : len(_UNKNOWN) + 2] not in (b"", b"\n"):
        raise WireError(len(_UNKNOWN), "CR LF", repr(data[len(_UNKNOWN) : len(_UNKNOWN) + 2]))
    end = data.find(b"\r\n")
    if end < 0:
        return _more(data, len(_UNKNOWN) + 2, MAX_LINE_BYTES)
    return Parsed(end + 2, 1, Command.PROXY)


def _line_end(data: bytes, start: int, shortest: int, longest: int) -> int | Incomplete:
    """Where the line ends, CR LF included."""
    found = _END.search(data, start)
    if found is None:
        return _more(data, shortest, longest)
    end = found.start()
    if end + 2 < shortest:
        raise WireError(end, "two addresses and two ports", "the end of the line")
    if data[end : end + 2] == b"\r":
        return _more(data, shortest, longest)
    if data[end : end + 2] != b"\r\n":
        raise WireError(end, "CR LF", repr(data[end : end + 2]))
    if end + 2 > longest:
        raise WireError(longest, f"CR LF within {longest} bytes", f"a line of {end + 2} bytes")
    return end + 2


def _more(data: bytes, shortest: int, longest: int) -> Incomplete:
    missing = 1 if data.endswith(b"\r") else 2
    if len(data) + missing > longest:
        raise WireError(len(data), f"CR LF within {longest} bytes", "none")
    return Incomplete(max(shortest, len(data) + missing))


def _tcp(line: bytes, family: Family) -> Parsed:
    """The four fields of a complete line, separated by exactly one space each."""
    offset = len(b"PROXY TCP4 ")
    fields = line[offset:-2].split(b" ")
    address = _ipv4 if family is Family.INET else _ipv6
    readers: tuple[Callable[[bytes, int], str | int], ...] = (address, address, _port, _port)
    values: list[str | int] = []
    for reader, field in zip(readers, fields, strict=False):
        values.append(reader(field, offset))
        offset += len(field) + 1
    if len(fields) < 4:
        raise WireError(len(line) - 2, "two addresses and two ports", f"{len(fields)} field(s)")
    if len(fields) > 4:
        raise WireError(offset - 1, "CR LF", repr(line[offset - 1 : -2]))
    source, destination = (str(values[0]), int(values[2])), (str(values[1]), int(values[3]))
    return Parsed(len(line), 1, Command.PROXY, source, destination, (), family, Transport.STREAM)


def _ipv4(field: bytes, offset: int) -> str:
    found = _IPV4.fullmatch(field)
    if found is None or any(int(octet) > 255 for octet in found.groups()):
        raise WireError(offset, "an IPv4 address without leading zeros", repr(field))
    return field.decode("ascii")


def _ipv6(field: bytes, offset: int) -> str:
    """Also with the last 32 bits as dotted decimals: inet_ntop, which senders use, writes mapped addresses so."""
    if _IPV6.fullmatch(field) and b":" in field:
        try:
            return ipv6_text(IPv6Address(field.decode("ascii")).packed)
        except AddressValueError:
            pass  # said below
    raise WireError(offset, "an IPv6 address", repr(field))


def _port(field: bytes, offset: int) -> int:
    if _PORT.fullmatch(field) is None or int(field) > MAX_PORT:
        raise WireError(offset, f"a port from 0 to {MAX_PORT} without leading zeros", repr(field))
    return int(field)


def build_v1(source: Endpoint, destination: Endpoint) -> bytes:
    """A complete line, TCP4 if both addresses are IPv4, else TCP6. ValueError for what is no IP address or port.

    IPv6 is written in hexadecimal groups only, mapped IPv4 too: the text knows no other form.
    """
    family, src, dst = one_family(source, destination)
    text = ipv4_text if family is Family.INET else _hexadecimal
    name = "TCP4" if family is Family.INET else "TCP6"
    return f"PROXY {name} {text(src)} {text(dst)} {source[1]} {destination[1]}\r\n".encode("ascii")


def _hexadecimal(packed: bytes) -> str:
    text = ipv6_text(packed)
    return f"::ffff:{int.from_bytes(packed[12:14]):x}:{int.from_bytes(packed[14:]):x}" if "." in text else text

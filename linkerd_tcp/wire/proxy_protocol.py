"""The PROXY protocol, versions 1 and 2: who the client of a connection is, said by the proxy in front.

From haproxy's doc/proxy-protocol.txt, revision 2026/04/27, followed to the letter; where it leaves a choice, the
docstring at the place says which was taken, and docs/proxy-protocol.md lists them beside those of other receivers.
Whether a header is to be expected, and from whom, is for configuration to say: a receiver must not guess.
"""

from typing import Final

from linkerd_tcp.wire.parsing import Incomplete, WireError
from linkerd_tcp.wire.proxy_protocol_header import Command, Endpoint, Family, Parsed, Transport
from linkerd_tcp.wire.proxy_protocol_tlv import Alpn, Authority, Netns, Ssl, Tlv, UniqueId, Unknown
from linkerd_tcp.wire.proxy_protocol_v1 import MAX_LINE_BYTES, build_v1, parse_v1
from linkerd_tcp.wire.proxy_protocol_v2 import FIXED_BYTES, SIGNATURE, build_local, build_v2, parse_v2

__all__ = [
    "MAX_HEADER_BYTES",
    "MIN_HEADER_BYTES",
    "Alpn",
    "Authority",
    "Command",
    "Endpoint",
    "Family",
    "Incomplete",
    "Netns",
    "Parsed",
    "Ssl",
    "Tlv",
    "Transport",
    "UniqueId",
    "Unknown",
    "WireError",
    "build_local",
    "build_v1",
    "build_v2",
    "parse",
]

MAX_HEADER_BYTES: Final = 4096
"""Of a version 2 header, unless the caller says otherwise: room for a client certificate of usual size."""

MIN_HEADER_BYTES: Final = len(b"PROXY UNKNOWN\r\n")
"""The shortest header there is."""


def parse(data: bytes | memoryview, max_bytes: int = MAX_HEADER_BYTES) -> Parsed | Incomplete:
    """The header that `data`, the first bytes of a connection, begins with; WireError if it begins with none.

    A version 2 header longer than `max_bytes` is an error too; a line of version 1 has its own limit of 107. So no
    `Incomplete.need` is above the larger of the two. What follows the header is never looked at.
    ValueError: `max_bytes` has no room for even the mandatory headers.
    """
    if max_bytes < FIXED_BYTES:
        raise ValueError(f"a header has {FIXED_BYTES} bytes or more, and max_bytes is {max_bytes}")
    if not data:
        return Incomplete(MIN_HEADER_BYTES)
    if data[0] == SIGNATURE[0]:
        return parse_v2(data, max_bytes)
    return parse_v1(bytes(data[:MAX_LINE_BYTES]))

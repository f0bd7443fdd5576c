"""The first message of TLS, read without taking part: which name is asked for, which protocols and versions.

RFC 8446 sections 4.1.2 and 5.1 (the message, its records), RFC 6066 section 3 (server_name), RFC 7301 (ALPN), RFC 8701
(GREASE). Where a hello is wrong in a part that is not used here, the endpoint is the one to say so.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from linkerd_tcp.wire.parsing import Incomplete, WireError

MAX_BYTES: Final = 16_384
"""Of a ClientHello with its record headers, first byte to last."""

MAX_NAME_BYTES: Final = 255
"""Of a server name, as OpenSSL has it; DNS allows 253."""

SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")
"""PostgreSQL's SSLRequest, all of it: its own length and the code 80877103, instead of a protocol version."""

_HANDSHAKE: Final = 0x16
_OTHER_RECORDS: Final = {0x14: "a ChangeCipherSpec", 0x15: "an alert", 0x17: "application data", 0x18: "a heartbeat"}
_RECORD_HEADER: Final = 5
_MAX_RECORD: Final = 1 << 14
_CLIENT_HELLO: Final = 1
_SHORTEST: Final = 4 + 2 + 32 + 1 + 4 + 2
"""Type and length, version, random, no session, one cipher suite, one compression method, no extensions."""

_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43
_HOST_NAME: Final = 0
_NAME: Final = re.compile(rb"[A-Za-z0-9._-]+")
_IPV4: Final = re.compile(rb"\d+(?:\.\d+){3}")
_SHOWN_BYTES: Final = 60

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client asks for.

    `server_name` is in lower case without a trailing dot (see `read_server_name`), None where none was sent.
    `alpn` is in the client's order, each protocol's bytes as Latin-1. `supported_versions` are wire numbers
    (0x0304 is TLS 1.3) in the client's order; of a client without that extension, the one version it names.
    GREASE values are left out of both. `length_bytes` counts from the first byte of the first record to the last
    of the message: what was sent after it is not part of it.
    """

    server_name: str | None
    alpn: tuple[str, ...]
    supported_versions: tuple[int, ...]
    length_bytes: int


def parse(data: Bytes) -> ClientHello | Incomplete:
    """The ClientHello that `data` begins with, over as many TLS records as it takes.

    `Incomplete.need` is exact within a record, and counts at least what must still come where more records follow.
    WireError: not TLS (at the first byte that shows it), another message, longer than MAX_BYTES, a length that does
    not fit, an extension sent twice, a server name that is none.
    """
    message = _join(data)
    return message if isinstance(message, Incomplete) else _read_hello(message)


def is_ssl_request(data: Bytes) -> bool | Incomplete:
    """Whether `data` begins with PostgreSQL's SSLRequest; False at the first byte that differs."""
    if not SSL_REQUEST.startswith(bytes(data[: len(SSL_REQUEST)])):
        return False
    return True if len(data) >= len(SSL_REQUEST) else Incomplete(len(SSL_REQUEST))


def read_server_name(name: bytes) -> str:
    """`name` in lower case, one trailing dot dropped.

    WireError, its offset counted from the start of the name, unless it is letters, digits, `-`, `_` and `.`
    alone, of at most 255 bytes, without an empty label, and no IPv4 address (RFC 6066 permits none).
    """
    if not 0 < len(name) <= MAX_NAME_BYTES:
        raise WireError(0, f"a server name of 1 to {MAX_NAME_BYTES} bytes", f"{len(name)} bytes")
    good = _NAME.match(name)
    if good is None or good.end() < len(name):
        at = 0 if good is None else good.end()
        raise WireError(at, "a server name of letters, digits, '-', '_' and '.' only", _shown(name))
    bare = name.removesuffix(b".")
    if b"" in bare.split(b"."):
        raise WireError(0, "a server name without an empty label", _shown(name))
    if _IPV4.fullmatch(bare):
        raise WireError(0, "a server name, which no address is (RFC 6066)", _shown(name))
    return bare.decode("ascii").lower()


def _shown(data: bytes) -> str:
    """Bytes of a stranger for a message: printable ASCII, cut."""
    return repr(data[:_SHOWN_BYTES])[1:] + ("..." if len(data) > _SHOWN_BYTES else "")


# -- records


@dataclass(frozen=True, slots=True)
class _Message:
    """A handshake message taken out of its records."""

    body: bytes
    fragments: list[tuple[int, int]]
    """Where each record's part begins: (in `body`, in what was received)."""
    end: int

    def received_at(self, index: int) -> int:
        """The index in what was received of `body[index]`."""
        start, received = self.fragments[bisect_right(self.fragments, index, key=lambda part: part[0]) - 1]
        return received + index - start


def _join(data: Bytes) -> _Message | Incomplete:
    """The first handshake message of `data`, which must be a ClientHello; its inside is not looked at."""
    if not data:
        return Incomplete(1)  # one byte mostly tells TLS from everything else
    body = bytearray()
    fragments: list[tuple[int, int]] = []
    size = _SHORTEST
    at = 0
    while True:
        length = _record_length(data, at)
        if length is None:
            return Incomplete(at + _RECORD_HEADER + size - len(body))
        start, had = at + _RECORD_HEADER, len(body)
        fragments.append((had, start))
        body += data[start : start + length]
        size = _message_size(body, fragments, size)
        missing = size - had
        # What does not fit into this record comes in one more at least.
        end = start + missing + (_RECORD_HEADER if missing > length else 0)
        if end > MAX_BYTES:
            raise WireError(fragments[0][1], f"a ClientHello of at most {MAX_BYTES} bytes", f"{end} bytes or more")
        if len(body) >= size:
            return _Message(bytes(body[:size]), fragments, end)
        if len(data) < start + length:
            return Incomplete(end)
        at = start + length


def _record_length(data: Bytes, at: int) -> int | None:
    """How many bytes the record at `at` holds, None while its header is incomplete."""
    header = bytes(data[at : at + _RECORD_HEADER])
    if header and header[0] != _HANDSHAKE:
        raise WireError(at, "a TLS handshake record (0x16)", _not_a_handshake(header[0], first=at == 0))
    # The minor version says nothing (RFC 8446 5.1: ignored for all purposes); the major tells other protocols apart.
    if len(header) > 1 and header[1] != 3:
        raise WireError(at + 1, "major version 3 of a TLS record", f"0x{header[1]:02x}: not TLS")
    if len(header) < _RECORD_HEADER:
        return None
    length = int.from_bytes(header[3:], "big")
    if not 0 < length <= _MAX_RECORD:
        raise WireError(at + 3, f"a handshake record of 1 to {_MAX_RECORD} bytes", str(length))
    return length


def _not_a_handshake(byte: int, *, first: bool) -> str:
    if byte in _OTHER_RECORDS:
        return f"0x{byte:02x}, {_OTHER_RECORDS[byte]}"
    if not first:
        return f"0x{byte:02x}"
    text = f" {chr(byte)!r}" if 0x20 < byte < 0x7F else ""
    return f"0x{byte:02x}{text}: not TLS" + (", or as old as SSLv2" if byte & 0x80 else "")


def _message_size(body: bytearray, fragments: list[tuple[int, int]], unknown: int) -> int:
    """Bytes of the handshake message that `body` begins, its header included; `unknown` until that is there."""
    if body and body[0] != _CLIENT_HELLO:
        raise WireError(fragments[0][1], "a ClientHello (1)", f"handshake message {body[0]}")
    if len(body) < 4:
        return unknown
    size = 4 + int.from_bytes(body[1:4], "big")
    if size < _SHORTEST:
        raise WireError(
            _Message(b"", fragments, 0).received_at(1), f"a ClientHello of {_SHORTEST} bytes or more", str(size)
        )
    return size


# -- the message


class _Part:
    """A stretch of the message, read from its start. Reading past its end is a WireError."""

    __slots__ = ("_at", "_data", "_end", "_received_at", "what")

    def __init__(self, data: bytes, at: int, end: int, what: str, received_at: Callable[[int], int]) -> None:
        self._data = data
        self._at = at
        self._end = end
        self._received_at = received_at
        self.what = what

    @property
    def left(self) -> int:
        return self._end - self._at

    def wrong(self, expected: str, found: str) -> WireError:
        """The error that the next byte begins something wrong."""
        return WireError(self.spot(), expected, found)

    def spot(self, ahead: int = 0) -> int:
        """Where the next byte, or one `ahead` of it, is in what was received."""
        return self._received_at(self._at + ahead)

    def take(self, size: int, what: str) -> bytes:
        if size > self.left:
            raise self.wrong(f"{what}, {size} bytes", f"{self.left} left in {self.what}")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "big")

    def vector(self, size: int, what: str, *, least: int = 0, most: int | None = None, unit: int = 1) -> "_Part":
        """A part with its length, of `size` bytes, before it (RFC 8446 section 3.4)."""
        if size > self.left:
            raise self.wrong(f"the length of {what}", f"{self.left} bytes left in {self.what}")
        length = int.from_bytes(self._data[self._at : self._at + size], "big")
        if length > self.left - size:
            raise self.wrong(f"{what} within {self.what}", f"{length} bytes where {self.left - size} are left")
        if length < least or (most is not None and length > most) or length % unit:
            size_text = (
                f"at least {least} byte{'s' if least > 1 else ''}" if most is None else f"{least} to {most} bytes"
            )
            raise self.wrong(f"{what} of {size_text}{', an even number' if unit == 2 else ''}", str(length))
        part = _Part(self._data, self._at + size, self._at + size + length, what, self._received_at)
        self._at += size + length
        return part

    def rest(self) -> bytes:
        return self.take(self.left, self.what)

    def end(self) -> None:
        if self.left:
            raise self.wrong(f"the end of {self.what}", f"{self.left} more byte{'s' if self.left > 1 else ''}")


def _read_hello(message: _Message) -> ClientHello:
    hello = _Part(message.body, 4, len(message.body), "the ClientHello", message.received_at)
    version = hello.number(2, "the version")
    hello.take(32, "the random")
    hello.vector(1, "the session id", most=32)
    hello.vector(2, "the cipher suites", least=2, unit=2)
    hello.vector(1, "the compression methods", least=1)
    name: str | None = None
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = (version,)
    for number, extension in _extensions(hello):
        if number == _SERVER_NAME:
            name = _host_name(extension)
        elif number == _ALPN:
            alpn = tuple(_protocols(extension))
        elif number == _SUPPORTED_VERSIONS:
            versions = tuple(_versions(extension))
    return ClientHello(name, alpn, versions, message.end)


def _extensions(hello: _Part) -> Iterator[tuple[int, _Part]]:
    """Each (number, content). All of them are outlined, GREASE and unknown ones too, whether or not they are used."""
    if not hello.left:
        return  # TLS 1.2 allows a hello without
    extensions = hello.vector(2, "the extensions")
    hello.end()
    seen: set[int] = set()
    while extensions.left:
        spot = extensions.spot()
        number = extensions.number(2, "an extension's type")
        if number in seen:
            raise WireError(spot, "each extension once", f"extension {number} again")
        seen.add(number)
        yield number, extensions.vector(2, f"extension {number}")


def _host_name(extension: _Part) -> str | None:
    """The one host_name; names of other types, should there ever be any, are skipped (RFC 6066 section 3)."""
    names = extension.vector(2, "the list of server names", least=1)
    extension.end()
    found = None
    while names.left:
        spot = names.spot()
        kind = names.number(1, "a name's type")
        name = names.vector(2, "a server name", least=1)
        if kind != _HOST_NAME:
            continue
        if found is not None:
            raise WireError(spot, "one host name", "a second one")
        text = name.rest()
        try:
            found = read_server_name(text)
        except WireError as error:
            raise WireError(name.spot(error.offset - len(text)), error.expected, error.found) from None
    return found


def _protocols(extension: _Part) -> Iterator[str]:
    protocols = extension.vector(2, "the list of ALPN protocols", least=2)
    extension.end()
    while protocols.left:
        name = protocols.vector(1, "an ALPN protocol", least=1).rest()
        if not (len(name) == 2 and _is_grease(int.from_bytes(name, "big"))):
            yield name.decode("latin-1")


def _versions(extension: _Part) -> Iterator[int]:
    versions = extension.vector(1, "the supported versions", least=2, most=254, unit=2)
    extension.end()
    while versions.left:
        version = versions.number(2, "a version")
        if not _is_grease(version):
            yield version


def _is_grease(value: int) -> bool:
    """0x0a0a, 0x1a1a, ... 0xfafa: sent so that servers keep ignoring what they do not know (RFC 8701)."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF

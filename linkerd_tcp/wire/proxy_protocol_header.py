"""What a PROXY protocol header says, whichever version wrote it."""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, TypeAlias, TypeVar, final

from linkerd_tcp.wire.proxy_protocol_tlv import Alpn, Authority, Netns, Ssl, Tlv, UniqueId

Endpoint: TypeAlias = tuple[str, int]
"""(IP address, port), as getpeername gives it."""

MAX_PORT: Final = 65535

_MAPPED: Final = bytes(10) + b"\xff\xff"
_T = TypeVar("_T", Alpn, Authority, Netns, Ssl, UniqueId)


@final
class Command(IntEnum):
    """LOCAL: the sender speaks for itself (a health check). PROXY: it passes a client's connection on."""

    LOCAL = 0
    PROXY = 1


@final
class Family(IntEnum):
    """The kind of address that the client used."""

    UNSPEC = 0
    INET = 1
    INET6 = 2
    UNIX = 3


@final
class Transport(IntEnum):
    """The kind of socket that the client used."""

    UNSPEC = 0
    STREAM = 1
    DGRAM = 2


@dataclass(frozen=True, slots=True)
class Parsed:
    """A complete header: the first `header_length` bytes, and nothing of what follows them.

    `source` and `destination` are the client's connection. Both None: use the real addresses. So it is with LOCAL, with
    a version 1 UNKNOWN, and with every version 2 combination other than TCP and UDP over IPv4 and IPv6 (UNIX paths
    among them: a receiver that has no use for a combination falls back to UNSPEC). `family` and `transport` are what
    was announced, UNSPEC for LOCAL.

    `tlvs` are in the order in which they came, without NOOP and without the checksum, which was right if it was there.
    Of several of one type the properties give the first. LOCAL and UNSPEC headers have none: their block is skipped.
    """

    header_length: int
    version: Literal[1, 2]
    command: Command
    source: Endpoint | None = None
    destination: Endpoint | None = None
    tlvs: tuple[Tlv, ...] = ()
    family: Family = Family.UNSPEC
    transport: Transport = Transport.UNSPEC

    @property
    def authority(self) -> str | None:
        """The host name that the client asked for."""
        tlv = self._first(Authority)
        return tlv.name if tlv else None

    @property
    def alpn(self) -> bytes | None:
        """The application protocol."""
        tlv = self._first(Alpn)
        return tlv.protocol if tlv else None

    @property
    def unique_id(self) -> bytes | None:
        """The first proxy's name for this connection."""
        tlv = self._first(UniqueId)
        return tlv.value if tlv else None

    @property
    def ssl(self) -> Ssl | None:
        """How the client spoke TLS with the first proxy."""
        return self._first(Ssl)

    @property
    def netns(self) -> str | None:
        """The sender's network namespace."""
        tlv = self._first(Netns)
        return tlv.name if tlv else None

    def _first(self, kind: type[_T]) -> _T | None:
        return next((tlv for tlv in self.tlvs if isinstance(tlv, kind)), None)


def ipv4_text(packed: bytes) -> str:
    """Four bytes as dotted decimals."""
    return ".".join(map(str, packed))


def ipv6_text(packed: bytes) -> str:
    """Sixteen bytes as inet_ntop writes them: mapped IPv4 as `::ffff:127.0.0.1`, as str() does from Python 3.13."""
    if packed.startswith(_MAPPED):
        return f"::ffff:{ipv4_text(packed[12:])}"
    return str(IPv6Address(packed))


def one_family(source: Endpoint, destination: Endpoint) -> tuple[Family, bytes, bytes]:
    """Both addresses packed, as IPv4 if both are, else as IPv6 with an IPv4 one mapped, as HAProxy does it.

    A scope (`%eth0`) is left out: it means nothing on another machine. ValueError for what is no IP address or port.
    """
    for _, port in (source, destination):
        if not 0 <= port <= MAX_PORT:
            raise ValueError(f"a port is at most {MAX_PORT}, not {port}")
    ends = [ip_address(host.partition("%")[0]) for host, _ in (source, destination)]
    if all(isinstance(end, IPv4Address) for end in ends):
        return Family.INET, ends[0].packed, ends[1].packed
    packed = [_MAPPED + end.packed if isinstance(end, IPv4Address) else end.packed for end in ends]
    return Family.INET6, packed[0], packed[1]

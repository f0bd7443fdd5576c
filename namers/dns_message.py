"""DNS messages: a query as bytes, and what a reply says to it.

The sections of a reply are read here and not by dnspython's own reader: that takes 25 ms for a thousand records in
one go, in which no connection of the loop would move a byte. Names and record data are dnspython's; the modules of
the types are imported here, because it would import them with the first answer.
"""

import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV
from dns.name import Name
from dns.rdataclass import IN
from dns.rdatatype import AAAA, CNAME, NS, OPT, SOA, SRV, A, RdataType

EDNS_BYTES: Final = 1232
"""What a server may send in one datagram: fits every path without fragments (DNS Flag Day 2020)."""

PAUSE_EVERY: Final = 32
MAX_ALIASES: Final = 16
MAX_TTL_SECS: Final = 2**31 - 1

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5

_HEADER: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_RESPONSE, _OPCODE, _TRUNCATED, _RCODE = 0x8000, 0x7800, 0x0200, 0x000F
_WANTED: Final = frozenset({A, AAAA, SRV, CNAME, SOA})


class Malformed(ValueError):
    """Bytes that are no DNS message, or none that answers the question."""


class Service(NamedTuple):
    """One SRV record. `target` is a name in lower case with its last dot; `.` says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said. `data` are addresses as text, or Services, as they came.

    `alias` is where a chain of CNAMEs ends that the server did not follow: that name has to be asked for.
    `ttl_secs` is the shortest along the chain; without data, how long that may be believed, 0 where nothing is said.
    """

    rcode: int
    truncated: bool = False
    data: tuple[Any, ...] = ()
    ttl_secs: int = 0
    alias: Name | None = None
    is_referral: bool = False
    """No answer, but other servers to ask: this one does not know and does not ask for us."""


Reading = Generator[None, None, Reply]


def query(number: int, name: Name, rdtype: RdataType, *, edns: bool) -> bytes:
    """A recursive query of the internet class."""
    message = dns.message.make_query(name, rdtype, IN, id=number, use_edns=0 if edns else False, payload=EDNS_BYTES)
    return message.to_wire()


def is_reply_to(number: int, data: bytes) -> bool:
    """Whether `data` begins as a reply to the query of that number: all that has to be looked at of most wrong ones."""
    if len(data) < _HEADER.size:
        return False
    theirs, flags = struct.unpack_from("!HH", data)
    return theirs == number and bool(flags & _RESPONSE) and not flags & _OPCODE


def read(data: bytes, name: Name, rdtype: RdataType) -> Reading:
    """What `data` says to the question; a generator that pauses. Malformed."""
    try:
        return (yield from _read(data, name, rdtype))
    except (dns.exception.DNSException, struct.error, ValueError, IndexError) as error:
        raise Malformed(str(error) or type(error).__name__) from None


class _Record(NamedTuple):
    owner: Name
    rdtype: int
    ttl_secs: int
    rdata: Any


def _read(data: bytes, name: Name, rdtype: RdataType) -> Reading:
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    rcode = flags & _RCODE
    at = _question(data, questions, name, rdtype, rcode)
    if flags & _TRUNCATED:
        return Reply(rcode, truncated=True)
    answer: list[_Record] = []
    authority: list[_Record] = []
    for section, number in ((answer, answers), (authority, authorities), ([], additional)):
        for _ in range(number):
            record, at = _record(data, at)
            if record.rdtype == OPT:
                rcode |= (record.ttl_secs >> 24) << 4
            section.append(record)
            if len(section) % PAUSE_EVERY == 0:
                yield
    return (yield from _said(rcode, answer, authority, name, rdtype))


def _question(data: bytes, questions: int, name: Name, rdtype: RdataType, rcode: int) -> int:
    """Where the question ends, which has to be ours."""
    if questions == 0 and rcode not in (NOERROR, NXDOMAIN):
        return _HEADER.size  # a server that did not understand may leave it out
    if questions != 1:
        raise Malformed(f"{questions} questions in the answer")
    asked, length = dns.name.from_wire(data, _HEADER.size)
    at = _HEADER.size + length
    if (asked, *struct.unpack_from("!HH", data, at)) != (name, rdtype, IN):
        raise Malformed("an answer to another question")
    return at + 4


def _record(data: bytes, at: int) -> tuple[_Record, int]:
    owner, length = dns.name.from_wire(data, at)
    at += length
    rdtype, rdclass, ttl_secs, length = _RECORD.unpack_from(data, at)
    at += _RECORD.size
    if at + length > len(data):
        raise Malformed("a record is longer than its message")
    rdata = None
    if rdclass == IN and rdtype in _WANTED:
        rdata = dns.rdata.from_wire(IN, rdtype, data, at, length)
    elif rdtype not in (OPT, NS):
        rdtype = 0  # nothing of ours
    # A time to live with the highest bit set is none (RFC 2181, 8); of OPT these bits are something else.
    lives_secs = ttl_secs if rdtype == OPT or ttl_secs <= MAX_TTL_SECS else 0
    return _Record(owner, rdtype, lives_secs, rdata), at + length


def _said(rcode: int, answer: list[_Record], authority: list[_Record], name: Name, rdtype: RdataType) -> Reading:
    aliases = {record.owner: record for record in answer if record.rdtype == CNAME}
    final, ttl_secs = name, MAX_TTL_SECS
    for _ in range(MAX_ALIASES):
        alias = aliases.get(final)
        if alias is None:
            break
        final, ttl_secs = alias.rdata.target, min(ttl_secs, alias.ttl_secs)
    else:
        raise Malformed(f"more than {MAX_ALIASES} aliases one after another")
    found: list[Any] = []
    for number, record in enumerate(answer):
        if record.rdtype == rdtype and record.owner == final:
            found.append(_value(record.rdata, rdtype))
            ttl_secs = min(ttl_secs, record.ttl_secs)
        if number % PAUSE_EVERY == 0:
            yield
    if found:
        return Reply(rcode, data=tuple(found), ttl_secs=ttl_secs)
    ends = [record for record in authority if record.rdtype == SOA]
    if not ends and rcode == NOERROR and final != name:
        return Reply(rcode, alias=final, ttl_secs=ttl_secs)
    # RFC 2308: how long "there is none" holds is the lesser of the SOA's own life and its last number.
    negative_secs = min((min(each.ttl_secs, each.rdata.minimum) for each in ends), default=0)
    referral = not ends and rcode == NOERROR and any(record.rdtype == NS for record in authority)
    return Reply(rcode, ttl_secs=min(negative_secs, ttl_secs), is_referral=referral)


def _value(rdata: Any, rdtype: RdataType) -> Any:
    if rdtype == SRV:
        return Service(rdata.priority, rdata.weight, rdata.port, rdata.target.to_text().lower())
    return rdata.address

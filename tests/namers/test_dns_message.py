import random
from collections.abc import Callable
from contextlib import suppress

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from dns.rdatatype import AAAA, SRV, A, RdataType
from hypothesis import given
from hypothesis import strategies as st

from namers.dns_message import (
    NXDOMAIN,
    Malformed,
    Reply,
    Service,
    is_reply_to,
    query,
    read,
)

WEB = dns.name.from_text("web.example.")


def reply(*answer: str, rdtype: RdataType = A, authority: tuple[str, ...] = (), rcode: int = 0) -> bytes:
    """A reply to a question about web.example; each record as `owner ttl type value`."""
    message = dns.message.make_response(dns.message.make_query(WEB, rdtype, id=7))
    message.set_rcode(dns.rcode.Rcode.make(rcode))
    for section, records in ((message.answer, answer), (message.authority, authority)):
        for record in records:
            owner, ttl, kind, value = record.split(" ", 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, value))
    return message.to_wire()


def said(data: bytes, rdtype: RdataType = A) -> Reply:
    reading = read(data, WEB, rdtype)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


def test_a_query_is_recursive_has_edns_and_is_understood() -> None:
    message = dns.message.from_wire(query(77, WEB, A, edns=True))
    assert (message.id, message.edns, message.payload) == (77, 0, 1232)
    assert message.flags & dns.flags.RD
    assert [(str(each.name), each.rdtype) for each in message.question] == [("web.example.", A)]
    assert dns.message.from_wire(query(77, WEB, A, edns=False)).edns == -1


@pytest.mark.parametrize(
    ("rdtype", "record", "expected"),
    [
        (A, "web.example. 30 A 10.0.0.1", "10.0.0.1"),
        (AAAA, "web.example. 30 AAAA fd00::1", "fd00::1"),
        (SRV, "web.example. 30 SRV 1 2 3 A.example.", Service(1, 2, 3, "a.example.")),
        (A, "WEB.eXample. 30 A 10.0.0.1", "10.0.0.1"),
    ],
)
def test_records_of_each_type_are_read(rdtype: RdataType, record: str, expected: object) -> None:
    assert said(reply(record, rdtype=rdtype), rdtype) == Reply(0, data=(expected,), ttl_secs=30)


def test_a_chain_of_aliases_is_followed_and_lives_as_long_as_its_shortest_part() -> None:
    chain = ("web.example. 30 CNAME a.example.", "a.example. 20 CNAME b.example.", "b.example. 40 A 10.0.0.1")
    assert said(reply(*chain)) == Reply(0, data=("10.0.0.1",), ttl_secs=20)
    assert said(reply(*reversed(chain))) == Reply(0, data=("10.0.0.1",), ttl_secs=20)


def test_records_of_other_names_are_no_answer() -> None:
    assert said(reply("other.example. 30 A 10.0.0.1")).data == ()


def test_an_alias_that_leads_out_of_the_answer_has_to_be_asked_for() -> None:
    assert said(reply("web.example. 30 CNAME a.example.")) == Reply(
        0, alias=dns.name.from_text("a.example."), ttl_secs=30
    )


def test_none_holds_for_the_lesser_of_the_soas_life_and_its_minimum() -> None:
    soa = "example. {} SOA ns.example. admin.example. 1 3600 600 86400 {}"
    assert said(reply(authority=(soa.format(60, 20),), rcode=NXDOMAIN)) == Reply(NXDOMAIN, ttl_secs=20)
    assert said(reply(authority=(soa.format(10, 20),))) == Reply(0, ttl_secs=10)
    assert said(reply(rcode=NXDOMAIN)) == Reply(NXDOMAIN, ttl_secs=0)


def test_other_servers_to_ask_are_no_answer() -> None:
    assert said(reply(authority=("example. 60 NS ns.elsewhere.",))).is_referral


def test_a_life_with_its_highest_bit_set_is_none() -> None:
    data = reply("web.example. 30 A 10.0.0.1")
    assert said(data.replace(b"\0\0\0\x1e", b"\xff\0\0\0")).ttl_secs == 0


def test_the_higher_bits_of_a_code_are_in_the_opt_record() -> None:
    message = dns.message.make_response(dns.message.make_query(WEB, A, use_edns=0))
    message.set_rcode(dns.rcode.BADVERS)
    assert said(message.to_wire()).rcode == dns.rcode.BADVERS


def test_a_truncated_reply_says_so_and_no_more() -> None:
    data = bytearray(reply("web.example. 30 A 10.0.0.1"))
    data[2] |= 2
    assert said(bytes(data)) == Reply(0, truncated=True)
    assert said(bytes(data[:30]) + b"\xff" * 20) == Reply(0, truncated=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data[:4] + b"\0\2" + data[6:],
        lambda data: data[:4] + b"\0\0" + data[6:],
        lambda data: data[:6] + b"\xff\xff" + data[8:],
        lambda data: data.replace(b"\3web", b"\3wev"),
        lambda data: data.replace(b"\0\4\x0a", b"\0\3\x0a"),
        lambda data: data.replace(b"\0\4\x0a", b"\xff\xff\x0a"),
        lambda data: data.replace(b"\xc0\x0c", b"\xff\xff"),
        lambda data: data.replace(b"\xc0\x0c", b"\x80\x0c"),
    ],
)
def test_what_is_no_reply_to_the_question_is_malformed(spoil: Callable[[bytes], bytes]) -> None:
    data = reply("web.example. 30 A 10.0.0.1")
    assert spoil(data) != data
    with pytest.raises(Malformed):
        said(spoil(data))


def test_a_loop_of_aliases_is_malformed() -> None:
    with pytest.raises(Malformed, match="aliases"):
        said(reply("web.example. 30 CNAME a.example.", "a.example. 30 CNAME web.example."))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    is_reply_to(7, data)
    with suppress(Malformed):
        said(data)


def test_a_spoilt_reply_is_read_or_malformed() -> None:
    rng = random.Random(1)
    chain = ("web.example. 30 CNAME a.example.", "a.example. 20 A 10.0.0.1", "a.example. 20 A 10.0.0.2")
    good = reply(*chain, authority=("example. 60 NS ns.elsewhere.",))
    for _ in range(5000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with suppress(Malformed):
            said(bytes(data))


def test_only_a_reply_of_that_number_is_looked_at() -> None:
    data = reply("web.example. 30 A 10.0.0.1")
    assert is_reply_to(7, data)
    assert not is_reply_to(8, data)
    assert not is_reply_to(7, query(7, WEB, A, edns=True))
    assert not is_reply_to(7, data[:11])
    assert not is_reply_to(7, data[:2] + b"\xa8" + data[3:])  # another opcode


def test_a_thousand_records_are_read_in_short_turns() -> None:
    message = dns.message.make_response(dns.message.make_query(WEB, A, id=7))
    addresses = [f"10.0.{index // 250}.{index % 250}" for index in range(1000)]
    message.answer.append(dns.rrset.from_text_list(WEB, 30, "IN", "A", addresses))
    pauses = list(read(message.to_wire(max_size=65535), WEB, A))
    assert len(pauses) >= 1000 / 32
    assert set(said(message.to_wire(max_size=65535)).data) == set(addresses)

"""Version 2 and its TLVs: what is built, and what is read of it."""

import pytest

from linkerd_tcp.wire.parsing import WireError
from linkerd_tcp.wire.proxy_protocol import (
    Alpn,
    Authority,
    Command,
    Netns,
    Parsed,
    Ssl,
    Tlv,
    UniqueId,
    Unknown,
    build_local,
    build_v2,
    parse,
)

CLIENT = ("192.0.2.1", 56324)
SERVER = ("198.51.100.2", 443)


def parsed(*tlvs: Tlv, crc32c: bool = True) -> Parsed:
    answer = parse(build_v2(CLIENT, SERVER, tlvs, crc32c))
    assert isinstance(answer, Parsed)
    return answer


def test_the_bytes_of_the_smallest_header() -> None:
    header = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c0000201 c6336402 dc04 01bb")
    assert build_v2(CLIENT, SERVER, crc32c=False) == header


def test_a_local_header_has_no_addresses_and_its_receiver_uses_the_real_ones() -> None:
    assert build_local() == bytes.fromhex("0d0a0d0a000d0a515549540a 20 00 0000")
    assert parse(build_local()) == Parsed(16, 2, Command.LOCAL)


def test_an_ipv4_end_beside_an_ipv6_one_is_mapped() -> None:
    answer = parse(build_v2(("192.0.2.1", 1), ("2001:db8::1%eth0", 2)))
    assert isinstance(answer, Parsed)
    assert (answer.source, answer.destination) == (("::ffff:192.0.2.1", 1), ("2001:db8::1", 2))


@pytest.mark.parametrize("position", [*range(12), *range(14, 58)])
def test_no_byte_can_change_under_the_checksum(position: int) -> None:
    """A changed bit is seen: by the checksum, or by what it means, or more is asked for.

    Not so in bytes 12 and 13: PROXY becomes LOCAL, STREAM becomes UNSPEC, and then the TLVs are skipped unread.
    """
    header = bytearray(build_v2(CLIENT, SERVER, [Authority("www.example.com"), Unknown(0xE0, b"12")]))
    assert len(header) == 58
    header[position] ^= 0x01
    try:
        assert not isinstance(parse(bytes(header)), Parsed)
    except WireError:
        return


def test_the_properties_give_the_first_of_each_type() -> None:
    tlvs = [Alpn(b"h2"), Authority("a"), UniqueId(b"1"), Netns("blue"), Ssl(1, 0), Unknown(0xE0, b"")]
    again = [Alpn(b"h3"), Authority("b"), UniqueId(b"2"), Netns("red"), Ssl(2, 0), Unknown(0xE0, b"x")]
    answer = parsed(*tlvs, *again)
    assert answer.tlvs == (*tlvs, *again)
    assert (answer.alpn, answer.authority, answer.unique_id, answer.netns) == (b"h2", "a", b"1", "blue")
    assert answer.ssl == Ssl(1, 0)


def test_the_properties_of_a_header_without_tlvs_are_none() -> None:
    answer = parsed()
    assert (answer.alpn, answer.authority, answer.unique_id, answer.netns, answer.ssl) == (None,) * 5


def test_an_empty_value_is_not_an_absent_one() -> None:
    answer = parsed(Authority(""), Alpn(b""), UniqueId(b""))
    assert (answer.authority, answer.alpn, answer.unique_id) == ("", b"", b"")


def test_noop_and_checksum_are_not_among_the_tlvs() -> None:
    assert parsed(Unknown(0x04, b"padding"), Authority("a")).tlvs == (Authority("a"),)


def test_of_repeated_sub_tlvs_the_first_counts_and_none_is_lost() -> None:
    others = (Unknown(0x22, b"second"), Unknown(0x28, b"DER 2"), Unknown(0x2F, b"new"))
    ssl = Ssl(3, 0, common_name="first", client_cert=b"DER", others=others)
    assert parsed(ssl).ssl == ssl


@pytest.mark.parametrize(
    ("client", "verify", "verified"),
    [(1, 0, False), (3, 0, True), (5, 0, True), (7, 1, False), (0, 0, False), (1, 1, False)],
)
def test_verified_needs_a_certificate_and_a_good_result(client: int, verify: int, verified: bool) -> None:
    assert Ssl(client, verify).verified is verified


@pytest.mark.parametrize(
    ("tlv", "why"),
    [
        (UniqueId(bytes(129)), "at most 128 bytes, not 129"),
        (Unknown(0x03, bytes(4)), "checksum is computed"),
        (Unknown(0x100, b""), "one byte, not 256"),
        (Unknown(0xE0, bytes(65536)), "at most 65535 bytes, not 65536"),
        (Unknown(0xE0, bytes(65535)), "at most 65535 bytes, not 65557"),
        (Ssl(256, 0), "client is one byte"),
        (Ssl(0, -1), "verify are four"),
        (Ssl(0, 0, version="é"), "ascii"),
        (Netns("é"), "ascii"),
        (Authority("\ud800"), "surrogates"),
    ],
)
def test_what_a_tlv_may_not_hold_is_not_written(tlv: Tlv, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        build_v2(CLIENT, SERVER, [tlv])


def test_an_error_shows_no_byte_that_a_terminal_would_obey() -> None:
    header = build_v2(CLIENT, SERVER, [Authority("x")], crc32c=False)[:-1] + b"\x9b"
    with pytest.raises(WireError) as raised:
        parse(header)
    assert str(raised.value) == "byte 31: expected UTF-8 text, found 0x9b"
    with pytest.raises(WireError) as raised:
        parse(b"PROXY \x1b[2J\r\n")
    assert str(raised.value).isprintable()

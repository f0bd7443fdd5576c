"""Whatever arrives, the answer is a header, or a bounded wish for more, or a WireError; and what is built is read."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.wire.parsing import Incomplete, WireError
from linkerd_tcp.wire.proxy_protocol import (
    MAX_HEADER_BYTES,
    Alpn,
    Authority,
    Netns,
    Parsed,
    Ssl,
    Tlv,
    UniqueId,
    Unknown,
    build_v1,
    build_v2,
    parse,
)
from tests.wire.proxy_protocol_corpus import cases

LONGEST_LINE = 107

headers = st.sampled_from([case.data for folder in ("valid", "invalid") for case in cases(folder)])
words = st.sampled_from(
    [b"PROXY", b"TCP4", b"TCP6", b"UNKNOWN", b"192.0.2.1", b"::1", b"443", b" ", b"\r\n", b"\r", b"\n"]
)
lines = st.lists(words | st.binary(max_size=3), max_size=14).map(b"".join)
# A true beginning, so that what is behind the signature is reached; lengths that are near the truth among them.
binary_headers = st.builds(
    lambda head, length, rest: b"\r\n\r\n\0\r\nQUIT\n" + head + length.to_bytes(2) + rest,
    st.sampled_from([b"\x21\x11", b"\x21\x21", b"\x21\x31", b"\x21\x00", b"\x20\x11"])
    | st.binary(min_size=2, max_size=2),
    st.integers(0, 0xFFFF) | st.integers(0, 64),
    st.binary(max_size=80),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A header of the corpus after one to four accidents."""
    data = bytearray(draw(headers))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        accident = draw(st.sampled_from(["flip", "truncate", "insert", "delete", "length", "repeat"]))
        if accident == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif accident == "truncate":
            del data[at:]
        elif accident == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=5))
        elif accident == "delete":
            del data[at : at + draw(st.integers(1, 5))]
        elif accident == "length" and len(data) >= 16:
            # Of the header, or of the first TLV of TCP over IPv4 where there is one.
            field = draw(st.sampled_from([14, 29]))
            data[field : field + 2] = draw(st.integers(0, 0xFFFF) | st.integers(0, 300)).to_bytes(2)
        elif accident == "repeat":
            data[at:at] = data[at : at + 20]
    return bytes(data)


def outcome(data: bytes) -> Parsed | Incomplete | WireError:
    try:
        return parse(data)
    except WireError as error:
        return error


def check(data: bytes) -> None:
    answer = outcome(data)
    if isinstance(answer, WireError):
        assert 0 <= answer.offset <= len(data)
        assert str(answer).isascii()
        assert str(answer).isprintable()
        assert len(str(answer)) < 600
        return
    if isinstance(answer, Incomplete):
        assert len(data) < answer.need <= max(LONGEST_LINE, MAX_HEADER_BYTES)
        return
    assert isinstance(answer, Parsed)
    assert 15 <= answer.header_length <= len(data)
    assert parse(data[: answer.header_length]) == answer
    assert (answer.source is None) == (answer.destination is None)
    for length in range(answer.header_length):
        assert isinstance(parse(data[:length]), Incomplete)
    for end in (answer.source, answer.destination):
        if end is not None:
            (IPv6Address if ":" in end[0] else IPv4Address)(end[0])
            assert 0 <= end[1] <= 65535


@given(st.binary(max_size=200))
def test_garbage_has_one_of_three_answers(data: bytes) -> None:
    check(data)


@given(lines)
def test_lines_of_likely_words_have_one_of_three_answers(data: bytes) -> None:
    check(data)
    check(b"PROXY TCP4 " + data)
    check(b"PROXY TCP6 " + data)


@given(binary_headers)
def test_binary_headers_of_any_content_have_one_of_three_answers(data: bytes) -> None:
    check(data)


@given(mutated())
def test_damaged_headers_have_one_of_three_answers(data: bytes) -> None:
    check(data)


ports = st.integers(0, 65535)
ipv4 = st.tuples(st.ip_addresses(v=4).map(str), ports)
ipv6 = st.tuples(st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None).map(str), ports)
pairs = st.tuples(ipv4, ipv4) | st.tuples(ipv6, ipv6)
ascii_text = st.text(st.characters(codec="ascii"), max_size=20)
utf8_text = st.text(st.characters(codec="utf-8"), max_size=20)
blobs = st.binary(max_size=40)
unknown = st.builds(Unknown, st.integers(0, 255).filter(lambda kind: kind not in {1, 2, 3, 4, 5, 0x20, 0x30}), blobs)
ssl_unknown = st.builds(Unknown, st.integers(0, 255).filter(lambda kind: not 0x21 <= kind <= 0x28), blobs)
ssl = st.builds(
    Ssl,
    st.integers(0, 255),
    st.integers(0, 0xFFFFFFFF),
    version=st.none() | ascii_text,
    common_name=st.none() | utf8_text,
    cipher=st.none() | ascii_text,
    signature_algorithm=st.none() | ascii_text,
    key_algorithm=st.none() | ascii_text,
    group=st.none() | ascii_text,
    signature_scheme=st.none() | ascii_text,
    client_cert=st.none() | blobs,
    others=st.lists(ssl_unknown, max_size=2).map(tuple),
)
tlvs = st.lists(
    st.builds(Alpn, blobs)
    | st.builds(Authority, utf8_text)
    | st.builds(UniqueId, st.binary(max_size=128))
    | st.builds(Netns, ascii_text)
    | ssl
    | unknown,
    max_size=5,
)


@given(pairs)
def test_a_built_line_is_read_back(ends: tuple[tuple[str, int], tuple[str, int]]) -> None:
    line = build_v1(*ends)
    answer = parse(line + b"x")
    assert isinstance(answer, Parsed)
    assert (answer.header_length, answer.source, answer.destination) == (len(line), *ends)


@given(pairs, tlvs, st.booleans())
def test_a_built_header_is_read_back(
    ends: tuple[tuple[str, int], tuple[str, int]], records: list[Tlv], crc32c: bool
) -> None:
    header = build_v2(*ends, records, crc32c)
    answer = parse(header + b"x")
    assert isinstance(answer, Parsed)
    assert (answer.header_length, answer.source, answer.destination) == (len(header), *ends)
    assert answer.tlvs == tuple(records)

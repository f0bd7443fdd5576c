"""Whatever arrives, in whatever pieces: a ClientHello, Incomplete or WireError, and the same one each time."""

import _ssl
import json
import ssl
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkerd_tcp.wire.client_hello import (
    MAX_BYTES,
    SSL_REQUEST,
    ClientHello,
    is_ssl_request,
    parse,
    read_server_name,
)
from linkerd_tcp.wire.parsing import Incomplete, WireError

CORPUS = Path(__file__).parent / "corpus/client_hello"


def stored(folder: str) -> list:
    """Each file: `# what it is`, `# expect: what comes out`, hex."""
    return [pytest.param(*_stored(path), id=path.stem) for path in sorted((CORPUS / folder).glob("*.hex"))]


def _stored(path: Path) -> tuple[bytes, str]:
    what, expect, *lines = path.read_text("ascii").splitlines()
    assert what.startswith("# ")
    return bytes.fromhex("".join(lines)), expect.removeprefix("# expect: ")


VALID = stored("valid")
INVALID = stored("invalid")
VALID_BYTES = [param.values[0] for param in VALID]


# -- hellos made here


def vector(size: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return len(content).to_bytes(size, "big") + content


def extension(number: int, content: bytes) -> bytes:
    return number.to_bytes(2, "big") + vector(2, content)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, *(bytes([kind]) + vector(2, name) for name in names)))


def alpn(*names: bytes) -> bytes:
    return extension(16, vector(2, *(vector(1, name) for name in names)))


def versions(*numbers: int) -> bytes:
    return extension(43, vector(1, *(number.to_bytes(2, "big") for number in numbers)))


def padding(size: int) -> bytes:
    return extension(21, bytes(size))


def message(*extensions: bytes) -> bytes:
    """The handshake message; without an extension it has not even the list of them."""
    body = b"\x03\x03" + bytes(range(32)) + vector(1, bytes(32)) + vector(2, b"\x13\x01\x13\x02") + vector(1, b"\0")
    if extensions:
        body += vector(2, *extensions)
    return b"\x01" + vector(3, body)


def records(content: bytes, *sizes: int) -> bytes:
    """`content` in records of `sizes`, the last one taking the rest."""
    out, at = b"", 0
    for size in (*sizes, len(content) - sum(sizes)):
        out += b"\x16\x03\x01" + vector(2, content[at : at + size])
        at += size
    return out


def hello(*extensions: bytes) -> bytes:
    return records(message(*extensions))


def ssl_hello(name: str | None = "www.example.com", protocols: tuple[str, ...] = ("h2",), **options: object) -> bytes:
    """What this Python's own ssl sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    for option, value in options.items():
        setattr(context, option, value)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def parsed(data: bytes) -> ClientHello:
    answer = parse(data)
    assert isinstance(answer, ClientHello)
    return answer


def wrong(data: bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        parse(data)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert 0 <= caught.value.offset <= len(data)
    return caught.value


# -- what clients send


@pytest.mark.parametrize(("data", "expect"), VALID)
def test_recorded_hellos_say_what_their_clients_were_told_to_ask_for(data, expect):
    found = parsed(data)
    assert json.loads(expect) == {
        "server_name": found.server_name,
        "alpn": list(found.alpn),
        "supported_versions": [f"{version:04x}" for version in found.supported_versions],
        "length_bytes": found.length_bytes,
    }


@pytest.mark.parametrize("name", ["www.example.com", "a", "xn--mnchen-3ya.example", "under_score.x-y.example", None])
@pytest.mark.parametrize("protocols", [(), ("h2",), ("h2", "http/1.1", "x" * 255)])
def test_a_hello_of_this_python_says_what_it_was_made_with(name, protocols):
    data = ssl_hello(name, protocols)
    assert parsed(data) == ClientHello(name, protocols, (0x0304, 0x0303), len(data))


def test_without_the_extension_the_one_version_counts():
    assert parsed(ssl_hello(maximum_version=ssl.TLSVersion.TLSv1_2)).supported_versions == (0x0303,)


def test_a_tls_server_sees_the_same_name_and_protocol():
    seen = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # gevent's own setter wraps the callback for its sockets, which an SSLObject is none of.
    _ssl._SSLContext.sni_callback.__set__(context, lambda _client, name, _context: seen.append(name))
    incoming = ssl.MemoryBIO()
    data = ssl_hello("Www.Example.com")
    incoming.write(data)
    with pytest.raises(ssl.SSLError):  # it has no certificate
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    assert [name.lower() for name in seen] == [parsed(data).server_name]


def test_what_is_sent_after_the_hello_is_not_looked_at():
    data = ssl_hello()
    for more in (b"\x14\x03\x03\0\1\1\x17\x03\x03", b"GET / HTTP/1.1", bytes(40_000)):
        assert parse(data + more) == parse(data)


def test_any_kind_of_bytes_will_do():
    data = ssl_hello()
    assert parse(bytearray(data)) == parse(memoryview(data)) == parse(data)


# -- in pieces


@pytest.mark.parametrize(("data", "_"), VALID)
def test_every_prefix_is_incomplete_and_needs_more_than_there_is_and_no_more_than_will_come(data, _):
    end = parsed(data).length_bytes
    for size in range(end):
        answer = parse(data[:size])
        assert isinstance(answer, Incomplete)
        assert size < answer.need <= end


@pytest.mark.parametrize(("data", "_"), VALID)
def test_waiting_for_what_is_needed_takes_few_steps(data, _):
    steps, size = 0, 0
    while isinstance(answer := parse(data[:size]), Incomplete):
        steps, size = steps + 1, answer.need
    assert answer == parsed(data)
    assert steps <= 2 + data.count(b"\x16\x03\x01")


def test_a_hello_cut_into_records_at_every_boundary_is_the_same_hello():
    content = message(server_name(b"www.example.com"), alpn(b"h2"), versions(0x0304))
    whole = parsed(records(content))
    for cut in range(1, len(content)):
        data = records(content, cut)
        found = parsed(data)
        assert (found.server_name, found.alpn, found.supported_versions) == ("www.example.com", ("h2",), (0x0304,))
        assert found.length_bytes == whole.length_bytes + 5 == len(data)


def test_a_hello_of_one_byte_records_is_read_and_asks_seldom():
    content = ssl_hello()[5:]
    data = records(content, *[1] * (len(content) - 1))
    answer, asked, size = parse(b""), 0, 0
    while isinstance(answer, Incomplete):
        assert size < answer.need <= len(data)
        asked, size = asked + 1, answer.need
        answer = parse(data[:size])
    assert answer == ClientHello("www.example.com", ("h2",), (0x0304, 0x0303), len(data))
    assert asked < 100


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_records_and_any_segments_give_the_same_hello(data):
    content = VALID_BYTES[-1][5:] if data.draw(st.booleans()) else message(server_name(b"a.example"), alpn(b"h2"))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(content) - 1), max_size=40)))
    stream = records(content, *(end - start for start, end in zip([0, *cuts], cuts, strict=False)))
    whole = parsed(stream)
    size = 0
    while size < len(stream):
        answer = parse(stream[:size])
        assert isinstance(answer, Incomplete)
        assert size < answer.need <= len(stream)
        size = min(len(stream), size + data.draw(st.integers(1, 400)))
    assert parse(stream) == whole


# -- the bound


def padded(size: int) -> bytes:
    """A hello of `size` bytes in one record."""
    return hello(server_name(b"a.example"), padding(size - len(hello(server_name(b"a.example"), padding(0)))))


def test_the_largest_hello_that_fits_is_read_and_one_byte_more_is_refused_at_once():
    data = padded(MAX_BYTES)
    assert len(data) == parsed(data).length_bytes == MAX_BYTES
    assert parse(data[:-1]) == Incomplete(MAX_BYTES)
    assert parse(data[:9]) == Incomplete(MAX_BYTES)
    error = wrong(padded(MAX_BYTES + 1)[:9])
    assert str(error) == "byte 5: expected a ClientHello of at most 16384 bytes, found 16385 bytes or more"


def test_the_bound_counts_every_record_header():
    content = padded(MAX_BYTES - 5)[5:]
    assert parsed(records(content, 100)).length_bytes == MAX_BYTES
    error = wrong(records(content, 100, 100))
    assert str(error) == "byte 5: expected a ClientHello of at most 16384 bytes, found 16389 bytes or more"


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_nobody_is_ever_asked_for_more_than_the_bound(tail):
    for head in (b"", b"\x16", b"\x16\x03\x01\x40\x00\x01\x00", b"\x16\x03\x01\x00\x04\x01\x00"):
        try:
            answer = parse(head + tail)
        except WireError:
            continue
        assert isinstance(answer, ClientHello) or len(head + tail) < answer.need <= MAX_BYTES


# -- names


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        (b"www.example.com", "www.example.com"),
        (b"WWW.EXAMPLE.COM.", "www.example.com"),
        (b"_sip._tcp.x-y", "_sip._tcp.x-y"),
        (b"localhost", "localhost"),
        (b"1.2.3", "1.2.3"),
        (b"10.0.0.1.example", "10.0.0.1.example"),
        (b"a" * 255, "a" * 255),
    ],
)
def test_names_are_lower_cased_and_lose_one_trailing_dot(name, clean):
    assert parsed(hello(server_name(name))).server_name == read_server_name(name) == clean


ONLY = "a server name of letters, digits, '-', '_' and '.' only"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"a b", f"byte 1: expected {ONLY}, found 'a b'"),
        (b"../../etc/passwd", f"byte 2: expected {ONLY}, found '../../etc/passwd'"),
        (b"a\0.example", f"byte 1: expected {ONLY}, found 'a\\x00.example'"),
        (b"a.example\n", f"byte 9: expected {ONLY}, found 'a.example\\n'"),
        ("münchen.example".encode(), f"byte 1: expected {ONLY}, found 'm\\xc3\\xbcnchen.example'"),
        (b"*.example.com", f"byte 0: expected {ONLY}, found '*.example.com'"),
        (b"::1", f"byte 0: expected {ONLY}, found '::1'"),
        (b"%" * 200, f"byte 0: expected {ONLY}, found '{'%' * 60}'..."),
        (b"", "byte 0: expected a server name of 1 to 255 bytes, found 0 bytes"),
        (b"a" * 256, "byte 0: expected a server name of 1 to 255 bytes, found 256 bytes"),
        (b".", "byte 0: expected a server name without an empty label, found '.'"),
        (b"..", "byte 0: expected a server name without an empty label, found '..'"),
        (b"a..", "byte 0: expected a server name without an empty label, found 'a..'"),
        (b".a", "byte 0: expected a server name without an empty label, found '.a'"),
        (b"a..b", "byte 0: expected a server name without an empty label, found 'a..b'"),
        (b"127.0.0.1", "byte 0: expected a server name, which no address is (RFC 6066), found '127.0.0.1'"),
    ],
)
def test_what_is_no_name_is_refused_in_words(name, message):
    with pytest.raises(WireError) as caught:
        read_server_name(name)
    assert str(caught.value) == message
    wrong(hello(server_name(name)))


def test_the_spot_of_a_wrong_name_is_counted_from_the_first_byte_received():
    content = message(server_name(b"www.exam ple.com"))
    assert records(content)[wrong(records(content)).offset] == ord(" ")
    for cut in range(1, len(content)):
        data = records(content, cut)
        assert data[wrong(data).offset] == ord(" ")


def test_a_name_of_another_type_is_not_the_host_name():
    assert parsed(hello(server_name(b"\xff/\0", kind=1))).server_name is None


# -- GREASE


def test_grease_is_tolerated_everywhere_and_shown_nowhere():
    grease = [0x0A0A + 0x1010 * number for number in range(16)]
    unknown = [extension(number, b"\0" * (number & 3)) for number in grease]
    for number in grease:
        two = number.to_bytes(2, "big")
        data = hello(*unknown, versions(number, 0x0304), alpn(two, b"h2"), server_name(b"a.example"))
        assert parse(data) == ClientHello("a.example", ("h2",), (0x0304,), len(data))


def test_what_only_looks_like_grease_is_kept():
    found = parsed(hello(versions(0x0A1A, 0x0304), alpn(b"\x0a\x1a")))
    assert (found.supported_versions, found.alpn) == ((0x0A1A, 0x0304), ("\x0a\x1a",))


# -- what is wrong


@pytest.mark.parametrize(("data", "expect"), INVALID)
def test_stored_bytes_that_are_no_hello_are_refused_in_these_words(data, expect):
    assert str(wrong(data)) == expect


@pytest.mark.parametrize(("data", "_"), INVALID)
def test_no_more_bytes_make_a_wrong_hello_right_or_wrong_in_another_way(data, _):
    error = str(wrong(data))
    assert str(wrong(data + bytes(100))) == error
    answers = []
    for size in range(len(data)):
        try:
            answers.append(type(parse(data[:size])))
        except WireError as caught:
            answers.append(str(caught))
    incomplete = answers.count(Incomplete)
    assert answers == [Incomplete] * incomplete + [error] * (len(data) - incomplete)


@pytest.mark.parametrize("byte", [byte for byte in range(256) if byte != 0x16])
def test_the_first_byte_that_is_not_tls_is_enough(byte):
    error = wrong(bytes([byte]))
    assert error.offset == 0
    assert ("not TLS" in str(error)) == (byte not in {0x14, 0x15, 0x17, 0x18})


def test_a_second_extension_of_one_type_is_refused_grease_too():
    for twice in (server_name(b"a.example"), alpn(b"h2"), extension(0x0A0A, b""), extension(0xFFFF, b"")):
        assert "each extension once" in str(wrong(hello(twice, versions(0x0304), twice)))


def test_every_wrong_length_ends_in_one_of_the_three_answers():
    data = hello(server_name(b"a.example"), alpn(b"h2", b"http/1.1"), versions(0x0304, 0x0303))
    for at in range(len(data)):
        for byte in (0, 1, data[at] - 1 & 0xFF, data[at] + 1 & 0xFF, 0x7F, 0xFF):
            check(data[:at] + bytes([byte]) + data[at + 1 :])


def check(data: bytes) -> None:
    """Nothing else comes out; more bytes do not change it."""
    try:
        answer = parse(data)
    except WireError as caught:
        error = str(caught)
    else:
        error = None
    if error is not None:
        assert str(wrong(data + b"\x16")) == error
        return
    if isinstance(answer, Incomplete):
        assert len(data) < answer.need <= MAX_BYTES
    else:
        assert answer.length_bytes <= len(data)
        assert parse(data[: answer.length_bytes]) == parse(data + b"more") == answer
        assert answer.server_name is None or read_server_name(answer.server_name.encode()) == answer.server_name


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_garbage_gives_one_of_the_three_answers(data):
    for head in (b"", b"\x16\x03\x01", records(b"\x01" + vector(3, data)), b"\x16\x03\x01\x00\x10\x01\x00\x00\x40"):
        check(head + data)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_garbage_where_extensions_belong_gives_one_of_the_three_answers(data):
    check(hello(data))
    for number in (0, 16, 43):
        check(hello(extension(number, data)))
        check(hello(extension(number, vector(2, data))))


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "drop", "length"]),
        st.integers(0, 1600),
        st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=5,
)


@given(st.sampled_from(VALID_BYTES), MUTATIONS)
@settings(max_examples=500, deadline=None)
@example(VALID_BYTES[0], [("length", 7, b"\0\0")])
def test_mutations_of_true_hellos_give_one_of_the_three_answers(data, mutations):
    for how, place, some in mutations:
        at = place % (len(data) or 1)
        if how == "flip":
            data = data[:at] + bytes([(data[at : at + 1] or b"\0")[0] ^ some[0]]) + data[at + 1 :]
        elif how == "cut":
            data = data[:at]
        elif how == "insert":
            data = data[:at] + some + data[at:]
        elif how == "drop":
            data = data[:at] + data[at + len(some) :]
        else:
            data = data[:at] + some[:2] + data[at + 2 :]
    check(data)


# -- PostgreSQL


def test_the_ssl_request_of_postgresql_is_recognised():
    assert is_ssl_request(SSL_REQUEST) is True
    assert is_ssl_request(SSL_REQUEST + b"more") is True
    assert len(SSL_REQUEST) == int.from_bytes(SSL_REQUEST[:4], "big") == 8
    assert int.from_bytes(SSL_REQUEST[4:], "big") == 80877103


def test_each_prefix_of_the_ssl_request_is_incomplete():
    for size in range(8):
        assert is_ssl_request(bytearray(SSL_REQUEST[:size])) == Incomplete(8)


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("0000000804d21630"),  # GSSENCRequest
        bytes.fromhex("0000001004d2162e"),  # CancelRequest
        bytes.fromhex("0000005200030000"),  # StartupMessage without TLS
        bytes.fromhex("0000000900"),
        b"\x16",  # TLS at once, as libpq 17 can
        b"\0\1",
    ],
)
def test_anything_else_is_no_ssl_request(data):
    assert is_ssl_request(data) is False

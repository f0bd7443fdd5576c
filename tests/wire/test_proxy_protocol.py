"""What holds for every header, on the corpus."""

import pytest

from linkerd_tcp.wire.parsing import Incomplete, WireError
from linkerd_tcp.wire.proxy_protocol import MAX_HEADER_BYTES, MIN_HEADER_BYTES, Parsed, build_local, parse
from tests.wire.proxy_protocol_corpus import CORPUS, Case, cases, told

VALID = cases("valid")
INVALID = cases("invalid")
every_valid = pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
every_invalid = pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)


def whole(case: Case) -> Parsed:
    parsed = parse(case.data)
    assert isinstance(parsed, Parsed)
    return parsed


def test_every_header_of_the_corpus_has_its_meaning_beside_it() -> None:
    files = {file.relative_to(CORPUS) for file in CORPUS.rglob("*.*")}
    assert {file.with_suffix(".txt") for file in files} | {file.with_suffix(".bin") for file in files} == files


@every_valid
def test_a_valid_header_says_what_its_text_says(case: Case) -> None:
    assert told(whole(case)) == case.ours


@every_valid
def test_a_valid_header_is_one_that_the_specification_lets_a_receiver_accept(case: Case) -> None:
    assert case.verdicts["The text"] in ("accept", "free")


@every_valid
def test_every_prefix_is_incomplete_and_asks_for_no_more_than_the_header(case: Case) -> None:
    for length in range(len(case.data)):
        answer = parse(case.data[:length])
        assert isinstance(answer, Incomplete), length
        assert length < answer.need <= len(case.data)


@every_valid
def test_reading_what_is_needed_until_it_is_enough_gives_what_the_whole_gives(case: Case) -> None:
    answer = parse(b"")
    while isinstance(answer, Incomplete):
        answer = parse(case.data[: answer.need])
    assert answer == whole(case)


@every_valid
@pytest.mark.parametrize("behind", [b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", b"\x02\0\x05after", bytes(5000)])
def test_what_follows_is_left(case: Case, behind: bytes) -> None:
    assert parse(case.data + behind) == whole(case)
    assert whole(case).header_length == len(case.data)


@every_valid
def test_a_view_of_a_buffer_is_as_good_as_bytes(case: Case) -> None:
    buffer = bytearray(case.data)
    parsed = parse(memoryview(buffer))
    buffer[:] = bytes(len(buffer))  # nothing in the answer is a view of it
    assert parsed == whole(case)


@every_invalid
def test_an_invalid_header_is_refused_for_its_own_reason(case: Case) -> None:
    with pytest.raises(WireError) as raised:
        parse(case.data)
    assert str(raised.value) == case.ours
    assert raised.value.offset <= len(case.data)


@every_invalid
def test_an_invalid_header_is_one_that_the_specification_lets_a_receiver_refuse(case: Case) -> None:
    assert case.verdicts["The text"] in ("refuse", "refuse, unless TLVs are skipped", "free")


@every_invalid
def test_an_invalid_header_is_never_complete_on_its_way_and_once_refused_stays_refused(case: Case) -> None:
    refused = False
    for length in range(len(case.data) + 1):
        try:
            assert isinstance(parse(case.data[:length]), Incomplete), length
            assert not refused, length
        except WireError:
            refused = True
    assert refused


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("no-header-http", 1),
        ("no-header-tls", 1),
        ("v1-no-space", 6),
        ("v1-udp4", 8),
        ("v1-no-fields", 12),
        ("v1-unknown-too-long", 106),
        ("v1-tcp4-too-long", 55),
        ("v2-signature", 12),
        ("v2-version-1", 13),
        ("v2-command-2", 13),
        ("v2-family-4", 14),
        ("v2-tcp4-short", 16),
        ("v2-too-long", 16),
    ],
)
def test_an_invalid_header_is_refused_as_soon_as_it_shows(name: str, length: int) -> None:
    """As the text recommends: the sender should notice; and no one may make us wait for bytes that cannot help."""
    data = next(case.data for case in INVALID if case.name == name)
    assert isinstance(parse(data[: length - 1]), Incomplete)
    with pytest.raises(WireError):
        parse(data[:length])


def test_the_first_question_is_for_the_shortest_header_there_is() -> None:
    assert parse(b"") == Incomplete(MIN_HEADER_BYTES)
    assert min(len(case.data) for case in VALID) == MIN_HEADER_BYTES


@pytest.mark.parametrize("max_bytes", [16, 100, MAX_HEADER_BYTES, 16 + 65535])
def test_the_limit_is_on_the_whole_header_and_is_the_callers(max_bytes: int) -> None:
    head = build_local()[:14]
    fits, too_long = max_bytes - 16, max_bytes - 15
    answer = parse(head + fits.to_bytes(2) + bytes(fits), max_bytes)
    assert isinstance(answer, Parsed)
    assert answer.header_length == max_bytes
    if too_long <= 0xFFFF:
        with pytest.raises(WireError, match=rf"byte 14: expected a header of at most {max_bytes} bytes"):
            parse(head + too_long.to_bytes(2), max_bytes)


def test_a_limit_that_refuses_everything_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="max_bytes is 15"):
        parse(b"", 15)

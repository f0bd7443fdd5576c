import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.wire.json_documents import MAX_LINE_BYTES, MAX_NESTING, JsonDocuments
from linkerd_tcp.wire.parsing import WireError


def read(*chunks: bytes, max_bytes: int = 1000) -> list[Any]:
    """Every document of a stream of these chunks."""
    documents = JsonDocuments(max_bytes)
    return [value for chunk in chunks for value in documents.feed(chunk)] + list(documents.end())


@pytest.mark.parametrize(
    ("chunks", "values"),
    [
        ([], []),
        ([b""], []),
        ([b" \r\n\t\n"], []),
        ([b'{"type":"neg"}\n'], [{"type": "neg"}]),
        ([b'{"a":1}\n{"a":2}\n[]'], [{"a": 1}, {"a": 2}, []]),
        ([b'{"a":1}{"a":2}[3][]'], [{"a": 1}, {"a": 2}, [3], []]),
        ([b'{"a"', b":", b"1", b"}"], [{"a": 1}]),
        ([b'{"a": "}{]["}'], [{"a": "}{]["}]),
        ([b'{"a":"\\', b'"}"}'], [{"a": '"}'}]),
        ([b'{"a":"\\\\"}{"b":1}'], [{"a": "\\"}, {"b": 1}]),
        ([b'{"a":"\xc3', b'\xa9"}'], [{"a": "é"}]),
        ([b'{\n  "a": [\n    1\n  ]\n}\n'], [{"a": [1]}]),
        ([b'null\n"a b"\n 12 \ntrue'], [None, "a b", 12, True]),
        ([b'{"a":NaN,"b":-Infinity}'], [{"a": None, "b": None}]),
    ],
)
def test_documents_are_found_however_they_are_separated_and_cut(chunks: list[bytes], values: list[Any]) -> None:
    assert read(*chunks) == values


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        ([b"com.example.Gone: no\n"], "'com.example.Gone: no'"),
        ([b"failed to", b" bind\n"], "'failed to bind'"),
        ([b"no end of line"], "'no end of line'"),
        ([b"\xff\xfe\x00{]\n"], "'\\xff\\xfe\\x00{]'"),
        ([b"caf\xc3\xa9\n"], "'caf\\xe9'"),
        ([b"x" * 300 + b"\n"], "'" + "x" * 200 + "'..."),
        ([b"{]"], "'{]'"),
        ([b'{"a":\n1,}'], "'{\"a\":'"),
        ([b"]"], "']'"),
        ([b'["\xff"]'], "'[\"\\xff\"]'"),
        ([b"[" + b"9" * 5000 + b"]"], "'[" + "9" * 199 + "'..."),
    ],
)
def test_what_is_no_json_is_named(chunks: list[bytes], found: str) -> None:
    with pytest.raises(WireError) as caught:
        read(*chunks, max_bytes=100_000)
    assert (caught.value.offset, caught.value.expected, caught.value.found) == (0, "JSON", found)


def test_the_documents_before_an_error_line_are_told_first() -> None:
    documents = JsonDocuments()
    values = documents.feed(b'{"type":"neg"}\noh no\n')
    assert next(values) == {"type": "neg"}
    with pytest.raises(WireError, match=r"^byte 15: expected JSON, found 'oh no'$"):
        next(values)


@pytest.mark.parametrize("rest", [b"{", b'{"a":"', b'{"a":"\\', b"[[]", b'{"a":1}\n{"b"'])
def test_a_stream_that_ends_within_a_document_is_an_error(rest: bytes) -> None:
    documents = JsonDocuments()
    list(documents.feed(rest))
    assert documents.is_partial
    with pytest.raises(WireError, match="the end of the stream"):
        list(documents.end())


def test_space_is_no_part_of_a_document() -> None:
    documents = JsonDocuments()
    list(documents.feed(b'{"a":1}\n\n'))
    assert not documents.is_partial


def test_a_document_has_a_bound_whether_its_end_is_in_sight_or_not() -> None:
    text = b'{"a":"' + b"x" * 92 + b'"}'
    assert read(text, text, max_bytes=100) == [{"a": "x" * 92}] * 2
    with pytest.raises(WireError, match="at most 99 bytes"):
        read(text, max_bytes=99)
    with pytest.raises(WireError, match="at most 99 bytes"):
        read(text[:-2], b"y" * 10, max_bytes=99)
    with pytest.raises(WireError, match="expected JSON"):
        read(b"x" * (MAX_LINE_BYTES + 1), max_bytes=1_000_000)


def test_nesting_has_a_bound() -> None:
    assert read(b"[" * MAX_NESTING + b"]" * MAX_NESTING, max_bytes=10_000)
    with pytest.raises(WireError, match="levels of nesting"):
        read(b"[" * (MAX_NESTING + 1))


def test_a_long_string_in_small_pieces_is_not_looked_at_again_and_again() -> None:
    """A million pieces' worth of looking back would take minutes."""
    documents = JsonDocuments()
    list(documents.feed(b'{"a":"'))
    for _ in range(4_000):
        list(documents.feed(b"x" * 1000 + b"\\"))
        list(documents.feed(b"n"))
    [value] = documents.feed(b'"}')
    assert len(value["a"]) == 4_004_000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
separators = st.sampled_from(["\n", "\r\n", " \n ", "\n\n"])


@given(st.lists(st.tuples(json_values, separators, st.booleans()), max_size=5), st.data())
def test_any_documents_come_out_as_they_went_in(values: list[tuple[Any, str, bool]], data: st.DataObject) -> None:
    stream = "".join(json.dumps(value, ensure_ascii=escape) + separator for value, separator, escape in values).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*chunks, max_bytes=100_000) == [value for value, _, _ in values]


pieces = st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b"\n", b":", b",", b"1", b"null", b" ", b"\xff", b"x"])


@given(st.lists(st.binary(max_size=20) | pieces, max_size=30))
def test_garbage_gives_values_or_wire_errors_and_nothing_else(chunks: list[bytes]) -> None:
    said = outcome(chunks)[-1:]
    assert all(str(error).isascii() and str(error).isprintable() for error in said if isinstance(error, WireError))


@given(st.lists(st.binary(max_size=20) | pieces, max_size=30))
def test_where_a_stream_is_cut_makes_no_difference(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    [first, *others] = (outcome(each) for each in ([whole], chunks, [whole[n : n + 1] for n in range(len(whole))]))
    for other in others:
        assert list(map(comparable, other)) == list(map(comparable, first))


def comparable(value: Any) -> Any:
    return value.expected if isinstance(value, WireError) else value


def outcome(chunks: list[bytes]) -> list[Any]:
    """The documents, and at last the error if there is one."""
    told: list[Any] = []
    documents = JsonDocuments(200)
    try:
        for chunk in chunks:
            told.extend(documents.feed(chunk))
        told.extend(documents.end())
    except WireError as error:
        told.append(error)
    return told

import json
import math
import random

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.config.yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, load_yaml
from linkerd_tcp.errors import ConfigError


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_yaml(text, "f")
    return raised.value.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("0", 0),
        ("0o17", 15),
        ("0xfF", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
    ],
)
def test_core_scalars_are_read(text: str, value: object) -> None:
    read = load_yaml(f"a: {text}", "f").value["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "22:22",
        "0777",
        "-01",
        "on",
        "off",
        "yes",
        "no",
        "y",
        "2026-01-01",
        "1_000",
        "0b11",
        "0o8",
        "1e",
        "=",
        "nan",
        "9" * 500,
    ],
)
def test_what_yaml_1_1_or_a_guess_would_turn_into_something_else_stays_text(text: str) -> None:
    assert load_yaml(f"a: {text}", "f").value == {"a": text}


@pytest.mark.parametrize("text", ['"1"', "'true'", '"~"', "|\n  1", ">\n  1"])
def test_quoted_and_block_scalars_are_text(text: str) -> None:
    assert isinstance(load_yaml(f"a: {text}", "f").value["a"], str)


def test_keys_are_text_as_written() -> None:
    assert load_yaml("80: a\ntrue: b\n0x10: c\n'q': d", "f").value == {"80": "a", "true": "b", "0x10": "c", "q": "d"}


def test_a_duplicate_key_names_both_places() -> None:
    assert problems("a: 1\nb: {c: 1,\n  c: 2}\n") == ["f:3:3: b.c: given twice (first at line 2, column 5)"]


def test_all_problems_that_leave_the_rest_readable_are_told() -> None:
    assert problems("a: 1\na: !!str 2\n<<: {b: 1}\n'80': 1\n80: 2\n") == [
        "f:2:1: a: given twice (first at line 1, column 1)",
        'f:2:4: a: tags such as "tag:yaml.org,2002:str" are not read (a word in quotes is text)',
        'f:3:1: ["<<"]: merge keys are not read: write the keys out, or repeat a whole value with an alias',
        'f:5:1: ["80"]: given twice (first at line 4, column 1)',
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a:\n\t- b", "f:2:1: a tab; YAML is indented with spaces"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document (one file is one document: remove this `---`)"),
        ("a: *b", "f:1:4: a: the alias *b has no anchor &b before it"),
        ("a: &x [1, *x]", "f:1:11: a[1]: the alias *x stands inside what it repeats"),
        ("? [a]\n: 1", "f:1:3: a key must be plain text, not a list"),
        ("a: &k x\n*k : 1", "f:2:1: a key must be plain text, not an alias"),
        ("a: `x`", "f:1:4: not YAML: a text that begins with ` must be in quotes"),
        ("a: \x07", "f:1:4: the character U+0007 may not stand in a file"),
        (b"a: 1\nb: \xff", "f:2:4: not UTF-8 text (byte 0xff)"),
        (" " * (MAX_BYTES + 1), "f:1:1: larger than 4 MiB"),
        ("[" * 100_000, f"f:1:{MAX_DEPTH + 1}: nested more than {MAX_DEPTH} deep"),
    ],
    ids=range(11),
)
def test_what_cannot_be_read_on_from_is_told_with_its_place(text: str | bytes, line: str) -> None:
    assert problems(text) == [line]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert load_yaml(b"\xef\xbb\xbfa: 1", "f").value == {"a": 1}


def test_aliases_that_multiply_are_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert f"more than {MAX_VALUES} values" in problems("\n".join(lines))[0]


def test_aliases_that_deepen_are_bounded() -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))]
    assert f"nested more than {MAX_DEPTH} deep" in problems("\n".join(lines))[0]


def test_more_values_than_the_bound_are_refused() -> None:
    assert f"more than {MAX_VALUES} values" in problems("- a\n" * (MAX_VALUES + 1))[0]


@pytest.mark.parametrize(
    ("text", "offset", "spot"),
    [
        ("a: abc", 2, (1, 6)),
        ("a: 'abc'", 2, (1, 7)),
        ('a: "abc"', 3, (1, 8)),
        ("a: |\n  abc\n  def", 5, (3, 4)),
        ("a: |\n\n  abc\n\n  def", 7, (5, 4)),
        ("a: |-  # why\n    abc", 1, (2, 6)),
        ('a: "\\x41bc"', 2, (1, 4)),
        ("a: b\n  c", 2, (1, 4)),
        ("a: >\n  b\n  c", 2, (1, 4)),
        ("- {}\n- a: x", 0, (1, 1)),
    ],
)
def test_a_place_inside_a_text_is_found_where_it_was_written_plainly(
    text: str, offset: int, spot: tuple[int, int]
) -> None:
    assert load_yaml(text, "f").spot(("a",), offset=offset) == spot


def test_places_of_keys_and_values_and_of_what_is_missing() -> None:
    document = load_yaml("a:\n  - b: 1\n    c: {d: 2}\n", "f")
    assert document.spot(("a", 0, "c", "d")) == (3, 12)
    assert document.spot(("a", 0, "c", "d"), at_key=True) == (3, 9)
    assert document.spot(("a", 0)) == (2, 5)
    assert document.spot(("a", 0, "x"), at_key=True) == (2, 5)
    assert document.spot(("a", 0, "c", "x")) == (3, 5)
    assert document.spot(("x",)) == (1, 1)


# A YAML key on one line has at most 1 024 characters (YAML 1.2, 7.4.2), and one character of text may take twelve.
KEYS = st.text(max_size=80).filter(lambda key: key != "<<")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
def test_json_is_read_as_json_reads_it(value: object) -> None:
    document = {"a": value}
    assert load_yaml(json.dumps(document), "f").value == json.loads(json.dumps(document))


@given(st.text(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"# \n\t?,%@`<~0", max_size=60) | st.binary(max_size=60))
def test_any_text_is_either_read_or_refused_with_a_place(data: str | bytes) -> None:
    try:
        load_yaml(data, "f")
    except ConfigError as error:
        for line in error.problems:
            name, row, column, _words = line.split(":", 3)
            assert name == "f"
            assert int(row) >= 1
            assert int(column) >= 1


@given(st.randoms(use_true_random=False))
def test_block_style_is_read_as_it_was_written(rng: random.Random) -> None:
    value = {f"k{n}": [{"a": rng.randint(0, 9), "b": "x y"}, "z", [1.5, None, True]] for n in range(rng.randint(1, 4))}
    assert load_yaml(pyyaml.safe_dump(value), "f").value == value

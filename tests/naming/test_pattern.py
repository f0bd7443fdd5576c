import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.pattern import PathPattern, substitute
from tests.naming.strategies import reads_or_marks_the_spot


@pytest.mark.parametrize(
    ("pattern", "path", "captures"),
    [
        ("/foo/bar", "/foo/bar", {}),
        ("/foo/bar", "/foo/bar/bas", {}),
        ("/foo/bar", "/foo/goo", None),
        ("/foo/bar", "/foo", None),
        ("/foo", "/foobar", None),
        ("/", "/anything/at/all", {}),
        ("/", "/", {}),
        ("/svc/", "/svc/web", {}),
        ("/foo/*/*", "/foo/hi/there", {}),
        ("/foo/*/*", "/foo/hi", None),
        ("/foo/{A}", "/foo/bar/bas", {"A": "bar"}),
        ("/foo/{A_B_C}", "/foo/bar", {"A_B_C": "bar"}),
        ("/foo/bar/{A}:http", "/foo/bar/bas:http", {"A": "bas"}),
        ("/foo/bar/{A}:http", "/foo/bar/bas:https", None),
        ("/foo/bar/x{A}", "/foo/bar/yxbas", None),
        (
            "/foo/bar/{A}.{B}.{C}/{D}",
            "/foo/bar/www.foo.com/80",
            {"A": "www", "B": "foo", "C": "com", "D": "80"},
        ),
        ("/foo/bar/{A}-{B}", "/foo/bar/foo-bar-baz", {"A": "foo-bar", "B": "baz"}),
        ("/foo/bar/{A}-{B}", "/foo/bar/foo-", None),
        ("/foo/bar/{A}-{B}", "/foo/bar/-foo", None),
        ("/foo/{A}.x", "/foo/abx", None),
        ("/foo/{A}/bar", "/foo/bar/bad", None),
        ("/foo/{A}{B}", "/foo/abc", {"A": "ab", "B": "c"}),
        ("/foo/{A}{B}", "/foo/a", None),
        ("/foo/ab{A}bc", "/foo/abc", None),
        (r"/{A}", r"/\x61\x20", {"A": r"\x61\x20"}),
        ("/$/inet/*/80", "/$/inet/10.0.0.1/80", {}),
        ("/#/io.l5d.fs/{service}", "/#/io.l5d.fs/web", {"service": "web"}),
    ],
)
def test_a_pattern_matches_the_beginning_element_by_element(pattern, path, captures):
    assert PathPattern.read(pattern).match(Path.read(path)) == captures


@given(
    st.lists(st.text("ab.-", max_size=2), min_size=2, max_size=5),
    st.text("ab.-", min_size=1, max_size=12),
)
def test_captures_are_what_a_greedy_regular_expression_captures(literals, text):
    names = [f"n{index}" for index in range(len(literals) - 1)]
    pattern = literals[0] + "".join("{" + n + "}" + lit for n, lit in zip(names, literals[1:], strict=True))
    regex = re.escape(literals[0]) + "".join(
        f"(?P<{n}>.+){re.escape(lit)}" for n, lit in zip(names, literals[1:], strict=True)
    )
    found = re.fullmatch(regex, text)
    assert PathPattern.read("/" + pattern).match(Path((text,))) == (found and found.groupdict())


def test_a_long_element_that_almost_matches_costs_linear_time():
    pattern = PathPattern.read("/" + "-".join("{n" + str(n) + "}" for n in range(20)) + "x")
    assert pattern.match(Path(("-" * 100_000,))) is None


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", 0),
        ("svc", 0),
        ("//a", 1),
        ("/a//b", 3),
        ("/a/{", 3),
        ("/a/{}", 3),
        ("/a/x}", 4),
        ("/{a b}", 1),
        ("/{a}/{a}", 6),
        ("/{a}{", 4),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_spot_marked(text, offset):
    with pytest.raises(DtabError, match=r"\[") as caught:
        PathPattern.read(text)
    assert caught.value.offset == offset


@given(st.text("/{}*ab", max_size=12))
def test_any_text_is_a_pattern_or_an_error_with_a_marked_spot(text):
    assert reads_or_marks_the_spot(PathPattern.read, text)


def test_a_pattern_says_what_it_captures():
    pattern = PathPattern.read("/svc/{service}/{zone}-{rack}")
    assert pattern.names == {"service", "zone", "rack"}
    assert str(pattern) == "/svc/{service}/{zone}-{rack}"


@pytest.mark.parametrize(
    ("template", "captures", "text"),
    [
        ("/{A}/and/{B}", {"A": "x", "B": "y"}, "/x/and/y"),
        ("{service}.example.com", {"service": "web"}, "web.example.com"),
        ("{A}{A}", {"A": "x"}, "xx"),
        ("{A}", {}, "{A}"),
        ("{A}-{B}", {"A": "{B}", "B": "y"}, "{B}-y"),
    ],
)
def test_captures_are_put_where_their_names_stand(template, captures, text):
    assert substitute(template, captures) == text

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming import parser
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, Leaf, Union, Weighted
from linkerd_tcp.naming.path import Path
from tests.naming.strategies import reads_or_marks_the_spot

FOO, BAR, BAZ = (Leaf(Path((label,))) for label in ("foo", "bar", "baz"))


def union(*branches):
    return Union(tuple(each if isinstance(each, Weighted) else Weighted(1.0, each) for each in branches))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("! | ~ | $", Alt((FAIL, NEG, EMPTY))),
        ("/foo & /bar | /bar & /baz", Alt((union(FOO, BAR), union(BAR, BAZ)))),
        (
            "1 * /foo & 2 * /bar | .5 * /bar & .5 * /baz",
            Alt((union(Weighted(1, FOO), Weighted(2, BAR)), union(Weighted(0.5, BAR), Weighted(0.5, BAZ)))),
        ),
        ("0.3 * /foo", FOO),
        ("((/foo))", FOO),
        ("/foo & (/bar | /baz)", union(FOO, Alt((BAR, BAZ)))),
        ("0*/foo&1.*/bar", union(Weighted(0, FOO), BAR)),
        ("/$/inet/80", Leaf(Path(("$", "inet", "80")))),
        ("/foo # or\n | /bar", Alt((FOO, BAR))),
        ("/", Leaf(Path())),
    ],
)
def test_a_tree_is_read_as_finagle_reads_it(text, tree):
    assert parser.read_tree(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#",
        "/foo &",
        "/foo & 0.1.2 * /bar",
        "/foo & . * /bar",
        "-1 * /a & /b",
        "1e3 * /a & /b",
        "/foo | | /bar",
        "(/foo",
        "/foo)",
        "/foo /bar",
        "/foo/*",
        "2 /a & /b",
        "9" * 400 + " * /a & /b",
        "٣ * /a & /b",
    ],
)
def test_what_is_no_tree_is_refused_with_the_spot_marked(text):
    with pytest.raises(DtabError, match=r"expected but .* found at '.*\["):
        parser.read_tree(text)


def test_the_second_dot_of_a_weight_is_the_spot():
    with pytest.raises(DtabError) as caught:
        parser.read_tree("/foo & 0.1.2 * /bar")
    assert "'/foo & 0.1[.]2 * /bar'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("/=>!", ()), ("/ => !", ()), ("/foo/*/bar => !", ("foo", None, "bar")), (r"/\x2a => !", ("*",))],
)
def test_an_entry_is_read_as_finagle_reads_it(text, prefix):
    assert parser.read_entry(text) == (prefix, FAIL)


@pytest.mark.parametrize("text", ["/foo/*bar/baz => !", "/&!", "* => /x", "/a/ => /b", "/a =>", "/a = > /b", "/a"])
def test_what_is_no_entry_is_refused_with_the_spot_marked(text):
    with pytest.raises(DtabError, match=r"\["):
        parser.read_entry(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("  /=>!  ", 1), ("/=>!;", 1), ("/=>!;/foo=>/bar", 2), ("# nothing\n  # here", 0), ("/a=>/b;\n#c\n", 1)],
)
def test_a_dtab_is_read_as_finagle_reads_it(text, count):
    assert len(parser.read_entries(text)) == count


@pytest.mark.parametrize("text", [";", "/a=>/b;;/c=>/d", "/a=>/b /c=>/d", "/a=>/b;;"])
def test_what_is_no_dtab_is_refused_with_the_spot_marked(text):
    with pytest.raises(DtabError, match=r"\["):
        parser.read_entries(text)


def test_comments_stand_where_space_does_and_nowhere_else():
    text = """
      # a comment
      /#foo => /biz  # another
        | ( /bliz & # x
            /bluth ) # y
      ; #z
      #/ignore=>/me;
    """
    biz, bliz, bluth = (Leaf(Path((label,))) for label in ("biz", "bliz", "bluth"))
    assert parser.read_entries(text) == [(("#foo",), Alt((biz, union(bliz, bluth))))]


def test_parentheses_nest_only_so_deep():
    deep = parser.MAX_PARENTHESES
    assert parser.read_tree("(" * deep + "/foo" + ")" * deep) == FOO
    for depth in (deep + 1, 100_000):
        with pytest.raises(DtabError, match="at most 50 nested parentheses"):
            parser.read_tree("(" * depth)


@given(st.text(max_size=40) | st.text("/ab=>|&;()~!$*.0 #\n\\x", max_size=30))
def test_any_text_is_read_or_an_error_with_a_marked_spot(text):
    for read in (parser.read_entries, parser.read_tree, parser.read_entry, parser.read_prefix):
        assert reads_or_marks_the_spot(read, text)

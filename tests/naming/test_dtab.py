import pytest
from hypothesis import given

from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dentry, Dtab, Prefix
from linkerd_tcp.naming.nametree import NEG, Alt, Leaf, map_leaves
from linkerd_tcp.naming.parser import read_tree
from linkerd_tcp.naming.path import Path
from tests.naming.strategies import dtabs, paths, prefixes


@given(dtabs)
def test_a_printed_dtab_reads_as_the_same_dtab(dtab):
    assert Dtab.read(str(dtab)) == dtab


@given(prefixes)
def test_a_printed_prefix_reads_as_the_same_prefix(prefix):
    assert Prefix.read(str(prefix)) == prefix


def test_a_dtab_prints_without_spaces_round_the_arrow():
    text = "/a=>/b;/c/*=>/d | 0.5*/e & /f"
    assert str(Dtab.read(" /a => /b ;\n /c/* =>/d | .50 * /e & /f ; ")) == text
    assert repr(Dtab.read(text)) == f"Dtab('{text}')"


def test_the_spot_of_an_error_is_marked():
    with pytest.raises(DtabError) as caught:
        Dtab.read("/svc => /#/io.l5d.fs ; /web = /x")
    assert "/web =[ ]/x'" in str(caught.value)
    assert caught.value.offset == 29


@pytest.mark.parametrize(
    ("dtab", "path", "tree"),
    [
        ("", "/a", "~"),
        ("/a => /b", "/c", "~"),
        ("/a => /b", "/ab", "~"),
        ("/a => /b", "/A", "~"),
        ("/a => /b", "/a", "/b"),
        ("/a => /b", "/a/c/d", "/b/c/d"),
        ("/a/b => /x", "/a", "~"),
        ("/ => /x", "/a", "/x/a"),
        ("/ => /x", "/", "/x"),
        ("/a/*/c => /d", "/a/b/c/e/f", "/d/e/f"),
        ("/a/* => /d", "/a", "~"),
        (r"/a/\x2a => /d", "/a/b", "~"),
        ("/a => /b ; /a => /c", "/a/x", "/c/x | /b/x"),
        ("/a/* => /b ; / => /c ; /a/x => /d", "/a/x/y", "/d/y | /c/a/x/y | /b/y"),
        ("/a => /b | 0.3*/c & ! | $", "/a/x", "/b/x | 0.3*/c/x & ! | $"),
    ],
)
def test_entries_that_match_are_alternatives_the_last_one_first(dtab, path, tree):
    assert Dtab.read(dtab).lookup(Path.read(path)) == read_tree(tree)


def test_the_precedence_example_of_finagle_s_documentation():
    dtab = Dtab.read(
        """/zk##    => /$/com.twitter.serverset ;
           /zk#     => /zk##/127.0.0.1:2181 ;
           /s##     => /zk#/service ;
           /s#      => /s##/prod ;
           /s       => /s# ;
           /s#      => /s##/staging"""
    )
    assert dtab.lookup(Path.read("/s/crawler")) == read_tree("/s#/crawler")
    assert dtab.lookup(Path.read("/s#/crawler")) == read_tree("/s##/staging/crawler | /s##/prod/crawler")


def test_what_is_appended_wins():
    both = Dtab.read("/a => /b") + Dtab.read("/a => /c")
    assert isinstance(both, Dtab)
    assert both.lookup(Path.read("/a")) == read_tree("/c | /b")
    assert Dtab() + both == both


@given(dtabs, paths)
def test_a_lookup_finds_what_a_walk_over_all_entries_finds(dtab, path):
    def covers(prefix):
        return len(prefix) <= len(path) and all(want in (None, have) for want, have in zip(prefix, path, strict=False))

    trees = [
        map_leaves(entry.dst, lambda leaf, entry=entry: leaf + path.drop(len(entry.prefix)))
        for entry in reversed(dtab)
        if covers(entry.prefix)
    ]
    assert dtab.lookup(path) == (Alt(tuple(trees)) if len(trees) > 1 else trees[0] if trees else NEG)


def test_a_lookup_looks_only_at_entries_whose_prefix_the_path_shares():
    class Counted(str):
        seen = 0

        def __eq__(self, other):
            Counted.seen += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    dtab = Dtab(Dentry(Prefix(("svc", Counted(f"s{n}"))), Leaf(Path((f"d{n}",)))) for n in range(1000))
    Counted.seen = 0
    assert dtab.lookup(Path.read("/svc/s500/x")) == Leaf(Path(("d500", "x")))
    assert Counted.seen < 50


def test_entries_that_lead_to_neg_are_simplified_away():
    assert str(Dtab.read("/a => ~ | ~ ; /b => /c | ~ ; /d => !").simplified) == "/b=>/c;/d=>!"


def test_an_entry_is_read_and_printed_alone():
    assert str(Dentry.read(" /a/* => /b | /c ")) == "/a/*=>/b | /c"
    assert Dentry.read("/a=>/b") == Dentry(Path(("a",)), Leaf(Path(("b",))))

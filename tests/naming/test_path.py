import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.path import ROOT, Path
from tests.naming.strategies import paths, reads_or_marks_the_spot


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("/", []),
        ("  /foo/bar  ", ["foo", "bar"]),
        (r"/\x66\x6f\x6F", ["foo"]),
        ("/_:.#$%-/aZ09", ["_:.#$%-", "aZ09"]),
        ("/a # c", ["a"]),
        ("/a#c", ["a#c"]),
        ("# first\n/a", ["a"]),
        (r"/\xc3\xa9", ["é"]),
        (r"/\xff\x00", ["\udcff\x00"]),
        (r"/a\x2fb", ["a/b"]),
    ],
)
def test_a_path_is_read_as_finagle_reads_it(text, labels):
    assert Path.read(text) == Path(labels)


@pytest.mark.parametrize(
    "text", ["", "/foo/bar/", "/{}", r"/\?", r"/\x?", r"/\x0?", "/foo^bar", "//a", "/a b", "foo", "/é", "/a\x00"]
)
def test_what_is_no_path_is_refused(text):
    with pytest.raises(DtabError, match=r"\["):
        Path.read(text)


@pytest.mark.parametrize(
    ("text", "spot"),
    [
        ("/foo^bar", "'/foo[^]bar'"),
        ("/foo/bar/", "'/foo/bar/[]'"),
        (r"/\x0?", r"'/\x0[?]'"),
        (r"/a\?", r"'/a\[?]'"),
        (r"/\xg0", r"'/\x[g]0'"),
        ("//a", "'/[/]a'"),
    ],
)
def test_the_error_marks_the_spot(text, spot):
    with pytest.raises(DtabError) as caught:
        Path.read(text)
    assert spot in str(caught.value)


def test_the_error_of_a_huge_text_is_short():
    with pytest.raises(DtabError) as caught:
        Path.read("/" + "a" * 100_000 + "^" + "b" * 100_000)
    assert "aaa[^]bbb" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_text_over_a_mebibyte_is_refused_unread():
    with pytest.raises(DtabError, match="at most 1048576 characters"):
        Path.read("/" + "a" * 1024 * 1024)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([], "/"),
        (["svc", "web"], "/svc/web"),
        (["a b"], r"/\x61\x20\x62"),
        (["é", "ok"], r"/\xc3\xa9/ok"),
        (["*"], r"/\x2a"),
        (["\udcff"], r"/\xff"),
    ],
)
def test_a_label_with_one_byte_that_cannot_stand_there_is_all_escaped(labels, text):
    assert str(Path(labels)) == text


@given(paths)
def test_a_printed_path_reads_as_the_same_path(path):
    assert Path.read(str(path)) == path


@given(st.text(max_size=30) | st.text("/\\x0aF#\n $*%^", max_size=12))
def test_any_text_is_a_path_or_an_error_with_a_marked_spot(text):
    assert reads_or_marks_the_spot(Path.read, text)


def test_a_path_is_the_tuple_of_its_labels():
    path = Path(("svc", "web"))
    assert path == ("svc", "web")
    assert hash(path) == hash(("svc", "web"))
    assert {path: 1}[Path.read("/svc/web")] == 1
    assert repr(path) == "Path('/svc/web')"
    with pytest.raises(AttributeError):
        path.more = 1


def test_paths_are_joined_and_cut():
    path = Path.read("/a/b/c")
    assert Path.read("/a") + Path.read("/b/c") == path
    assert Path.read("/a/b") / "c" == path
    assert path.drop(1) == Path.read("/b/c")
    assert path.take(2) == Path.read("/a/b")
    assert path.drop(9) == ROOT
    assert all(isinstance(each, Path) for each in (path + path, path / "d", path.drop(0), path.drop(1), path.take(1)))


def test_a_prefix_is_whole_labels():
    path = Path.read("/svc/web")
    assert path.starts_with(ROOT)
    assert path.starts_with(path)
    assert not path.starts_with(Path.read("/svc/we"))
    assert not path.starts_with(Path.read("/svc/web/x"))


@pytest.mark.parametrize("labels", [[""], ["a", ""], ["\ud800"]])
def test_what_stands_for_no_bytes_is_no_label(labels):
    with pytest.raises(ValueError):  # noqa: PT011 - the codec's own message for the surrogate
        Path(labels)


def test_the_same_bytes_are_the_same_label_however_they_came():
    assert Path(["\udcc3\udca9"]) == Path(["é"])

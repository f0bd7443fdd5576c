"""A dtab as somebody types it: entries and their lines, the spot of an error, and what a change changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.dashboard.dtab_text import END, MOST_DIFF, MOST_ENTRIES, MOST_LINES, Text, diff, listed
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dtab
from tests.naming.strategies import dtabs

TEXT = """# first
/svc => /a ;  /svc/web =>
    /b |
    /c ;   # why

/x => ~
"""


def test_each_entry_knows_its_lines_and_alike_ones_their_numbers() -> None:
    text = Text(TEXT + ";/svc=>/a")
    assert text.error is None
    assert text.dtab == Dtab.read(TEXT + ";/svc=>/a")
    assert [tuple(place) for place in text.places] == [(2, 2), (2, 4), (6, 6), (7, 7)]
    assert text.numbers["/svc", "/a"] == [1, 4]


def test_lines_say_which_entries_they_hold_and_which_of_those_matched() -> None:
    rows, more = Text(TEXT).lines({2})
    assert (len(rows), more) == (7, 0)
    assert [row["entries"] for row in rows] == ["", "1 2", "2", "2", "", "3", ""]
    assert [row["use"] for row in rows] == ["", "rule 2: matched", "", "", "", "", ""]
    assert rows[2]["before"] == "    /b |"


@pytest.mark.parametrize(
    ("text", "line", "column", "marked", "words"),
    [
        ("/svc => /a\n/b => /c", 2, 1, "/", "expected ; and the next entry, or the end, but there is '/' here"),
        ("/svc = /a", 1, 7, " ", "expected => after the prefix, but there is ' ' here"),
        ("/svc => ", 1, 9, END, "expected a path, '(', '!', '~' or '$', but the text ends here"),
        ("/a => /b ;\nsvc => /c", 2, 1, "s", "expected a path, which begins with /, but there is 's' here"),
        ("/a => /b\\q", 1, 10, "q", "expected 'x', but there is 'q' here"),
        ("/a => /b | ;", 1, 12, ";", "but there is ';' here"),
    ],
)
def test_an_error_marks_the_spot_and_says_what_belongs_there(
    text: str, line: int, column: int, marked: str, words: str
) -> None:
    read = Text(text)
    assert read.error is not None
    assert (read.error.line, read.error.column) == (line, column)
    assert read.error.words.startswith(f"line {line}, column {column}: expected")
    assert words in read.error.words
    row = read.lines()[0][line - 1]
    assert row["marked"] == marked
    rest = marked if marked != END else ""
    assert row["before"] + rest + row["after"] == text.split("\n")[line - 1]


def test_the_spot_is_counted_as_a_browser_counts() -> None:
    error = Text("# \U0001f600 \ud800\n/a => x").error
    assert error is not None
    assert (error.start, error.end) == (13, 14)
    assert Text("/a => ").error == (1, 7, 6, 6, Text("/a => ").error.words)  # type: ignore[union-attr]


@given(st.text(max_size=60) | st.text("/ab=>|&;()~!$*.0 #\n\\x\t\r\ud800", max_size=40))
def test_any_text_is_read_as_routing_reads_it_or_marked(text: str) -> None:
    read = Text(text)
    try:
        expected = Dtab.read(text)
    except DtabError as error:
        assert read.error is not None
        before = text[: min(error.offset, len(text))]
        assert read.error.start == len(before.encode("utf-16-le", "surrogatepass")) // 2
        assert sum(bool(row["marked"]) for row in read.lines()[0]) == 1
    else:
        assert read.error is None
        assert read.dtab == expected
    for row in read.lines()[0]:
        assert all(str(cell).isprintable() for cell in row.values())


@given(dtabs)
def test_a_listed_dtab_reads_as_the_same(dtab: Dtab) -> None:
    text = Text(listed(dtab))
    assert (text.dtab, text.error) == (dtab, None)
    assert [place.first for place in text.places] == list(range(1, len(dtab) + 1))


def test_of_a_long_text_the_lines_around_the_error_are_shown() -> None:
    long = "/a => /b ;\n" * 2000
    rows, more = Text(long).lines()
    assert (len(rows), more) == (MOST_LINES, 2001 - MOST_LINES)
    rows, _ = Text(long + "x").lines()
    assert any(row["marked"] == "x" for row in rows)
    [row, *_] = Text("/a => /" + "b" * 5000 + " x").lines()[0]
    assert (row["marked"], len(row["before"]) < 100) == ("x", True)
    error = Text("/a => /b ;\n" * (MOST_ENTRIES + 1)).error
    assert error is not None
    assert f"at most {MOST_ENTRIES} entries" in error.words


def test_a_difference_has_what_goes_and_what_comes() -> None:
    rows, more = diff("/a => /b ;\n/c => /d ;\n", "/a => /b ;\n/c => /x ;\n")
    assert [(row["sign"], row["text"]) for row in rows] == [
        ("…", ""), (" ", "/a => /b ;"), ("-", "/c => /d ;"), ("+", "/c => /x ;"),
    ]  # fmt: skip
    assert more == 0
    assert diff("/a => /b ;\n", "/a => /b ;\n") == ([], 0)
    assert diff("-- \n", "++ \n")[0][1:] == [
        {"key": "1", "sign": "-", "text": "-- "}, {"key": "2", "sign": "+", "text": "++ "},
    ]  # fmt: skip


def test_a_difference_far_down_in_long_texts_is_found_and_a_huge_one_bounded() -> None:
    entries = [f"/a/{number} => /b ;" for number in range(9_000)]
    changed = [*entries[:8_000], "/new => /b ;", *entries[8_001:]]
    rows, more = diff("\n".join(entries), "\n".join(changed))
    assert ([row["sign"] for row in rows], more) == (["…", " ", " ", "-", "+", " ", " "], 0)
    rows, more = diff("\n".join(entries), "\n".join(f"{entry} # x" for entry in entries))
    assert len(rows) <= MOST_DIFF
    assert more > 9_000

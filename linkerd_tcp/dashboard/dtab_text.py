"""A dtab as the text that somebody writes: its entries and where they stand, what is wrong in it and where."""

from collections.abc import Callable, Iterable
from difflib import unified_diff
from itertools import islice
from typing import Final, NamedTuple

from linkerd_tcp.dashboard.cells import Row, cut
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dentry, Dtab, Prefix
from linkerd_tcp.naming.nametree import show
from linkerd_tcp.naming.parser import iter_placed

MOST_CHARS: Final = 1024 * 1024
MOST_ENTRIES: Final = 5_000
MOST_LINES: Final = 400
"""Shown of one text, those around an error if it is further down."""

LINE_CHARS: Final = 300
SPOT_CHARS: Final = 40
"""Shown before an error, of a long line."""

MOST_DIFF: Final = 400
"""Lines of either text that are compared, from where they begin to differ."""

AROUND: Final = 2
END: Final = "(end)"
"""Stands for what is not there, where a text ends too early."""


class Place(NamedTuple):
    """An entry's, in the text: its lines from 1, the last included."""

    first: int
    last: int


class Spot(NamedTuple):
    """Where a text is wrong, and why. `start` and `end` count as a browser does: in UTF-16."""

    line: int
    column: int
    start: int
    end: int
    words: str


class Text:
    """A dtab's text, read as routing reads it. `entries` are those before `error`, if there is one."""

    def __init__(self, text: str, rest: Callable[[], object] = lambda: None) -> None:
        self.text = text
        self.entries: list[Dentry] = []
        self.places: list[Place] = []
        self.numbers: dict[tuple[str, str], list[int]] = {}
        """Of the entries that read alike, counted from 1."""
        self.error: Spot | None = None
        try:
            self._read(rest)
        except DtabError as error:
            self.error = spot(error)

    def _read(self, rest: Callable[[], object]) -> None:
        line, counted = 1, 0
        for entry, start, end in iter_placed(self.text):
            last = start + len(self.text[start:end].rstrip()) - 1
            line, counted = line + self.text.count("\n", counted, start), start
            self.places.append(Place(line, line + self.text.count("\n", start, max(last, start))))
            dentry = Dentry(Prefix(entry.prefix), entry.dst)
            self.entries.append(dentry)
            key = str(dentry.prefix), show(dentry.dst)
            self.numbers.setdefault(key, []).append(len(self.entries))
            if len(self.entries) > MOST_ENTRIES:
                raise DtabError(f"at most {MOST_ENTRIES} entries", self.text, start)
            rest()

    @property
    def dtab(self) -> Dtab:
        return Dtab(self.entries)

    def lines(self, used: Iterable[int] = ()) -> tuple[list[Row], int]:
        """The lines as rows, and how many there are more; `used` are numbers of entries that were come by.

        `number`, `before`, `marked`, `after` (the text; `marked` is what is wrong), `entries` (their numbers), `use`.
        """
        found = self.text.split("\n")
        wrong = self.error.line if self.error is not None else 0
        start = max(0, wrong - MOST_LINES // 2) if wrong > MOST_LINES else 0
        shown = range(start, min(len(found), start + MOST_LINES))
        by_line = self._by_line()
        chosen = set(used)
        rows = [self._line(index + 1, found[index], by_line.get(index + 1, []), chosen) for index in shown]
        return rows, len(found) - len(rows)

    def _by_line(self) -> dict[int, list[int]]:
        lines: dict[int, list[int]] = {}
        for number, place in enumerate(self.places, 1):
            for line in range(place.first, min(place.last, place.first + MOST_LINES) + 1):
                lines.setdefault(line, []).append(number)
        return lines

    def _line(self, number: int, text: str, entries: list[int], used: set[int]) -> Row:
        begins = [entry for entry in entries if self.places[entry - 1].first == number]
        matched = [entry for entry in begins if entry in used]
        row: Row = {
            "key": str(number),
            "number": str(number),
            "before": _seen(text),
            "marked": "",
            "after": "",
            "entries": " ".join(map(str, entries[:20])),
            "use": f"rule {', '.join(map(str, matched[:5]))}: matched" if matched else "",
        }
        if self.error is not None and self.error.line == number:
            at = self.error.column - 1
            start = max(0, at - SPOT_CHARS) if len(text) > LINE_CHARS else 0
            row["before"] = ("…" if start else "") + _seen(text[start:at])
            row["marked"] = _seen(text[at : at + 1]) or END
            row["after"] = _seen(text[at + 1 :])
        return row


def _seen(text: str) -> str:
    return cut(text.replace("\t", "    ").replace("\r", ""), LINE_CHARS)


def spot(error: DtabError) -> Spot:
    """Of what is wrong in a dtab, or in a path."""
    text, at = error.text, min(error.offset, len(error.text))
    before, found = text[:at], text[at : at + 1]
    line, column = before.count("\n") + 1, at - before.rfind("\n")
    got = "the text ends" if not found else "the line ends" if found == "\n" else f"there is {cut(found)!r}"
    start = _units(before)
    words = f"line {line}, column {column}: expected {_expected(error.expected)}, but {got} here"
    return Spot(line, column, start, start + _units(found), words)


_EXPECTED: Final = {
    "'/'": "a path, which begins with /",
    "label char": "a letter, digit or one of _ : . # $ % -",
    "end of input": "; and the next entry, or the end",
    "'='": "=> after the prefix",
    "'>'": "=> after the prefix",
}


def _expected(words: str) -> str:
    """What the parser says, in a few more words."""
    return _EXPECTED.get(words, words)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def listed(entries: Iterable[Dentry]) -> str:
    """An entry a line."""
    return "".join(f"{entry.prefix} => {show(entry.dst)} ;\n" for entry in entries)


def diff(before: str, after: str) -> tuple[list[Row], int]:
    """The lines that differ and those around them, and how many are left out: `sign` is `-`, `+` or a blank."""
    old, new = before.splitlines(), after.splitlines()
    same = _alike(old, new)
    tail = _alike(old[same:][::-1], new[same:][::-1])
    start = max(0, same - AROUND)
    olds, news = (lines[start : len(lines) - tail + AROUND if tail > AROUND else None] for lines in (old, new))
    # How long this takes grows with the product of their lengths.
    kept = list(islice(unified_diff(olds[:MOST_DIFF], news[:MOST_DIFF], lineterm="", n=AROUND), 2, None))
    rows: list[Row] = [
        {"key": str(number), "sign": line[0].replace("@", "…"), "text": "" if line[0] == "@" else _seen(line[1:])}
        for number, line in enumerate(kept[:MOST_DIFF])
    ]
    return rows, len(kept) - len(rows) + max(0, len(olds) - MOST_DIFF) + max(0, len(news) - MOST_DIFF)


def _alike(one: list[str], other: list[str]) -> int:
    """How many lines both begin with."""
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return number
    return min(len(one), len(other))

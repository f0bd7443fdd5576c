"""What the README quotes of the demo's pages, as patterns: what differs from run to run may be anything of its kind."""

import re
import textwrap
from html.parser import HTMLParser
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
WIDTH = 150

_DIFFERS = (
    (r"127\.0\.0\.1:\d+", r"127\.0\.0\.1:\d+"),
    (r"\d\d:\d\d:\d\d UTC", r"\d\d:\d\d:\d\d UTC"),
    (r"\(\d+ s ago\)", r"\(\d+ s ago\)"),
    (r"after \d+ failures", r"after \d+ failures"),
    (r"again in \d+ s", r"again in \d+ s"),
    (r"[\d.]+ (?:ms|s)\b", r"(?:less than )?[\d.]+ (?:ms|s)"),
    (r"\d+ B\b", r"\d+ B"),
)
"""Of a quotation, and what stands for it in a pattern; the first that fits counts."""

_DIFFERENT = re.compile("|".join(f"({quoted})" for quoted, _ in _DIFFERS))


_QUOTED = re.compile(r"(?:^> .*\n)+", re.MULTILINE)


def quotations() -> list[str]:
    """In their order: each `> ` paragraph, on one line."""
    found = _QUOTED.findall(README.read_text("utf-8"))
    return [" ".join(line.removeprefix("> ") for line in each.splitlines()) for each in found]


def quote(sentences: list[str]) -> None:
    """Put these in the place of the README's quotations: those that belong to its pictures."""
    rest = iter(sentences)

    def wrapped(_: re.Match[str]) -> str:
        lines = textwrap.wrap(next(rest), WIDTH, break_long_words=False, break_on_hyphens=False)
        return "".join(f"> {line}\n" for line in lines)

    README.write_text(_QUOTED.sub(wrapped, README.read_text("utf-8")), "utf-8")


def pattern(quotation: str) -> re.Pattern[str]:
    """What a page says where it says this, at another time and with other ports."""
    parts, end = [], 0
    for found in _DIFFERENT.finditer(quotation):
        assert found.lastindex is not None
        parts += [re.escape(quotation[end : found.start()]), _DIFFERS[found.lastindex - 1][1]]
        end = found.end()
    return re.compile("".join([*parts, re.escape(quotation[end:])]))


def said(text: str) -> str:
    """As it is read: any white space is a space, and none stands before a full stop, colon or comma."""
    return re.sub(r" (?=[.,:;])", "", " ".join(text.split()))


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in ("script", "style", "template", "title")
        if tag not in ("a", "b", "bdi", "code", "data", "span", "time", "button"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in ("script", "style", "template", "title")

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.parts.append(data)


def text_of(page: str) -> str:
    """What a page of HTML says before any script has run."""
    parser = _Text()
    parser.feed(page)
    return said("".join(parser.parts))

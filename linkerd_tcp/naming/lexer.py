"""The lowest layer of the text forms of names: spaces, comments, labels and numbers.

Grammar: Finagle's `NameTreeParsers`. A `#` begins a comment only where space may stand; inside a label it is a
character like any other, so `/a # c` ends after `a` and `/a#c` is one label.
"""

import math
import re
from typing import Final

from linkerd_tcp.errors import DtabError

MAX_TEXT_CHARS: Final = 1024 * 1024
"""Longer texts are refused unread: names and dtabs also come from admin requests."""

_SPACE: Final = re.compile(r"(?:\s|#[^\n]*)*")
_LABEL: Final = re.compile(r"(?:[0-9A-Za-z_:.#$%-]|\\x[0-9A-Fa-f]{2})+")
_SHOWABLE: Final = re.compile(r"[0-9A-Za-z_:.#$%-]+")
_NUMBER: Final = re.compile(r"[0-9.]+")
_ESCAPE: Final = re.compile(rb"\\x(..)")
_HEX: Final = frozenset("0123456789ABCDEFabcdef")


def show_label(label: str) -> str:
    r"""`label` as it is written: itself if every byte of it may stand there, else every byte as `\xNN`."""
    if _SHOWABLE.fullmatch(label):
        return label
    return "".join(f"\\x{byte:02x}" for byte in label.encode("utf-8", "surrogateescape"))


class Lexer:
    """A text and how far it has been read. Everything that does not fit raises DtabError at that place."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT_CHARS:
            raise DtabError(f"at most {MAX_TEXT_CHARS} characters", text, MAX_TEXT_CHARS)
        self.text = text
        self.position = 0

    @property
    def next(self) -> str:
        """The next character, or "" at the end."""
        return self.text[self.position : self.position + 1]

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def fail(self, expected: str) -> DtabError:
        """The error that says `expected` should stand here."""
        return DtabError(expected, self.text, self.position)

    def skip_space(self) -> None:
        """Pass over white space and comments."""
        match = _SPACE.match(self.text, self.position)
        assert match is not None
        self.position = match.end()

    def take(self, char: str) -> bool:
        """Whether `char` is next; if so, pass over it."""
        if self.next != char:
            return False
        self.position += 1
        return True

    def expect(self, char: str) -> None:
        if not self.take(char):
            raise self.fail(repr(char))

    def end(self) -> None:
        """Nothing but space may follow."""
        self.skip_space()
        if not self.at_end:
            raise self.fail("end of input")

    @property
    def at_label(self) -> bool:
        """Whether a label begins here, perhaps a malformed one."""
        return self.next == "\\" or _SHOWABLE.match(self.text, self.position) is not None

    def label(self) -> str:
        r"""One path element, its `\xNN` bytes decoded as UTF-8 with surrogateescape."""
        match = _LABEL.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
        if match is None or self.next == "\\":
            raise self._bad_label()
        raw = match.group()
        if "\\" not in raw:
            return raw
        return _ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), raw.encode()).decode("utf-8", "surrogateescape")

    def _bad_label(self) -> DtabError:
        if not self.take("\\"):
            return self.fail("label char")
        if not self.take("x"):
            return self.fail("'x'")
        if self.next in _HEX:
            self.position += 1
        return self.fail("hex char")

    @property
    def at_number(self) -> bool:
        return _NUMBER.match(self.text, self.position) is not None

    def number(self) -> float:
        """Digits with at most one dot: no sign, no exponent, and finite."""
        match = _NUMBER.match(self.text, self.position)
        if match is None or match.group() == ".":
            raise self.fail("weight")
        first_dot = match.group().find(".")
        second_dot = match.group().find(".", first_dot + 1)
        if first_dot >= 0 and second_dot >= 0:
            self.position += second_dot
            raise self.fail("number char")
        number = float(match.group())
        if not math.isfinite(number):
            raise self.fail("finite weight")
        self.position = match.end()
        return number

    def path(self) -> tuple[str, ...]:
        """`/` or `/a/b`: the elements of a path."""
        self.skip_space()
        self.expect("/")
        elements: list[str] = []
        if self.at_label:
            elements.append(self.label())
            while self.take("/"):
                elements.append(self.label())
        return tuple(elements)

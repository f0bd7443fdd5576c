"""Patterns over paths: the prefixes of client configurations and of the rewrite namer (linkerd 1's `PathMatcher`).

Element by element, a pattern matches the beginning of a path: `*` is any one element, `{name}` captures one or part
of one (`{host}:{port}`), anything else must be equal. Unlike linkerd 1's, a part must match its whole element.
"""

import re
from collections.abc import Mapping
from typing import Final

from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.lexer import show_label
from linkerd_tcp.naming.path import Path

_CAPTURE: Final = re.compile(r"\{([A-Za-z0-9._:-]+)\}")


class _Element:
    """One element with captures: `literals` around and between `names`, one literal more than names."""

    __slots__ = ("literals", "names")

    def __init__(self, literals: list[str], names: list[str]) -> None:
        self.literals = literals
        self.names = names

    def match(self, text: str, captures: dict[str, str]) -> bool:
        """Whether `text` matches; captures are at least one character, earlier ones as long as can be.

        From the right, each literal at its last possible place: that is what greedy means, found in linear time.
        (A regular expression takes polynomial time here, and these texts come from strangers.)
        """
        first, *between, last = self.literals
        if not text.startswith(first) or not text.endswith(last):
            return False
        start, end = len(first), len(text) - len(last)
        found: dict[str, str] = {}
        for name, literal in zip(reversed(self.names[1:]), reversed(between), strict=True):
            place = text.rfind(literal, start, end - 1) if end > start else -1
            if place < 0:
                return False
            found[name] = text[place + len(literal) : end]
            end = place
        if end <= start:
            return False
        captures |= {self.names[0]: text[start:end], **found}
        return True


class PathPattern:
    """A pattern that has been read. `names` are its captures."""

    __slots__ = ("_elements", "names", "text")

    def __init__(self, text: str, elements: tuple[str | _Element | None, ...], names: frozenset[str]) -> None:
        self.text = text
        self.names = names
        self._elements = elements

    @staticmethod
    def read(text: str) -> "PathPattern":
        """The pattern that `text` spells; DtabError for what begins with no "/", has an empty element, a brace that
        encloses no name, or a name twice. `/` matches every path; one "/" at the end is allowed and means nothing.
        """
        if not text.startswith("/"):
            raise DtabError("'/'", text, 0)
        elements: list[str | _Element | None] = []
        names: set[str] = set()
        offset = 1
        for part in text[1:].removesuffix("/").split("/") if len(text) > 1 else ():
            elements.append(_read_element(text, part, offset, names))
            offset += len(part) + 1
        return PathPattern(text, tuple(elements), frozenset(names))

    def match(self, path: Path) -> dict[str, str] | None:
        """What was captured if this matches the beginning of `path`, else None."""
        if len(self._elements) > len(path):
            return None
        captures: dict[str, str] = {}
        for element, label in zip(self._elements, path, strict=False):
            if element is None:
                continue
            shown = show_label(label)
            if isinstance(element, str):
                if element != shown:
                    return None
            elif not element.match(shown, captures):
                return None
        return captures

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"PathPattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, PathPattern) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)


def _read_element(text: str, part: str, offset: int, names: set[str]) -> str | _Element | None:
    if not part:
        raise DtabError("an element", text, offset)
    if part == "*":
        return None
    literals: list[str] = []
    captured: list[str] = []
    end = 0
    for match in _CAPTURE.finditer(part):
        if match[1] in names:
            raise DtabError("a name not yet used", text, offset + match.start(1))
        names.add(match[1])
        captured.append(match[1])
        literals.append(part[end : match.start()])
        end = match.end()
    literals.append(part[end:])
    stray = re.search(r"[{}]", _CAPTURE.sub(lambda m: "_" * len(m[0]), part))
    if stray:
        raise DtabError("{name}", text, offset + stray.start())
    return _Element(literals, captured) if captured else part


def substitute(template: str, captures: Mapping[str, str]) -> str:
    """`template` with each `{name}` replaced by what was captured; names not captured stay as they are."""
    return _CAPTURE.sub(lambda match: captures.get(match[1], match[0]), template)

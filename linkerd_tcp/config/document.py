"""A file that was read: its value, and where each part of it stands."""

import re
from typing import Any, Final, TypeAlias

Spot: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""

BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What YAML 1.1's parsers take for the end of a line."""


class Node:
    """A value where it stands. `size` counts the values in it, aliases counted as often as they occur."""

    __slots__ = ("children", "column", "depth", "keys", "line", "open", "size", "style", "value")

    def __init__(self, value: Any, mark: Any, style: str) -> None:
        self.value = value
        self.line: int = mark.line + 1
        self.column: int = mark.column + 1
        self.style = style
        self.children: dict[str | int, Node] = {}
        self.keys: dict[str | int, Spot] = {}
        self.size = 1
        self.depth = 1
        self.open = True


class Document:
    """A file's `value` (dicts, lists, text, numbers, bools, None) and where each part of it stands."""

    def __init__(self, text: str, root: Node | None) -> None:
        self.value: Any = None if root is None else root.value
        self._root = root
        self._text = text

    def spot(self, loc: tuple[Any, ...], *, at_key: bool = False, offset: int = -1) -> Spot:
        """Where the value at `loc` stands, or its key, or the character `offset` of its text; of what is not in the
        file, where that which lacks it stands.
        """
        node = self._root
        if node is None:
            return 1, 1
        key_spot: Spot | None = None
        for depth, part in enumerate(loc):
            child = node.children.get(part)
            if child is None:
                return key_spot or (node.line, node.column)
            # A list's item has no key: the item itself is the place to look at.
            key_spot = node.keys.get(part)
            node = child
            if depth == len(loc) - 1 and not at_key:
                key_spot = None
        if offset >= 0 and isinstance(node.value, str):
            return self._inside(node, offset)
        return key_spot or (node.line, node.column)

    def _inside(self, node: Node, offset: int) -> Spot:
        """The place of a character of a text; of one that was folded or escaped, the text's beginning."""
        lines = BREAK.split(self._text)
        text: str = node.value
        if node.style == "|":
            row = text.count("\n", 0, offset)
            column = offset - (text.rfind("\n", 0, offset) + 1)
            below = lines[node.line :]
            first = next((line for line in below if line.strip(" ")), "")
            indent = len(first) - len(first.lstrip(" "))
            # An indentation indicator (`|2`) moves the margin to where only the parent's indentation would tell.
            header = lines[node.line - 1][node.column - 1 :].partition("#")[0]
            margin = 0 if any(digit in header for digit in "123456789") else indent
            return min(node.line + 1 + row, len(lines)), margin + column + 1
        quote = 1 if node.style in ("'", '"') else 0
        start = node.column - 1 + quote
        if lines[node.line - 1][start:].startswith(text):
            return node.line, start + offset + 1
        return node.line, node.column

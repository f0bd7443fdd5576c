"""What a PromQL expression asks for: which metrics, and which labels of each. As much of the grammar as is used."""

import re
from typing import NamedTuple

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_SELECTOR = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\b(?!\s*\()(?:\s*\{([^{}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')
_RANGE = re.compile(r"\[[^\]]*\]")
_WORDS = {"and", "or", "unless", "offset", "bool"}


class Asked(NamedTuple):
    """A metric, the labels that it is matched by (with the value where that is exact), and those that are listed."""

    metric: str
    matched: dict[str, str | None]
    listed: set[str]


def asked_by(expression: str) -> list[Asked]:
    """Each selector of `expression`; labels that it is grouped or joined by count for all of them."""
    listed = {name.strip() for names in _LISTS.findall(expression) for name in names.split(",") if name.strip()}
    rest = _RANGE.sub("", _LISTS.sub(" ", expression))
    rest = re.sub(r"\boffset\s+\w+", " ", rest)
    found = []
    for metric, matchers in _SELECTOR.findall(_keep_matchers(rest)):
        if metric not in _WORDS:
            exact = {name: _value(text) if sign == "=" else None for name, sign, text in _MATCHER.findall(matchers)}
            found.append(Asked(metric, exact, listed))
    return found


def _value(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def _keep_matchers(expression: str) -> str:
    """Without texts that stand outside of braces, such as those of label_replace."""
    outside = re.split(r"(\{[^{}]*\})", expression)
    return "".join(part if part[:1] == "{" else _TEXT.sub(" ", part) for part in outside)

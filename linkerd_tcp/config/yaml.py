"""YAML (and with it JSON) read strictly, every value with the place it was written at.

YAML 1.2's core scalars only, so that `22:22`, `0777`, `on` and `2026-01-01` are text and not surprises; no duplicate
keys, tags, merge keys or second documents. Anchors and aliases work. Keys are always text. What a file can make this
do is bounded: its size, its nesting, and its values counted as often as aliases repeat them.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import yaml

from linkerd_tcp.config.document import BREAK, Document, Node, Spot
from linkerd_tcp.config.origin import dotted
from linkerd_tcp.config.words import say
from linkerd_tcp.errors import ConfigError

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 64

Loc: TypeAlias = tuple[str | int, ...]

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # fifteen times as fast, where libyaml is there

# YAML 1.2, section 10.3.2, but for numbers with leading zeros: those stay text, because some of their
# authors mean octal.
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OTHER_BASE: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL: Final = {
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_JSON_PAIR: Final = re.compile(r"\\\\|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def scalar(text: str) -> Any:
    """What plain `text` means: None, a bool, a number, or the text itself."""
    if text in _NULL:
        return None
    if text[0] not in "-+.0123456789tTfF" or len(text) > 400:
        return text
    if text in _BOOL:
        return _BOOL[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _SPECIAL.get(text, text)


def load_yaml(data: str | bytes, name: str) -> Document:
    """The document in `data`; ConfigError with a line `name:line:column: ...` for everything wrong with it."""
    document, problems = read_yaml(data, name)
    if problems:
        raise ConfigError([f"{name}:{line}:{column}: {words}" for (line, column), words in problems])
    return document


def read_yaml(data: str | bytes, name: str) -> tuple[Document, list[tuple[Spot, str]]]:
    """The document and what is wrong with it that does not keep the rest from being read; ConfigError otherwise."""
    try:
        text = _decoded(data)
        if text.lstrip().startswith("{"):
            text = _JSON_PAIR.sub(_joined, text)  # JSON escapes characters above U+FFFF in two halves; YAML does not
            if _LOADER is yaml.SafeLoader:
                text = text.replace("\t", " ")  # which this parser, unlike libyaml's, takes for blanks nowhere
        reader = _Reader()
        root = reader.read(text)
    except _Fatal as error:
        line, column = error.spot
        raise ConfigError([f"{name}:{line}:{column}: {error}"]) from None
    return Document(text, root), reader.problems


class _Fatal(Exception):
    """The file cannot be read on from `spot`."""

    def __init__(self, spot: Spot, words: str) -> None:
        super().__init__(words)
        self.spot = spot


def _decoded(data: str | bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Fatal((1, 1), f"larger than {MAX_BYTES // 1024 // 1024} MiB")
    if isinstance(data, bytes):
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8-sig")
            raise _Fatal(_spot_of(before, len(before)), f"not UTF-8 text (byte 0x{data[error.start]:02x})") from None
    else:
        text = data.removeprefix("\ufeff")
    found = _UNPRINTABLE.search(text)
    if found:
        raise _Fatal(_spot_of(text, found.start()), f"the character U+{ord(found[0]):04X} may not stand in a file")
    return text


def _spot_of(text: str, index: int) -> Spot:
    lines = BREAK.split(text[:index])
    return len(lines), len(lines[-1]) + 1


def _joined(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return f"\\U{0x10000 + ((int(match[1], 16) & 0x3FF) << 10) + (int(match[2], 16) & 0x3FF):08x}"


class _Reader:
    """Builds nodes from the parser's events, with a stack of its own: nesting in a file never nests calls here."""

    def __init__(self) -> None:
        self.problems: list[tuple[Spot, str]] = []
        self._stack: list[Node] = []
        self._keys: list[str | int | None] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None

    def read(self, text: str) -> Node | None:
        parser = _LOADER(text)
        try:
            documents = 0
            for event in _events(parser):
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        raise _Fatal(_at(event), "a second document (one file is one document: remove this `---`)")
                else:
                    self._take(event)
        except yaml.YAMLError as error:
            raise _syntax(error, text) from None
        finally:
            parser.dispose()
        return self._root

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            node = self._stack.pop()
            self._keys.pop()
            node.open = False
            self._placed(node)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)

    def _scalar(self, event: Any) -> None:
        self._no_tag(event)
        if self._awaits_key():
            self._key(event)
            return
        plain = not event.style
        node = Node(scalar(event.value) if plain else event.value, event.start_mark, event.style or "")
        node.open = False
        self._anchor(event, node)
        self._placed(node)

    def _begin(self, event: Any) -> None:
        self._no_tag(event)
        is_map = isinstance(event, yaml.MappingStartEvent)
        if self._awaits_key():
            raise _Fatal(
                _at(event), f"{self._path()}a key must be plain text, not {'a mapping' if is_map else 'a list'}"
            )
        if len(self._stack) >= MAX_DEPTH:
            raise _Fatal(_at(event), f"nested more than {MAX_DEPTH} deep")
        node = Node({} if is_map else [], event.start_mark, "")
        self._anchor(event, node)
        self._stack.append(node)
        self._keys.append(None if is_map else 0)

    def _alias(self, event: Any) -> None:
        if self._awaits_key():
            raise _Fatal(_at(event), f"{self._path()}a key must be plain text, not an alias")
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _Fatal(_at(event), f"{self._path()}the alias *{event.anchor} has no anchor &{event.anchor} before it")
        if node.open:
            raise _Fatal(_at(event), f"{self._path()}the alias *{event.anchor} stands inside what it repeats")
        self._placed(node)

    def _awaits_key(self) -> bool:
        return bool(self._stack) and self._keys[-1] is None

    def _key(self, event: Any) -> None:
        key: str = event.value
        parent = self._stack[-1]
        if key == "<<":
            words = "merge keys are not read: write the keys out, or repeat a whole value with an alias"
            self._problem(event, (*self._loc(), key), words)
        elif not event.style and key == "":
            self._problem(event, self._loc(), "a key is missing before the colon")
        elif key in parent.keys:
            line, column = parent.keys[key]
            self._problem(event, (*self._loc(), key), f"given twice (first at line {line}, column {column})")
        self._keys[-1] = key
        # The first one of two stays: what the rest of the file was written to go with.
        parent.keys.setdefault(key, _at(event))

    def _placed(self, node: Node) -> None:
        """`node` is whole: it goes into what it stands in."""
        if not self._stack:
            self._root = node
            return
        parent, key = self._stack[-1], self._keys[-1]
        assert key is not None
        if isinstance(key, int):
            parent.value.append(node.value)
            parent.children[key] = node
            self._keys[-1] = key + 1
        else:
            if key not in parent.children and key != "<<":
                parent.value[key] = node.value
                parent.children[key] = node
            self._keys[-1] = None
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > MAX_VALUES or parent.depth + len(self._stack) - 1 > MAX_DEPTH:
            what = (
                f"more than {MAX_VALUES} values" if parent.size > MAX_VALUES else f"nested more than {MAX_DEPTH} deep"
            )
            raise _Fatal((node.line, node.column), f"{what}, those repeated by aliases counted")

    def _anchor(self, event: Any, node: Node) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _no_tag(self, event: Any) -> None:
        if event.tag is not None:
            words = f"tags such as {say(str(event.tag))} are not read (a word in quotes is text)"
            self._problem(event, self._loc(value=True), words)

    def _problem(self, event: Any, loc: Loc, words: str) -> None:
        self.problems.append((_at(event), f"{dotted(loc)}: {words}" if loc else words))
        if len(self.problems) >= 100:
            raise _Fatal(_at(event), "a hundred errors; the rest of the file was not read")

    def _loc(self, *, value: bool = False) -> Loc:
        keys = self._keys if value else self._keys[:-1]
        return tuple(key for key in keys if key is not None)

    def _path(self) -> str:
        loc = self._loc(value=True)
        return f"{dotted(loc)}: " if loc else ""


def _events(parser: Any) -> Iterator[Any]:
    while parser.check_event():
        yield parser.get_event()


def _at(event: Any) -> Spot:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _syntax(error: yaml.YAMLError, text: str) -> _Fatal:
    """The parser's complaint in words for an operator."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    spot = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = str(getattr(error, "problem", None) or error)
    context = getattr(error, "context", None)
    start = getattr(error, "context_mark", None)
    lines = BREAK.split(text)
    found = lines[spot[0] - 1][spot[1] - 1 : spot[1]] if spot[0] <= len(lines) else ""
    if "cannot start any token" in problem and found:
        tab = "a tab; YAML is indented with spaces"
        return _Fatal(spot, tab if found == "\t" else f"not YAML: a text that begins with {found} must be in quotes")
    if problem.startswith("mapping values are not allowed"):
        problem = (
            "a second colon, or a line indented otherwise than the one above (a text with `: ` in it needs quotes)"
        )
        context = None
    where = f" (line {start.line + 1})" if start is not None and start.line + 1 != spot[0] else ""
    language = "JSON" if text.lstrip().startswith("{") else "YAML"
    return _Fatal(spot, f"not {language}: {f'{context}{where}: ' if context else ''}{problem}")

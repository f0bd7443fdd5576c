"""Endpoints as people write them: in linkerd's line format, in YAML, and inline in the configuration.

Pure: text in, endpoints out. The readers of whole files are generators that pause after each few endpoints (a large
file must not keep the loop waiting); `whole` runs one to its end.
"""

import math
import re
from collections.abc import Generator, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from linkerd_tcp.config.addresses import read_host, read_host_port
from linkerd_tcp.config.words import say

PAUSE_EVERY: Final = 64
MAX_PROBLEMS: Final = 20
MAX_DEPTH: Final = 32
"""Nesting of `meta`."""

_NO_META: Final[Mapping[str, Any]] = {}
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # fifteen times as fast, where libyaml is there


class Endpoint(NamedTuple):
    """One line: `host` is an IP literal in its usual spelling, or a name in lower case."""

    host: str
    port: int
    weight: float = 1.0
    meta: Mapping[str, Any] = _NO_META


class EndpointsError(ValueError):
    """Text that is no list of endpoints. `problems` are lines like `disco/web:3:5: ...`, at most 20."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


Reading: TypeAlias = Generator[None, None, tuple[Endpoint, ...]]


def read_file(data: bytes, shown: str) -> Reading:
    """The endpoints in a file: YAML if its name, as `shown` in errors, ends so, else linkerd's format.
    EndpointsError.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise EndpointsError([f"{shown}:{line}:{column}: not UTF-8 text"]) from None
    read = read_yaml if shown.endswith((".yml", ".yaml")) else read_lines
    return (yield from read(text, shown))


def whole(reading: Reading) -> tuple[Endpoint, ...]:
    """The result of `reading`, all at once."""
    while True:
        try:
            next(reading)
        except StopIteration as end:
            endpoints: tuple[Endpoint, ...] = end.value
            return endpoints


# -- linkerd's format

_TOKEN: Final = re.compile(r"\S+")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_WEIGHT: Final = re.compile(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")


def read_lines(text: str, shown: str) -> Reading:
    """`host port` or `host port * weight` a line; `#` begins a comment. EndpointsError names every bad line."""
    endpoints: list[Endpoint] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        tokens = list(_TOKEN.finditer(line.partition("#")[0]))
        if tokens:
            try:
                endpoints.append(_line(tokens))
            except _At as wrong:
                problems.append(f"{shown}:{number}:{wrong.column + 1}: {wrong}")
                if len(problems) == MAX_PROBLEMS:
                    break
        if number % PAUSE_EVERY == 0:
            yield
    if problems:
        raise EndpointsError(problems)
    return tuple(endpoints)


class _At(ValueError):
    def __init__(self, column: int, words: str) -> None:
        super().__init__(words)
        self.column = column


def _line(tokens: list[re.Match[str]]) -> Endpoint:
    words = [token[0] for token in tokens]
    if len(words) not in (2, 4) or (len(words) == 4 and words[2] != "*"):
        hint = (
            " (host:port is for .yml files; here a space stands between)" if len(words) == 1 and ":" in words[0] else ""
        )
        raise _At(tokens[0].start(), f"expected `host port` or `host port * weight`{hint}")
    try:
        host = read_host(words[0])
    except ValueError as error:
        raise _At(tokens[0].start(), str(error)) from None
    if not _PORT.fullmatch(words[1]) or not 1 <= int(words[1]) <= 65535:
        raise _At(tokens[1].start(), f"expected a port from 1 to 65535, got {say(words[1])}")
    if len(words) == 2:
        return Endpoint(host, int(words[1]))
    weight = float(words[3]) if _WEIGHT.fullmatch(words[3]) else -1.0
    if not 0 <= weight < math.inf:
        raise _At(tokens[3].start(), f"expected a weight of 0 or more, got {say(words[3])}")
    return Endpoint(host, int(words[1]), weight)


# -- one item, of YAML or of the configuration

_KEYS: Final = ("host", "port", "weight", "meta")


class ItemError(ValueError):
    """A value that is no endpoint; `key` is where in it, if it is a mapping."""

    def __init__(self, words: str, key: str | None = None) -> None:
        super().__init__(words)
        self.key = key


def read_item(value: Any) -> Endpoint:
    """`"host:port"` or `{host, port, weight, meta}`; ItemError."""
    if isinstance(value, Endpoint):
        return value
    if isinstance(value, str):
        try:
            return Endpoint(*read_host_port(value))
        except ValueError as error:
            raise ItemError(str(error)) from None
    if not isinstance(value, Mapping):
        raise ItemError(f"expected host:port or a mapping with host and port, got {say(value)}")
    for key in value:
        if key not in _KEYS:
            meant = get_close_matches(str(key), _KEYS, 1)
            raise ItemError(f"unknown key {say(key)}" + (f" (did you mean {meant[0]}?)" if meant else ""), key)
    for key in ("host", "port"):
        if key not in value:
            raise ItemError(f"{key} is missing")
    return Endpoint(
        _host(value["host"]), _port(value["port"]), _weight(value.get("weight", 1)), _meta(value.get("meta"))
    )


def _host(value: Any) -> str:
    try:
        if isinstance(value, str):
            return read_host(value)
    except ValueError as error:
        raise ItemError(str(error), "host") from None
    raise ItemError(f"expected a host name or an IP address, got {say(value)}", "host")


def _port(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    raise ItemError(f"expected a port from 1 to 65535, got {say(value)}", "port")


def _weight(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e308:
        return float(value)
    raise ItemError(f"expected a weight of 0 or more, got {say(value)}", "weight")


def _meta(value: Any) -> Mapping[str, Any]:
    if value is None:
        return _NO_META
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise ItemError(f"expected a mapping, got {say(value)}", "meta")


# -- YAML

_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: Final = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: truth for truth, words in ((True, "true True TRUE"), (False, "false False FALSE")) for word in words.split()
}


def read_yaml(text: str, shown: str) -> Reading:
    """A list of items, or a mapping whose `endpoints` is one; see `read_item`. Nothing at all is an empty list.

    YAML 1.2's plain words only: `22:22` and `on` are text. Duplicate keys, anchors and tags are errors.
    """
    document = _Document(text, shown)
    try:
        return (yield from document.endpoints())
    except yaml.MarkedYAMLError as error:
        words = error.problem or error.context or "not YAML"
        raise EndpointsError([f"{document.place(error.problem_mark or error.context_mark)}: {words}"]) from None
    except yaml.YAMLError as error:  # from the reader, which knows no lines
        raise EndpointsError([f"{shown}: not YAML: {str(error).partition(chr(10))[0]}"]) from None
    finally:
        document.close()


class _Document:
    def __init__(self, text: str, shown: str) -> None:
        self._shown = shown
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._problems: list[str] = []
        self._spots: dict[str, Any] = {}
        """Where each key of the mapping that was read last has its value."""

    def close(self) -> None:
        self._events.close()  # type: ignore[attr-defined]

    def place(self, mark: Any) -> str:
        return self._shown if mark is None else f"{self._shown}:{mark.line + 1}:{mark.column + 1}"

    def _fail(self, mark: Any, words: str) -> EndpointsError:
        return EndpointsError([*self._problems, f"{self.place(mark)}: {words}"])

    def endpoints(self) -> Reading:
        next(self._events)  # the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return ()
        endpoints = yield from self._top(next(self._events))
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._fail(event.start_mark, "a second document: one is enough")
        if self._problems:
            raise EndpointsError(self._problems)
        return endpoints

    def _top(self, event: Any) -> Reading:
        if not isinstance(event, yaml.MappingStartEvent):
            return (yield from self._list(event))
        endpoints: tuple[Endpoint, ...] | None = None
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, 1)
            if key != "endpoints":
                hint = "; the only key here is endpoints" if isinstance(key, str) else ""
                raise self._fail(event.start_mark, f"unknown key {say(key)}{hint}")
            if endpoints is not None:
                raise self._fail(event.start_mark, "endpoints is there twice")
            endpoints = yield from self._list(next(self._events))
        return endpoints or ()

    def _list(self, event: Any) -> Reading:
        if not isinstance(event, yaml.SequenceStartEvent):
            if isinstance(event, yaml.ScalarEvent) and self._value(event, 0) is None:
                return ()
            raise self._fail(event.start_mark, "expected a list of host:port, or a mapping with endpoints")
        self._plain(event)
        endpoints: list[Endpoint] = []
        count = 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            value = self._value(event, 1)
            try:
                endpoints.append(read_item(value))
            except ItemError as error:
                mark = event.start_mark if error.key is None else self._spots.get(error.key, event.start_mark)
                self._problems.append(f"{self.place(mark)}: {error}")
                if len(self._problems) == MAX_PROBLEMS:
                    raise EndpointsError(self._problems) from None
            count += 1
            if count % PAUSE_EVERY == 0:
                yield
        return tuple(endpoints)

    def _value(self, event: Any, depth: int) -> Any:
        """The value that begins with `event`."""
        self._plain(event)
        if depth > MAX_DEPTH:
            raise self._fail(event.start_mark, f"nested deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.SequenceStartEvent):
            values = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                values.append(self._value(event, depth + 1))
            return values
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth)
        return self._scalar(event)

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        spots: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, str):
                raise self._fail(event.start_mark, f"expected a word as the key, got {say(key)}")
            if key in values:
                raise self._fail(event.start_mark, f"{say(key)} is there twice")
            value = next(self._events)
            spots[key] = value.start_mark if key in _KEYS else event.start_mark
            values[key] = self._value(value, depth + 1)
        self._spots = spots
        return values

    def _plain(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._fail(event.start_mark, "anchors and aliases are not allowed here")
        if event.tag is not None and event.tag != "!":
            raise self._fail(event.start_mark, f"the tag {event.tag} is not allowed here")

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.style:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if len(text) <= 40:
            if _INT.fullmatch(text):
                return int(text)
            if _FLOAT.fullmatch(text):
                return float(text)
        return text

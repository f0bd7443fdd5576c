"""The configuration in force as YAML, line by line, and for each line whether the file says it or it is a default.

It is a configuration file itself, of the same program but for what is left out: credentials in addresses.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import yaml
from pydantic import BaseModel

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.router import RouterConfig
from linkerd_tcp.config.walk import Loc, plain
from linkerd_tcp.config.yaml import scalar
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.nametree import show

_INDENT: Final = 2
_RESOLVER: Final[Any] = yaml.resolver.Resolver()
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.$-:@+=")


class Line(NamedTuple):
    text: str
    """With its indentation."""
    is_written: bool
    """Whether the file says it; if not, it is a default."""
    number: int | None
    """The line of the file, where that is known."""


def yaml_lines(config: AppConfig) -> Iterator[Line]:
    """All of them; each takes some microseconds to make."""
    return _Writer(config).lines()


class _Writer:
    def __init__(self, config: AppConfig) -> None:
        self._config = config

    def lines(self) -> Iterator[Line]:
        yield from self._mapping(self._config, "", 0, (), True)

    def _mapping(self, value: Any, lead: str, indent: int, loc: Loc, is_written: bool) -> Iterator[Line]:
        """`lead` goes before the first line: that of a list's item has a dash."""
        for key, each, is_given in self._entries(value, is_written):
            yield from self._entry(lead + _key(key) + ":", each, indent, (*loc, key), is_given)
            lead = " " * indent

    def _entries(self, value: Any, is_written: bool) -> Iterator[tuple[str, Any, bool]]:
        if not isinstance(value, BaseModel):
            for key, each in value.items():
                yield str(key), each, is_written
            return
        for name, field in type(value).model_fields.items():
            each = getattr(value, name)
            if name == "dtab" and isinstance(value, RouterConfig):
                each = value.effective_dtab(self._config.namers)
            yield field.alias or name, each, is_written and name in value.model_fields_set
        for key, each in (value.model_extra or {}).items():
            yield key, each, is_written

    def _entry(self, head: str, value: Any, indent: int, loc: Loc, is_written: bool) -> Iterator[Line]:
        """`head` is what the line begins with; `indent` is that of the line."""
        if isinstance(value, BaseModel | Mapping):
            if next(self._entries(value, True), None) is None:
                yield self._line(f"{head} {{}}", loc, is_written)
            elif head.endswith("-"):
                yield from self._mapping(value, f"{head} ", indent + _INDENT, loc, is_written)
            else:
                yield self._line(head, loc, is_written)
                below = indent + _INDENT
                yield from self._mapping(value, " " * below, below, loc, is_written)
        elif isinstance(value, Dtab):
            yield from self._dtab(head, value, indent, loc, is_written)
        elif type(value) is tuple or isinstance(value, list):
            yield self._line(head if value else f"{head} []", loc, is_written)
            below = indent + _INDENT
            for index, each in enumerate(value):
                yield from self._entry(f"{' ' * below}-", each, below, (*loc, index), is_written)
        else:
            yield self._line(f"{head} {_scalar(plain(value))}", loc, is_written)

    def _dtab(self, head: str, dtab: Dtab, indent: int, loc: Loc, is_written: bool) -> Iterator[Line]:
        """An entry a line."""
        yield self._line(f"{head} |" if dtab else f'{head} ""', loc, is_written)
        for entry in dtab:
            yield Line(f"{' ' * (indent + _INDENT)}{entry.prefix} => {show(entry.dst)} ;", is_written, None)

    def _line(self, text: str, loc: Loc, is_written: bool) -> Line:
        return Line(text, is_written, self._config.line_of(loc) if is_written else None)


def _key(key: str) -> str:
    return key if key.isidentifier() and _is_plain(key) else _quoted(key)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)  # numbers, true, false and null are YAML's, too
    return value if _is_plain(value) else _quoted(value)


def _is_plain(text: str) -> bool:
    """Whether every reader of YAML takes it for just this text."""
    if not text or not _SAFE.issuperset(text) or text[0] in "-:@=" or text[-1] == ":":
        return False
    is_text: bool = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) == _TEXT_TAG
    return is_text and isinstance(scalar(text), str)


def _quoted(text: str) -> str:
    """As a JSON string, what cannot be seen escaped as YAML does."""
    written = json.dumps(text, ensure_ascii=False)
    if written.isprintable():
        return written
    return "".join(each if each.isprintable() else _escaped(ord(each)) for each in written)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

"""The types of single configuration values, for every model here and in the kinds.

Each refuses a wrong value with words for an operator. Relative file names are resolved against the folder that the
validation context names (`context={"folder": pathlib.Path(...)}`), without one against the working directory.
"""

import pathlib
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final, Literal, NoReturn, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from linkerd_tcp.config.addresses import read_cidr, read_host, read_ip
from linkerd_tcp.config.words import say
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.pattern import PathPattern

T = TypeVar("T")

MAX_SECS: Final = 100 * 365 * 86_400
"""A hundred years: longer than any process, short enough for every timer."""


def refuse(words: str, offset: int = -1, key: str = "") -> NoReturn:
    """Refuse the value being validated: at `offset` in its text where that is known, or at one `key` in it."""
    raise PydanticCustomError("refused", "{words}", {"words": words, "offset": offset, "key": key})


def as_text(value: Any, expected: str) -> str:
    """`value`, if it is text."""
    if not isinstance(value, str):
        hint = " (put it in quotes)" if isinstance(value, float) else ""
        refuse(f"expected {expected}, got {say(value)}{hint}")
    return value


class FrozenDict(dict[str, T]):
    """A mapping that stays as it was read; equal to a dict of the same contents."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("a configuration is never changed")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)  # pickle would fill in an empty one


Items: TypeAlias = Annotated[tuple[T, ...], Strict(False)]
"""A list in the file, a tuple here."""

Table: TypeAlias = Annotated[Mapping[str, T], AfterValidator(FrozenDict)]
"""A mapping in the file whose keys are the user's own words."""


def _none_word(value: Any) -> Any:
    return None if value == "none" else value


Port: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
"""Of a listener: 0 is any free one."""

EndpointPort: TypeAlias = Annotated[int, Field(ge=1, le=65535)]

Millis: TypeAlias = Annotated[int, Field(ge=0, le=MAX_SECS * 1000)]
"""A duration in whole milliseconds."""

PositiveMillis: TypeAlias = Annotated[int, Field(ge=1, le=MAX_SECS * 1000)]

Secs: TypeAlias = Annotated[float, Field(ge=0, le=MAX_SECS, allow_inf_nan=False)]
"""A duration in seconds, fractions allowed."""

PositiveSecs: TypeAlias = Annotated[float, Field(gt=0, le=MAX_SECS, allow_inf_nan=False)]

OptionalSecs: TypeAlias = Annotated[
    PositiveSecs | None, BeforeValidator(_none_word, json_schema_input_type=float | Literal["none"] | None)
]
"""A duration in seconds, or `none` for no limit."""

Weight: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]


def _path(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    text = as_text(value, "a path such as /svc/web")
    if not text.startswith("/"):
        refuse(f"expected a path such as /svc/web, got {say(text)} (a path begins with /)", 0)
    try:
        return Path.read(text)
    except DtabError as error:
        refuse(f"not a path: {marked(error)}", error.offset)


def _dtab(value: Any) -> Dtab:
    if isinstance(value, Dtab):
        return value
    try:
        return Dtab.read(as_text(value, "a dtab such as /svc => /#/io.l5d.fs ;"))
    except DtabError as error:
        refuse(f"not a dtab: {marked(error)}", error.offset)


def marked(error: DtabError) -> str:
    """What was expected and where, `/svc =[ ]/b`; of a dtab only the line that it is in: there may be hundreds."""
    text, offset = error.text, error.offset
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line, offset = text[start : None if end < 0 else end], offset - start
    found = line[offset : offset + 1]
    got = "the end" if not found else "a blank" if found.isspace() else say(found)
    spot = f"{line[:offset]}[{found}]{line[offset + 1 :]}".strip()
    return f"expected {error.expected}, got {got} at {spot}"


def _pattern(value: Any) -> PathPattern:
    if isinstance(value, PathPattern):
        return value
    text = as_text(value, "a path prefix such as /svc/web")
    if not text.startswith("/"):
        refuse(f"expected a path prefix such as /svc/web, got {say(text)} (a path begins with /)", 0)
    try:
        return PathPattern.read(text)
    except DtabError as error:
        refuse(f"not a path prefix: {marked(error)}", error.offset)


_TEXT: Final = WithJsonSchema({"type": "string"})
_PATH: Final = WithJsonSchema({"type": "string", "pattern": "^/"})

PathText: TypeAlias = Annotated[Path, PlainValidator(_path), PlainSerializer(str), _PATH]
DtabText: TypeAlias = Annotated[Dtab, PlainValidator(_dtab), PlainSerializer(str), _TEXT]
PatternText: TypeAlias = Annotated[PathPattern, PlainValidator(_pattern), PlainSerializer(str), _PATH]


class FileName(pathlib.PosixPath):
    """A file that the configuration names and start opens; whether it is there is not known yet."""

    __slots__ = ()


def _resolve(value: Any, info: ValidationInfo, what: str) -> str:
    text = str(value) if isinstance(value, pathlib.PurePath) else as_text(value, f"the name of a {what}")
    if not text or "\0" in text:
        refuse(f"expected the name of a {what}, got {say(text)}")
    folder = info.context.get("folder") if isinstance(info.context, dict) else None
    return str(pathlib.Path(folder or "").absolute() / text)


def _file(value: Any, info: ValidationInfo) -> FileName:
    return FileName(_resolve(value, info, "file"))


def _folder(value: Any, info: ValidationInfo) -> pathlib.Path:
    folder = pathlib.Path(_resolve(value, info, "folder"))
    try:
        there = folder.is_dir()
    except OSError as error:
        refuse(f"{folder} cannot be looked at: {error.strerror}")
    if not there:
        refuse(f"{folder} is not a folder" + ("" if folder.exists() else " (there is nothing of that name)"))
    return folder


def _output(value: Any, info: ValidationInfo) -> str:
    return "-" if value == "-" else _resolve(value, info, "file, or '-'")


FilePath: TypeAlias = Annotated[FileName, PlainValidator(_file), PlainSerializer(str), _TEXT]
"""A file to read. That it is there is asked by `config.load.missing_files`, not here."""

FolderPath: TypeAlias = Annotated[pathlib.Path, PlainValidator(_folder), PlainSerializer(str), _TEXT]
"""A folder, which must be there."""

OutputPath: TypeAlias = Annotated[str, PlainValidator(_output), _TEXT]
"""A file to write, or `-` for standard output."""


def _reads(read: Any, expected: str) -> Any:
    def validate(value: Any) -> Any:
        try:
            return read(as_text(value, expected))
        except ValueError as error:
            refuse(str(error))

    return validate


def _cidr(value: Any) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    network: IPv4Network | IPv6Network = _reads(read_cidr, "a network such as 10.0.0.0/8")(value)
    return network


Ip: TypeAlias = Annotated[str, PlainValidator(_reads(read_ip, "an IP address such as 127.0.0.1")), _TEXT]
"""An IP address, in its usual spelling."""

Host: TypeAlias = Annotated[str, PlainValidator(_reads(read_host, "a host name or an IP address")), _TEXT]
"""An IP address, or a host name in lower case."""

Cidr: TypeAlias = Annotated[IPv4Network | IPv6Network, PlainValidator(_cidr), PlainSerializer(str), _TEXT]

_URL: Final = re.compile(r"https?://(?:[^/?#@\s]*@)?(\[[0-9a-fA-F:.]+\]|[^/?#@:\s\[\]]+)(?::(\d{1,5}))?(/[^\s?#]*)?")


def _url(text: str) -> str:
    match = _URL.fullmatch(text)
    if match is None or (match[2] is not None and not 0 < int(match[2]) < 65536):
        # What is wrong is printed, logged and sent to who asked for a reload: not with the password in it.
        _, at, rest = text.rpartition("@")
        shown = say("..." + at + rest if at else text)
        raise ValueError(f"expected an address such as http://127.0.0.1:4180, got {shown}")
    return text


UrlText: TypeAlias = Annotated[str, PlainValidator(_reads(_url, "an address such as http://127.0.0.1:4180")), _TEXT]

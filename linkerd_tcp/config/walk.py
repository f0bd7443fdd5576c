"""Every value of a configuration, with the path of its key."""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from linkerd_tcp.config.model import Model

Loc = tuple[Any, ...]


def walk(value: Any, loc: Loc = ()) -> Iterator[tuple[Loc, Any]]:
    """`value` and everything in it, outer before inner, keys as they are written in a file."""
    yield loc, value
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from walk(getattr(value, name), (*loc, field.alias or name))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from walk(each, (*loc, key))
    elif type(value) is tuple:  # a Path and a Dtab are tuples, too, and single values here
        for index, each in enumerate(value):
            yield from walk(each, (*loc, index))


def go_on() -> None:
    """No rest."""


def plain(value: Any, rest: Callable[[], None] = go_on) -> Any:
    """`value` as JSON has it, keys as they are written in a file; credentials in an address are left out. `rest` is
    called again and again meanwhile: a file may have thousands of addresses.
    """
    if isinstance(value, BaseModel):
        rest()
        fields = type(value).model_fields.items()
        shown = {field.alias or name: plain(getattr(value, name), rest) for name, field in fields}
        return shown | plain(value.model_extra or {}, rest)
    if isinstance(value, Mapping):
        return {str(key): plain(each, rest) for key, each in value.items()}
    if type(value) is tuple or isinstance(value, list):
        return [plain(each, rest) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _without_credentials(str(value))


def _without_credentials(text: str) -> str:
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def is_unbuilt(value: Any) -> bool:
    """Whether `value` is a part of the configuration that has no code here yet."""
    return isinstance(value, Model) and not value.built


def is_file_missing(file: pathlib.Path) -> bool:
    """Whether nothing that can be read as a file is there."""
    try:
        return not file.exists() or file.is_dir()
    except OSError:
        return True

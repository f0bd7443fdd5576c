"""From what a validator found to what an operator reads: where, what was expected, what was probably meant."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from linkerd_tcp.config.kinds import did_you_mean
from linkerd_tcp.config.model import Model, keys_of
from linkerd_tcp.config.words import ADVICE, say

Loc = tuple[Any, ...]
Problem = tuple[Loc, str, bool, int]
"""The key's path, the words, whether it is the key itself that is wrong, and where in the value's text (or -1)."""

_EXPECTED: Final = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "mapping": "a mapping (lines of `key: value`)",
    "dict": "a mapping (lines of `key: value`)",
    "model": "a mapping (lines of `key: value`)",
    "model_attributes": "a mapping (lines of `key: value`)",
}
_BOUNDS: Final = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}
_YES_NO: Final = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_LEADING_ZERO: Final = re.compile(r"0+[0-9]+")
_WITH_UNIT: Final = re.compile(r"[0-9.]+ ?[A-Za-z]{1,12}")
_GROUPED: Final = re.compile(r"[0-9]+([_,][0-9]{3})+")


def problems_of(error: ValidationError, value: Any, readers: dict[int, list[type[BaseModel]]]) -> list[Problem]:
    """What `error` says of `value`, the document; `readers` are the models that read each mapping, by id."""
    found = error.errors(include_url=False)
    return [problem for each in found for problem in _problem(each, value, readers, found)]


def _problem(each: Any, value: Any, readers: dict[int, list[type[BaseModel]]], found: list[Any]) -> Iterator[Problem]:
    loc: Loc = tuple(each["loc"])
    kind: str = each["type"]
    context: dict[str, Any] = each.get("ctx", {})
    while loc and not isinstance(value_at(value, loc[:-1]), dict | list):
        loc = loc[:-1]  # a short form, such as `proxyProtocol: v3`, has none of the keys that it stands for
    outer = value_at(value, loc[:-1])
    models = readers.get(id(outer), [])
    if kind == "extra_forbidden":
        yield loc, unknown_key(str(loc[-1]), outer, models), True, -1
    elif kind == "missing":
        if not _misspelled(str(loc[-1]), outer, models):
            yield loc, _missing(str(loc[-1]), models), True, -1
    elif kind == "refused":
        key = context["key"]
        yield (*loc, key) if key else loc, context["words"], False, context["offset"]
    elif kind != "too_short" or not value_at(value, loc):
        # Items that are wrong themselves leave a list too short; they have been told of already.
        yield loc, words_for(kind, context, each["input"], each["msg"]), False, -1


def words_for(kind: str, context: dict[str, Any], value: Any, message: str) -> str:
    """What pydantic's error `kind` says to an operator."""
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"{words} {_plain(context[key])}, got {_plain(value)}"
    if kind == "literal_error":
        known = [each.strip("'") for each in re.findall(r"'[^']*'", context["expected"])]
        return f"expected {_either(known)}; got {say(value)}{did_you_mean(value, known, near_only=True)}"
    if kind == "too_short":
        return "expected at least one item, got an empty list"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "string_too_long":
        return f"must be at most {context['max_length']} characters long"
    for ending in ("_type", "_parsing", "_from_float", ""):
        expected = _EXPECTED.get(kind.removesuffix(ending)) if ending else _EXPECTED.get(kind)
        if expected is not None:
            return f"expected {expected}, got {say(value)}{_hint(expected, value)}"
    return f"{message[:1].lower()}{message[1:]}, got {say(value)}"


def _hint(expected: str, value: Any) -> str:
    """What to write instead, where that can be guessed."""
    hint = ""
    if value is None:
        hint = "give it a value, or leave the key out"
    elif expected == "true or false" and isinstance(value, str):
        meant = _YES_NO.get(value.lower(), value.lower())
        hint = f"write {meant}" if meant in ("true", "false") else ""
    elif expected.endswith("number") and isinstance(value, str):
        hint = _number_hint(value)
    elif expected == "a whole number" and isinstance(value, float) and value.is_integer():
        hint = f"write {value:.0f}"
    elif expected == "text":
        hint = "put it in quotes" if isinstance(value, int | float) else ""
    elif expected == "a list" and isinstance(value, str | int | float):
        hint = f"write [{_plain(value)}]"
    return f" ({hint})" if hint else ""


def _number_hint(text: str) -> str:
    if _LEADING_ZERO.fullmatch(text):
        octal = f", or 0o{text.lstrip('0')} if it is octal" if set(text) <= set("01234567") and text.strip("0") else ""
        return f"write {text.lstrip('0') or '0'}{octal}"
    if _WITH_UNIT.fullmatch(text):
        return "a bare number: the unit is in the key's name"
    if _GROUPED.fullmatch(text):
        return f"write {re.sub('[_,]', '', text)}"
    return "write it without quotes" if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) else ""


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{value:.0f}"
    return say(value).removeprefix("the number ")


def _either(known: list[str]) -> str:
    return known[0] if len(known) == 1 else f"one of {', '.join(known)}"


def unknown_key(key: str, outer: Any, models: Iterable[type[BaseModel]]) -> str:
    """Linkerd 1's word for something else, or the nearest key that is not taken yet."""
    for model in models:
        for base in model.__mro__:
            advice = _advice(base).get(key)
            if advice is not None:
                return f"unknown key ({advice})"
    known = [each for model in models for each in keys_of(model)]
    free = [each for each in dict.fromkeys(known) if not (isinstance(outer, dict) and each in outer)]
    return f"unknown key{did_you_mean(key, free)}"


def _advice(model: type) -> dict[str, str]:
    options = ADVICE["KindOptions"] if issubclass(model, Model) and "kind" in model.model_fields else {}
    return {**options, **ADVICE.get(model.__name__, {})}


def _missing(key: str, models: list[type[BaseModel]]) -> str:
    for model in models:
        for field in model.model_fields.values():
            if field.alias == key and field.description:
                words = re.split(r"[.;]\s|[.;]$", field.description)[0]
                first = words[:1] if words[1:2].isupper() else words[:1].lower()
                return f"required key is missing ({first}{words[1:]})"
    return "required key is missing"


def _misspelled(key: str, outer: Any, models: list[type[BaseModel]]) -> bool:
    """Whether an unknown key beside it is this one with a typo: that is told already."""
    known = {each for model in models for each in keys_of(model)}
    strange = [each for each in outer if each not in known] if isinstance(outer, dict) else []
    return bool(get_close_matches(key.lower(), [each.lower() for each in strange], n=1, cutoff=0.6))


def value_at(value: Any, loc: Loc) -> Any:
    """The part of `value` at `loc`, or None where there is none."""
    for part in loc:
        if (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        ):
            value = value[part]
        else:
            return None
    return value

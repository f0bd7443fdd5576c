"""Values whose `kind` says which model reads them: namers, interpreters, identifiers, balancers, transformers."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from linkerd_tcp import registry
from linkerd_tcp.config import unbuilt
from linkerd_tcp.config.fields import refuse
from linkerd_tcp.config.model import note_reader
from linkerd_tcp.config.words import KIND_ADVICE, say

Kinds: TypeAlias = dict[str, type[BaseModel]]


def did_you_mean(word: Any, known: list[str], *, near_only: bool = False) -> str:
    """` (did you mean port?)`, or what there is when nothing is near and the list is short."""
    if not isinstance(word, str):
        return ""
    # What all kinds begin with makes none of them nearer.
    lowered = {each.lower().removeprefix("io.l5d."): each for each in known}
    near = get_close_matches(word.lower().removeprefix("io.l5d."), list(lowered), n=1, cutoff=0.6)
    if near:
        return f" (did you mean {lowered[near[0]]}?)"
    return f" (there is {', '.join(known)})" if 0 < len(known) <= 8 and not near_only else ""


def model_of(role: str, kind: str, table: Kinds | None = None) -> type[BaseModel]:
    """The model that reads `kind` of `role`, built or not; refuses an unknown kind with words for an operator.

    `table` holds the kinds of a role that is not open to plug-ins.
    """
    if table is not None and kind in table:
        return table[kind]
    later = unbuilt.MODELS.get(role, {}).get(kind)
    if later is not None and kind not in registry.BUILT_IN[role]:
        return later
    try:
        if table is not None:
            raise registry.UnknownKind(role, kind, sorted(table))
        model = registry.load(role, kind)
    except registry.UnknownKind as error:
        advice = KIND_ADVICE.get(role, {}).get(kind)
        refuse(
            f"unknown {role} kind {say(kind)}{f' ({advice})' if advice else did_you_mean(kind, error.known)}",
            key="kind",
        )
    except (registry.ConflictingKinds, ImportError, AttributeError, TypeError) as error:
        refuse(f"{role} kind {say(kind)} cannot be used: {error}", key="kind")
    if not issubclass(model, BaseModel):
        refuse(f"{role} kind {say(kind)} cannot be used: {model!r} is no pydantic model", key="kind")
    return model


@dataclass(frozen=True, eq=False)
class ByKind:
    """Annotates a field of `role`; without a `kind` in the file `default` is meant, if there is one."""

    role: str
    default: str | None = None
    table: Kinds | None = None

    def read(self, value: Any, info: ValidationInfo) -> BaseModel:
        if isinstance(value, BaseModel):
            return value
        if not isinstance(value, dict):
            refuse(f"expected a mapping with a kind, got {say(value)}{self._hint(value)}")
        kind = value.get("kind", self.default)
        if kind is None:
            refuse(f"is missing: one of {', '.join(self.known())}", key="kind")
        if not isinstance(kind, str):
            refuse(f"expected one of {', '.join(self.known())}; got {say(kind)}", key="kind")
        model = model_of(self.role, kind, self.table)
        if "kind" not in value:
            note_reader(value, model, info)
            value = {"kind": kind, **value}
        # A ValidationError raised in here is taken apart by pydantic, each part under its own key.
        return model.model_validate(value, context=info.context)

    def _hint(self, value: Any) -> str:
        return f" (did you mean {{kind: {value}}}?)" if isinstance(value, str) and value in self.known() else ""

    def known(self) -> list[str]:
        """Every kind that may be named here."""
        if self.table is not None:
            return list(self.table)
        return sorted({*registry.kinds(self.role), *unbuilt.MODELS.get(self.role, {})})

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        choices: list[JsonSchemaValue] = []
        for kind in self.known():
            shape = handler(model_of(self.role, kind, self.table).__pydantic_core_schema__)
            required = [] if kind == self.default else ["kind"]
            choices.append({"allOf": [shape], "properties": {"kind": {"const": kind}}, "required": required})
        return {"oneOf": choices}


def default_of(role: str, kind: str, **options: Any) -> Any:
    """What is meant where the file says nothing."""
    return model_of(role, kind).model_validate({"kind": kind, **options})


NamerOf: TypeAlias = Annotated[Any, ByKind("namer")]
InterpreterOf: TypeAlias = Annotated[Any, ByKind("interpreter", "default")]
IdentifierOf: TypeAlias = Annotated[Any, ByKind("identifier")]
BalancerOf: TypeAlias = Annotated[Any, ByKind("balancer", "p2c")]
TransformerOf: TypeAlias = Annotated[Any, ByKind("transformer")]

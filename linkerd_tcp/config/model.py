"""The base of every configuration model: camelCase keys, unknown keys refused, values never changed."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """`connect_timeout_ms` here is `connectTimeoutMs` in the file. Strict: "5" is not a number and 1 is not true.

    A key with nothing after it counts as not given. Equal contents are equal and hash alike, which is how a reload
    finds what changed. The text under a field is its description in the JSON Schema.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )

    built: ClassVar[bool] = True
    """False: valid in a file, but there is no code for it here yet; the program says so and exits with 2."""

    @model_validator(mode="before")
    @classmethod
    def _note_who_reads(cls, data: Any, info: ValidationInfo) -> Any:
        """Remember which model read which mapping of the file, so that an unknown key can be told its neighbours."""
        note_reader(data, cls, info)
        if isinstance(data, dict) and None in data.values():
            # `admin:` with every line below it commented out; linkerd-tcp reads that as not given, too.
            optional = {field.alias for field in cls.model_fields.values() if not field.is_required()}
            return {key: value for key, value in data.items() if value is not None or key not in optional}
        return data


def note_reader(data: Any, model: type[BaseModel], info: ValidationInfo) -> None:
    """`model` reads the mapping `data` of the file, which outlives the validation, so its id stays its own."""
    if isinstance(info.context, dict) and "readers" in info.context:
        info.context["readers"].setdefault(id(data), []).append(model)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of `model` as they are written in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]

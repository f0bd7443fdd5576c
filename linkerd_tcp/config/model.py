"""The base of every configuration model: camelCase keys, unknown keys refused, values never changed."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """`connect_timeout_ms` here is `connectTimeoutMs` in the file. Strict: "5" is not a number and 1 is not true."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )

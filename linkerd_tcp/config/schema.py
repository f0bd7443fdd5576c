"""The JSON Schema of the configuration file, for editors and for checks outside this program."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from linkerd_tcp.config.app import AppConfig


class _Schema(GenerateJsonSchema):
    """Pydantic's, but for the titles it makes up from names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Draft 2020-12. A file that it accepts may still hold conflicts, or texts that do not parse; `--check` knows."""
    schema = AppConfig.model_json_schema(schema_generator=_Schema, mode="validation")
    return {"$schema": _Schema.schema_dialect, "title": "linkerd-tcp configuration", **_without_titles(schema)}


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    schema.pop("title", None)
    for each in schema.get("$defs", {}).values():
        each.pop("title", None)
    return schema

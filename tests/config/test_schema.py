import json
import warnings
from pathlib import Path

import jsonschema
import pytest

from linkerd_tcp import registry
from linkerd_tcp.config import unbuilt
from linkerd_tcp.config.schema import json_schema
from linkerd_tcp.config.yaml import load_yaml

CORPUS = Path(__file__).parent / "corpus"


def is_valid(text: bytes) -> bool:
    valid: bool = jsonschema.Draft202012Validator(json_schema()).is_valid(load_yaml(text, "f").value)
    return valid


def test_it_is_a_schema_of_draft_2020_12_and_made_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(schema)


@pytest.mark.parametrize(
    "file",
    [
        f
        for f in sorted((CORPUS / "valid").glob("*.[yj]*"))
        if f.suffix != ".txt" and f.name != "nothing-after-keys.yml"
    ],
    ids=lambda file: file.name,
)
def test_valid_files_are_accepted(file: Path) -> None:
    assert is_valid(file.read_bytes())


def test_the_example_file_is_accepted() -> None:
    assert is_valid((CORPUS.parent.parent.parent / "example-standalone.yml").read_bytes())


@pytest.mark.parametrize(
    "text",
    [
        "routers: []",
        "routers: [{label: a, servers: [{port: 1, dstName: /a, prot: 1}]}]",
        "routers: [{label: a, servers: [{port: '1', dstName: /a}]}]",
        "routers: [{label: a, servers: [{port: 1, dstName: a}]}]",
        "routers: [{label: a, servers: [{port: 1, dstName: /a}], client: {loadBalancer: {kind: p2x}}}]",
        "routers: [{label: a, servers: [{port: 1, dstName: /a}], client: {configs: []}}]",
        "namers: [{rootDir: .}]\nrouters: [{label: a, servers: [{port: 1, dstName: /a}]}]",
        "namers: [{kind: io.l5d.fs, rootDir: ., x: {}}]\nrouters: [{label: a, servers: [{port: 1, dstName: /a}]}]",
    ],
)
def test_wrong_files_are_refused(text: str) -> None:
    assert not is_valid(text.encode())


@pytest.mark.parametrize("role", sorted({*registry.BUILT_IN} - {"utilities"}))
def test_every_kind_is_in_it(role: str) -> None:
    text = json.dumps(json_schema())
    for kind in (*registry.BUILT_IN[role], *registry.NOT_BUILT_YET.get(role, ())):
        assert f'"const": "{kind}"' in text


@pytest.mark.parametrize("role", registry.NOT_BUILT_YET)
def test_every_kind_not_built_yet_has_its_options_here(role: str) -> None:
    assert set(unbuilt.MODELS[role]) == registry.NOT_BUILT_YET[role]
    assert not set(unbuilt.MODELS[role]) & set(registry.BUILT_IN[role])

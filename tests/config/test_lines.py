"""The configuration as it is shown: whole, readable, a configuration itself, and honest about what the file says."""

import json
import pathlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.config.lines import _key, _scalar, yaml_lines
from linkerd_tcp.config.load import effective, keep_running, parse_config
from linkerd_tcp.config.yaml import load_yaml

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
FEW = """
namers:
  - {kind: io.l5d.static, services: {web: ["127.0.0.1:8080"]}}
routers:
  - label: default
    dtab: "/svc => /#/io.l5d.static; /svc/x => /a | /b;"
    servers:
      - {port: 0, dstName: /svc/web}
"""
MANY = """
workers: auto
admin: {port: 0, allowedHosts: [lb.example.com], readOnly: true}
accessLog: {path: "-", format: text}
namerd: {port: 0, storage: {kind: io.l5d.inMemory, namespaces: {"a b: #": "/svc => /x;"}}}
namers:
  - kind: io.l5d.static
    services:
      "<img src=x>": ["127.0.0.1:1", {host: "::1", port: 80, weight: 0.5, meta: {"on": "22:22", zone: "0777"}}]
    transformers: [{kind: io.l5d.const, path: "/$/inet/127.0.0.1/80"}]
  - {kind: io.l5d.static, prefix: /other, services: {}}
routers:
  - label: "\\u202e: yes\\n"
    servers:
      - {port: 0, dstName: /svc/web, allow: [10.0.0.0/8], proxyProtocol: {trusted: ["10.0.0.0/8"], mode: optional}}
      - {port: 0, identifier: {kind: io.l5d.sni, prefix: /svc, default: /svc/other}, connectionLifetimeSecs: 3.5}
    client:
      kind: io.l5d.static
      configs: [{prefix: "/#/*/{name}", maxAttempts: 2}, {prefix: /, loadBalancer: {kind: ewma}}]
"""


def lines_of(text: str) -> list[str]:
    return [line.text for line in yaml_lines(parse_config(text, "x.yml", ROOT))]


@pytest.mark.parametrize("text", [FEW, MANY, (ROOT / "example-standalone.yml").read_text()])
def test_what_is_shown_is_a_configuration_of_the_same_program(text: str) -> None:
    config = parse_config(text, "x.yml", ROOT)
    shown = "\n".join(line.text for line in yaml_lines(config))
    again = parse_config(shown, "shown.yml", ROOT)
    assert effective(again) == effective(config)
    assert again.model_copy(update={"routers": config.routers}) == config


def bare(value: object) -> object:
    """Without the blanks of dtabs, which are written an entry a line."""
    if isinstance(value, dict):
        return {key: bare(each) for key, each in value.items()}
    if isinstance(value, list):
        return [bare(each) for each in value]
    return "".join(value.split()).removesuffix(";") if isinstance(value, str) else value


@pytest.mark.parametrize("text", [FEW, MANY])
def test_every_reader_of_yaml_finds_what_the_json_has(text: str) -> None:
    config = parse_config(text, "x.yml", ROOT)
    shown = yaml.safe_load("\n".join(line.text for line in yaml_lines(config)))
    assert bare(shown) == bare(json.loads(json.dumps(effective(config))))


def test_no_line_has_what_cannot_be_seen() -> None:
    assert all(line.isprintable() for line in lines_of(MANY))
    assert '  - label: "\\u202e: yes\\n"' in lines_of(MANY)


def test_a_line_says_whether_the_file_has_it_and_where() -> None:
    found = {line.text.strip(): line for line in yaml_lines(parse_config(FEW, "x.yml", ROOT))}
    assert (found["- label: default"].is_written, found["- label: default"].number) == (True, 5)
    assert (found["- port: 0"].is_written, found["- port: 0"].number) == (True, 8)
    assert found["/svc/x => /a | /b ;"].is_written
    for default in ("workers: 1", "admin:", "port: 9989", "idleTimeoutMs: 3600000", "kind: default"):
        assert (found[default].is_written, found[default].number) == (False, None), default


def test_below_a_default_all_is_default_and_a_dtab_made_of_the_namers_is_one() -> None:
    lines = list(yaml_lines(parse_config(MANY, "x.yml", ROOT)))
    start = next(n for n, line in enumerate(lines) if line.text.strip() == "dtab: |")
    assert not lines[start].is_written
    assert [line.text.strip() for line in lines[start + 1 : start + 3]] == [
        "/svc => /#/io.l5d.static ;",
        "/svc => /#/other ;",
    ]
    assert not any(line.is_written for line in lines[start : start + 3])


def test_what_a_reload_does_not_change_stays_what_it_was_in_the_file() -> None:
    """It is kept from before, and is no more the file's than then."""
    config = parse_config(FEW, "x.yml", ROOT)
    kept = keep_running(config, parse_config(FEW, "x.yml", ROOT))
    assert list(yaml_lines(kept)) == list(yaml_lines(config))
    moved = keep_running(config, parse_config(f"admin: {{port: 1234}}\n{FEW}", "x.yml", ROOT))
    assert moved.admin.port == 9989


def test_another_process_has_no_line_numbers_but_the_rest() -> None:
    config = parse_config(FEW, "x.yml", ROOT)
    without = list(yaml_lines(config.without_places()))
    assert without == [line._replace(number=None) for line in yaml_lines(config)]
    assert config.without_places().read_at == config.read_at is not None


def test_credentials_in_an_address_are_left_out() -> None:
    text = FEW.replace("namers:", "namers:\n  - {kind: io.l5d.namerd, baseUrl: 'http://u:secret@n:4180', namespace: d}")
    shown = "\n".join(lines_of(text))
    assert "baseUrl: http://n:4180" in shown
    assert "secret" not in shown


@given(st.text() | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_value_is_read_back_as_it_was(value: object) -> None:
    written = _scalar(value)
    assert written.isprintable()
    assert load_yaml(f"a: {written}", "x").value == {"a": value}
    if not isinstance(value, float):  # YAML 1.1 takes 1e-05 for a text
        assert yaml.safe_load(f"a: {written}") == {"a": value}


@given(st.text(min_size=1))
def test_any_key_is_read_back_as_it_was(key: str) -> None:
    assert load_yaml(f"{_key(key)}: 1", "x").value == {key: 1}

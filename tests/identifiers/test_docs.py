"""docs/identifiers.md is true: its example runs as it stands, and every kind has its row."""

import re
from pathlib import Path

from linkerd_tcp import registry
from linkerd_tcp.config.load import not_built, parse_config, warnings

PAGE = (Path(__file__).parents[2] / "docs/identifiers.md").read_text(encoding="utf-8")


def test_the_example_is_valid_and_complete() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    config = parse_config(example, "identifiers.md", Path.cwd())
    assert not_built(config) + warnings(config) == []


def test_every_kind_has_its_row() -> None:
    assert re.findall(r"^\| `(io\.l5d\.\w+)` \|", PAGE, re.MULTILINE) == list(registry.BUILT_IN["identifier"])

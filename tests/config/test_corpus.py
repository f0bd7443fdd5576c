"""Whole files beside the exact lines that are printed for them.

`valid/X.txt` are the lines about what X asks for and cannot have yet, and about probable mistakes; `invalid/X.txt` are
its errors. `$FOLDER` stands for the corpus folder.
"""

from pathlib import Path

import pytest

from linkerd_tcp.config.load import missing_files, not_built, parse_config, warnings
from linkerd_tcp.errors import ConfigError

CORPUS = Path(__file__).parent / "corpus"


def files(folder: str) -> list[Path]:
    found = sorted(each for each in (CORPUS / folder).iterdir() if each.suffix in (".yml", ".json"))
    assert found
    return found


def told(file: Path, lines: list[str]) -> list[str]:
    return [line.replace(str(file.parent), "$FOLDER") for line in lines]


def golden(file: Path) -> list[str]:
    return file.with_name(f"{file.name}.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("file", files("valid"), ids=lambda file: file.name)
def test_a_valid_file_is_read_and_what_it_lacks_is_told(file: Path) -> None:
    config = parse_config(file.read_bytes(), file.name, file.parent)
    assert told(file, not_built(config) + missing_files(config) + warnings(config)) == golden(file)


@pytest.mark.parametrize("file", files("invalid"), ids=lambda file: file.name)
def test_every_error_of_an_invalid_file_is_told_in_the_order_of_the_file(file: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(file.read_bytes(), file.name, file.parent)
    assert told(file, raised.value.problems) == golden(file)


@pytest.mark.parametrize("file", files("valid"), ids=lambda file: file.name)
def test_a_file_read_twice_is_equal_and_hashes_alike(file: Path) -> None:
    first, second = (parse_config(file.read_bytes(), name, file.parent) for name in ("a", "b"))
    assert first == second
    assert hash(first) == hash(second)

"""The examples of docs/plugins.md, installed by pip where nothing else is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.leaks import no_leaks
from tests.system.harness import REPOSITORY

assert no_leaks

EXAMPLES = REPOSITORY / "docs" / "examples"


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """The servers in the test end with it."""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from, with each example package in it as a user's `pip install` puts it there."""
    target = tmp_path_factory.mktemp("site")
    for example in ("catalog", "house"):
        tree = tmp_path_factory.mktemp(example) / example  # what is built leaves files where it was built
        shutil.copytree(EXAMPLES / example, tree, ignore=shutil.ignore_patterns("__pycache__"))
        options = ["--no-index", "--no-build-isolation", "--no-deps", "--quiet", "--target", str(target)]
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, str(tree)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture
def environment(installed: Path) -> dict[str, str]:
    """For a process that has the packages and this tree."""
    return {"PYTHONPATH": f"{installed}{os.pathsep}{REPOSITORY}"}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """`python -m MODULE ARGUMENTS` in `tmp_path`, to its end."""

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run

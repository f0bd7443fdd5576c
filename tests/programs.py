"""Programs of the system that a test needs: skipped by name without them, or failed where all must be there."""

import os
import shutil
from typing import NoReturn

import pytest

ALL_MUST_BE_THERE = "LINKERD_TCP_TEST_ALL"
"""Set to 1 by .ci/run, which installs every program: a skip there is a test that silently stopped running."""


def program(name: str) -> str:
    """The path of `name`, also where only root's PATH has it; skips the test (see above) if it is not installed."""
    path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        missing(name)
    return path


def missing(name: str) -> NoReturn:
    """Skip, or fail, for want of `name`: a program or something else that the system should have."""
    if os.environ.get(ALL_MUST_BE_THERE) == "1":
        pytest.fail(f"needs {name}, and {ALL_MUST_BE_THERE}=1 says that nothing is missing")
    pytest.skip(f"needs {name}")

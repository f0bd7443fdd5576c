"""Patch first, as the program does; everything else comes after.

But for the tests that drive a browser: what drives it has a loop of its own (tests/stages.py).
"""

from tests import stages

if not stages.DRIVES_BROWSER:
    from gevent import monkey

    monkey.patch_all(queue=False)  # queue=True breaks watchdog 7: its emitter dies at the first event

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no clock: what fails, fails again. LINKERD_TCP_TEST_DEEP=1 looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.register_profile("deep", deadline=None, max_examples=5_000)
settings.load_profile("deep" if os.environ.get("LINKERD_TCP_TEST_DEEP") else "steady")

_collected_for: list[Path] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What stays for all tests is not looked through again and again: `no_leaks` asks about every object, twice a test.

    A test may have said unfreeze, so each module begins with the question.
    """
    if _collected_for != [item.path]:
        _collected_for[:] = [item.path]
        if not gc.get_freeze_count():
            gc.collect()
            gc.freeze()

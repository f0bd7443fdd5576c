"""Which tests a process runs: those of a browser need one that gevent has not patched, all others one that it has."""

import os
from pathlib import Path
from typing import Final

BROWSER: Final = "LINKERD_TCP_TEST_BROWSER"
"""Set to 1 for the process that drives a browser."""

DRIVES_BROWSER: Final = os.environ.get(BROWSER) == "1"

BROWSER_FOLDER: Final = Path(__file__).resolve().parent / "browser"


def is_of_browser(path: Path) -> bool:
    return path.is_relative_to(BROWSER_FOLDER)

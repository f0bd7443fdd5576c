"""What a proxy shows of a discovery source that is away, and how soon it follows one that is back."""

import time
from pathlib import Path
from typing import Any

from tests.system.harness import Proxy, until
from tests.system.peers import Visits


def folder(tmp_path: Path, name: str = "plane") -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def rows_of(word: str, proxy: Proxy) -> list[dict[str, Any]]:
    """What /namers.json has of the watches of each kind that has this word in its name."""
    every = proxy.get_json("/namers.json")["namers"]
    return [row for each in every if word in each["kind"] for row in each["watches"]]


def names_stale(word: str, proxy: Proxy) -> bool:
    """Whether /ready, which must say 200 all the same, has this word."""
    status, body = proxy.get("/ready")
    assert status == 200, body
    return word in body


def follows(visits: Visits, name: str, secs: float) -> float:
    """How long until new connections reach the backend of that name, which must be within `secs`."""
    began = time.monotonic()
    before = visits.names[name]
    until(f"{name} is reached", lambda: visits.names[name] > before, secs)
    return time.monotonic() - began

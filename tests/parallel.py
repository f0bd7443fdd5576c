"""`python -m tests.parallel [ARGUMENTS OF PYTEST]`: the tests in several processes, those marked `alone`, a browser's.

Each process is a pytest like any other, and takes the next piece that nobody has taken. Nothing else is in it: no
thread that brings it work (a wait for one is a LoopExit in a process that gevent has patched) and no second loop, so
that a test finds there what it finds when it is run by itself.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests import stages

TAKEN = "LINKERD_TCP_TEST_TAKEN"
"""The folder with a file for each piece that has been taken; not set for those that are `alone`."""

NOTHING_TO_RUN = 5

MOST = 8
"""Processes. Each reads in all the tests first."""


# In each process: a plug-in of pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests that may share the machine, or, without a folder, those that may not; or those of a browser."""
    alone = TAKEN not in os.environ

    def wanted(item: pytest.Item) -> bool:
        if stages.DRIVES_BROWSER or stages.is_of_browser(item.path):
            return stages.DRIVES_BROWSER and stages.is_of_browser(item.path)
        return bool(item.get_closest_marker("alone")) == alone

    other = [item for item in items if not wanted(item)]
    items[:] = [item for item in items if wanted(item)]
    config.hook.pytest_deselected(items=other)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """As pytest's own, with the tests that this process has taken."""
    if TAKEN not in os.environ or session.testsfailed or session.config.option.collectonly:
        return None
    mine = _mine(session.items, Path(os.environ[TAKEN]))
    item = next(mine, None)
    while item is not None:
        following = next(mine, None)  # taken now: what of the fixtures stays depends on it
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def _mine(items: list[pytest.Item], taken: Path) -> Iterator[pytest.Item]:
    pieces: dict[str, list[pytest.Item]] = {}
    for item in items:
        pieces.setdefault(_piece(item), []).append(item)
    for name, piece in pieces.items():
        try:  # by its name: numbers would be another's where two processes collect in another order
            os.close(os.open(taken / sha256(name.encode()).hexdigest(), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        yield from piece


def _piece(item: pytest.Item) -> str:
    """A test; or all of a module, where they share what is made once."""
    defs = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    dear = any(each[-1].scope in ("module", "package", "session") and each[-1].baseid for each in defs)
    return item.nodeid.partition("::")[0] if dear else item.nodeid


# Around them


def main(arguments: list[str]) -> int:
    """The worst status of all of them."""
    number = min((os.cpu_count() or 1) + 1, MOST)  # much of the time of a test is waiting
    with tempfile.TemporaryDirectory(prefix="linkerd-tcp-test-") as taken:
        environment = {**os.environ, TAKEN: taken}
        statuses = [0] * number
        told: list[str] = []

        def run(index: int) -> None:
            statuses[index] = _pytest(arguments, environment, f"{index + 1}| ", told)

        threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    statuses.append(_pytest(arguments, dict(os.environ), "alone| ", told))
    of_browser = _of_browser(arguments)
    if of_browser is not None:
        statuses.append(_pytest(of_browser, {**os.environ, stages.BROWSER: "1"}, "browser| ", told))
    print("\nIn short:", *told, sep="\n")
    return max((status for status in statuses if status != NOTHING_TO_RUN), default=NOTHING_TO_RUN)


def _of_browser(arguments: list[str]) -> list[str] | None:
    """The arguments for the tests of a browser: other paths are not even read in. None if only others are wanted."""
    paths = [each for each in arguments if Path(each.partition("::")[0]).exists()]
    inside = [each for each in paths if stages.is_of_browser(Path(each.partition("::")[0]).resolve())]
    around = any(stages.BROWSER_FOLDER.is_relative_to(Path(each).resolve()) for each in paths)
    if paths and not inside and not around:
        return None
    return [each for each in arguments if each not in paths] + (inside or [str(stages.BROWSER_FOLDER)])


def _pytest(arguments: list[str], environment: dict[str, str], prefix: str, told: list[str]) -> int:
    """One process to its end, with each line that it says after `prefix`; what failed, and its last line, are told."""
    own = ["-p", "tests.parallel", "-p", "no:cacheprovider", "-o", "console_output_style=classic"]
    command = [sys.executable, "-m", "pytest", *own, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        line = ""
        for said in process.stdout:
            line = prefix + said.decode(errors="replace").rstrip("\n")
            print(line, flush=True)
            if said.startswith((b"FAILED ", b"ERROR ")):
                told.append(line)
        told.append(line)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

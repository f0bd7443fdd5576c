"""One browser for all tests, the program once in each of its states, and windows that are held to their promise."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import stages
from tests.browser import worlds
from tests.browser.chromium import Window, launched
from tests.browser.worlds import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ELSEWHERE = "drives a browser, in a process that gevent has not patched: python -m tests.parallel tests/browser"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not stages.DRIVES_BROWSER:
        for item in items:
            if stages.is_of_browser(item.path):
                item.add_marker(pytest.mark.skip(reason=ELSEWHERE))


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    with launched() as found:
        yield found


@pytest.fixture(scope="session")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, browser: "Browser"
) -> Iterator[World]:
    """The program in a state of `worlds.STATES`, "busy", or with that many workers, "busy 2".

    A test leaves it as it found it. Made once: pytest runs all tests of a state one after the other.
    """
    state, _, workers = request.param.partition(" ")
    with worlds.STATES[state](tmp_path_factory.mktemp(state), workers=int(workers or 1)) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path, browser: "Browser") -> Iterator[Callable[..., World]]:
    """The program in such a state for this test alone, which may break it: `fresh("busy", workers=2)`.

    Options are those of `worlds.configuration`.
    """
    with contextlib.ExitStack() as stack:

        def enter(state: str, **options: Any) -> World:
            return stack.enter_context(worlds.STATES[state](tmp_path, **options))

        yield enter


@pytest.fixture
def window(browser: "Browser") -> Iterator[Callable[..., Window]]:
    """Opens windows: `window(world, color_scheme="dark")`. At the end they are closed, and problems are failures."""
    opened: list[Window] = []

    def open_(world: World, **options: Any) -> Window:
        opened.append(Window(browser, world.url, **options))
        return opened[-1]

    with contextlib.ExitStack() as stack:
        yield open_
        for each in opened:
            stack.callback(each.close)

"""Logging: levels are changed for a time and come back, lines are found, and none runs away from its reader."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser import look
from tests.browser.chromium import Window
from tests.browser.worlds import World

if TYPE_CHECKING:
    from playwright.sync_api import Page

Fresh = Callable[..., World]
Windows = Callable[..., Window]

both = pytest.mark.parametrize("workers", [1, 2])
LOGGER = "linkerd_tcp.server"


def level(world: World) -> str:
    found: list[dict[str, str]] = world.proxy.get_json("/logging.json")
    return next((row["level"] for row in found if row["logger"] == LOGGER), "")


def own(page: "Page") -> dict[str, str]:
    """The row of each logger that has a level of its own."""
    found: dict[str, str] = page.locator("#own tr").evaluate_all(
        "(rows) => Object.fromEntries(rows.map((row) => [row.dataset.key, row.innerText]))"
    )
    return found


@both
def test_a_level_is_changed_for_a_time_and_undone(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("busy", workers=workers)
    page = window(world).open("/logging")
    before = level(world)
    page.locator("#change [name=logger]").select_option(LOGGER)
    page.locator("#change [name=level]").select_option("debug")
    page.locator("#change [name=forSecs]").select_option(index=1)
    page.get_by_role("button", name="Set the level").click()
    look.until("it is shown", lambda: "debug" in own(page).get(LOGGER, ""), 5, page)
    assert level(world).lower() == "debug"
    assert "127.0.0.1" in own(page)[LOGGER], "who changed it is said"
    look.until("new lines are said to be there", lambda: "new" in page.locator("#refresh").inner_text(), 15, page)
    look.follow(page, page.locator("#refresh"))
    assert "DEBUG" in page.locator("table.log").inner_text().upper()
    page.locator(f'#own tr[data-key="{LOGGER}"]').get_by_role("button", name="Undo").click()
    look.until("it is as before", lambda: level(world) == before, 5, page)
    look.until("it is shown", lambda: "debug" not in own(page).get(LOGGER, ""), 5, page)


@pytest.mark.parametrize("world", ["broken", "broken 2"], indirect=True)
def test_lines_are_found_by_level_and_text(world: World, window: Windows) -> None:
    page = window(world).open("/logging")
    lines = page.locator("table.log tbody tr")
    assert lines.count() > 2
    find = page.get_by_role("search")
    find.locator("[name=level]").select_option("error")
    look.follow(page, find.get_by_role("button", name="Show"))
    assert "level=error" in page.url
    assert lines.count() >= 1
    assert all("error" in text.lower() for text in lines.all_inner_texts())
    assert "maxConsecutiveFailures" in page.locator("table.log").inner_text(), "the refused reload"
    find.get_by_label("Text").fill("no line has this")
    with page.expect_navigation(url="**text=no**"):
        find.get_by_label("Text").press("Enter")
    assert "No line like that" in page.locator("table.log").inner_text()

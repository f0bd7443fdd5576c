"""Every page in every state can be read and used: by axe's rules, on a small screen, by keyboard, without scripts."""

from collections.abc import Callable

import pytest

from tests.browser import look
from tests.browser.chromium import Window
from tests.browser.test_frame import PAGES
from tests.browser.worlds import World

every_state = pytest.mark.parametrize("world", ["empty", "busy", "broken", "hostile"], indirect=True)
every_page = pytest.mark.parametrize("path", PAGES)


@every_state
@every_page
def test_axe_finds_nothing_serious_and_nothing_is_too_wide(
    world: World, window: Callable[..., Window], path: str
) -> None:
    page = window(world, color_scheme="light").open(path)
    assert look.violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert look.violations(page, ["color-contrast"]) == [], "dark"
    for width in (320, 360):
        page.set_viewport_size({"width": width, "height": 700})
        assert look.sideways(page) == []
    assert look.violations(page) == [], "as cards"


@pytest.mark.parametrize("world", ["broken"], indirect=True)
@every_page
@pytest.mark.parametrize("width", [360, 1280])
def test_the_focus_is_always_seen(world: World, window: Callable[..., Window], path: str, width: int) -> None:
    page = window(world, viewport={"width": width, "height": 800}).open(path)
    stops = look.walk(page)
    assert len(stops) >= 8, "the pages of the bar at least"
    assert [stop for stop in stops if not stop["inside"]] == [], "outside of what is seen"
    assert [stop for stop in stops if not stop["ring"]] == [], "without a sign of the focus"
    assert [stop for stop in stops if stop["covered"]] == [], "below something else"


@every_state
@every_page
def test_a_page_can_be_read_without_scripts(world: World, window: Callable[..., Window], path: str) -> None:
    page = window(world, java_script_enabled=False).open(path)
    assert page.get_by_role("heading", level=1).inner_text() == PAGES[path]
    assert "reload the page" in page.locator(".note").first.inner_text()
    assert len(page.get_by_role("main").inner_text()) > 60


@pytest.mark.parametrize("world", ["broken"], indirect=True)
@every_page
def test_forced_colours_and_paper_show_the_same_words(world: World, window: Callable[..., Window], path: str) -> None:
    forced = window(world, forced_colors="active").open(path)
    assert forced.evaluate("() => matchMedia('(forced-colors: active)').matches")
    assert look.violations(forced) == []
    assert forced.get_by_role("heading", level=1).is_visible()
    forced.emulate_media(media="print", forced_colors="none")
    assert forced.get_by_role("heading", level=1).is_visible()
    assert not forced.get_by_role("navigation", name="Pages").is_visible()
    assert look.sideways(forced) == []

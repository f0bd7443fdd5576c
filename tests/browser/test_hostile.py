"""What strangers say is shown, and is only ever text: nothing of it becomes an element, a request or a dialog."""

from collections.abc import Callable

import pytest

from tests.browser import look
from tests.browser.chromium import Window
from tests.browser.screenshots import paths
from tests.browser.test_frame import PAGES
from tests.browser.worlds import HOSTILE, World

hostile = pytest.mark.parametrize("world", ["hostile", "hostile 2"], indirect=True)
OURS = """() => [...document.querySelectorAll('*')].map((node) => node.tagName.toLowerCase()).filter((name, at, all) =>
  all.indexOf(name) === at && ['img', 'iframe', 'object', 'embed', 'frame', 'b-b', 'base'].includes(name))"""
HANDLERS = """() => [...document.querySelectorAll('*')].filter((node) =>
  node.getAttributeNames().some((name) => name.startsWith('on') || name === 'style' || name === 'srcdoc')).length"""
SCRIPTS = "() => [...document.scripts].filter((script) => !script.src.startsWith(location.origin + '/static/')).length"
SVGS = "() => [...document.querySelectorAll('svg')].filter((node) => node.hasAttribute('onload')).length"
DIRECTION = "() => /[\\u202a-\\u202e\\u2066-\\u2069\\u200e\\u200f]/.test(document.body.innerText)"


@hostile
def test_nothing_of_it_becomes_part_of_a_page(world: World, window: Callable[..., Window]) -> None:
    shown = window(world)
    page = shown.open()
    seen = ""
    for path in [*PAGES, *paths(world).values(), "/connections?cause=identify", "/connections?cause=binding"]:
        page.goto(path)
        page.wait_for_timeout(300)
        for check in (HANDLERS, SCRIPTS, SVGS):
            assert page.evaluate(check) == 0, (path, check)
        assert page.evaluate(OURS) == [], path
        assert not page.evaluate(DIRECTION), f"{path}: a mark that turns text around is written out"
        seen += page.get_by_role("main").inner_text()
    for sign in ("<img src=x", "\\u202e", "<svg onload"):
        assert sign in seen, f"{sign} is shown as it was said"


@hostile
def test_a_story_tells_what_was_said_in_full(world: World, window: Callable[..., Window]) -> None:
    page = window(world).open("/connections?cause=identify")
    look.follow(page, page.locator("table.connections tbody tr a").first)
    story = page.get_by_role("main").inner_text()
    assert "<script>alert(2)</script>" in story
    assert "\u202e" not in story
    page.goto(page.url + ".txt")
    assert "\u202e" not in page.locator("body").inner_text()
    assert "\x1b" not in page.locator("body").inner_text(), "a terminal shows this text, too"


@pytest.mark.parametrize("world", ["hostile"], indirect=True)
def test_what_comes_in_an_address_or_is_typed_stays_text(world: World, window: Callable[..., Window]) -> None:
    shown = window(world)
    shown.allow("status of 40")
    page = shown.open("/delegator")
    page.locator("#text").fill(f"/svc => /#/io.l5d.fs ; {HOSTILE}")
    look.until("it is refused", lambda: page.locator("#wrong").inner_text(), 5, page)
    page.get_by_label("Path").fill(f"/svc/{HOSTILE}")
    page.wait_for_timeout(800)
    quoted = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    for path in (
        f"/delegator#router={quoted}&path=/{quoted}&dtab={quoted}",
        f"/delegator?router={quoted}&path=/{quoted}",
        f"/connections?source={quoted}&path={quoted}&cause={quoted}",
        f"/connections?source={quoted}&path={quoted}",
        f"/connections/{quoted}",
        f"/logging?text={quoted}",
        f"/?filter={quoted}",
        f"/configuration?only={quoted}",
        f"/{quoted}",
    ):
        page.goto(path)
        page.wait_for_timeout(200)
        assert page.evaluate(OURS) == [], path
        assert page.evaluate(HANDLERS) == 0, path
        assert "Internal" not in page.title()


@pytest.mark.parametrize("world", ["hostile"], indirect=True)
def test_a_page_of_somebody_else_changes_nothing(world: World, window: Callable[..., Window]) -> None:
    """A form of another origin is sent by the browser, and refused here."""
    shown = window(world)
    shown.allow("asked somebody else|status of 403|ERR_")
    page = shown.context.new_page()
    shown.context.route("http://127.0.0.1:1/**", lambda route: route.fulfill(body=form, content_type="text/html"))
    form = f'<form method="post" action="{world.url}/shutdown"><button>Win a prize</button></form>'
    page.goto("http://127.0.0.1:1/")
    page.get_by_role("button").click()
    page.wait_for_url(world.url + "/**")
    assert "Origin" in page.locator("body").inner_text()
    assert world.proxy.get("/live")[0] == 200
    assert world.proxy.get("/ready")[0] == 200

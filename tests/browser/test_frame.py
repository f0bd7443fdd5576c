"""What every page has around it: the bar, the way past it, the choice of a theme, and nothing from elsewhere."""

import re
from collections.abc import Callable

import pytest

from linkerd_tcp import __version__
from tests.browser import look
from tests.browser.chromium import Window
from tests.browser.worlds import World

PAGES = {
    "/": "Overview",
    "/delegator": "Delegator",
    "/connections": "Connections",
    "/logging": "Logging",
    "/configuration": "Configuration",
    "/help": "Help",
}
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
DARK, LIGHT = "rgb(18, 22, 27)", "rgb(255, 255, 255)"

both = pytest.mark.parametrize("world", ["busy", "busy 2"], indirect=True)


@both
@pytest.mark.parametrize("path", PAGES)
def test_a_page_says_what_it_is_and_of_which_process(world: World, window: Callable[..., Window], path: str) -> None:
    page = window(world).open(path)
    assert PAGES[path] in page.title()
    assert page.get_by_role("heading", level=1).inner_text() == PAGES[path]
    bar = page.get_by_role("banner").inner_text()
    assert world.url.removeprefix("http://") in bar
    assert __version__ in bar
    assert str(world.proxy.pid) in bar
    here = page.get_by_role("navigation", name="Pages").locator("[aria-current=page]")
    assert here.all_inner_texts() == [PAGES[path]]


@both
def test_every_page_is_one_click_away(world: World, window: Callable[..., Window]) -> None:
    page = window(world).open()
    for path, name in PAGES.items():
        look.follow(page, page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True))
        assert page.url == world.url + path
        assert page.get_by_role("heading", level=1).inner_text() == name


@pytest.mark.parametrize("world", ["busy"], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_systems_until_another_is_chosen(
    world: World, window: Callable[..., Window], scheme: str
) -> None:
    page = window(world, color_scheme=scheme).open()
    button = page.get_by_role("button", name="Theme")
    assert page.evaluate(BACKGROUND) == (DARK if scheme == "dark" else LIGHT)
    for chosen, ground in (("light", LIGHT), ("dark", DARK)):
        button.click()
        assert button.inner_text() == f"Theme: {chosen}"
        assert page.evaluate(BACKGROUND) == ground
        page.reload()
        assert page.evaluate(BACKGROUND) == ground, "it is chosen for every page, and for the next time"
    button.click()
    assert page.evaluate(BACKGROUND) == (DARK if scheme == "dark" else LIGHT)


@pytest.mark.parametrize("world", ["busy"], indirect=True)
@pytest.mark.parametrize("path", PAGES)
def test_the_first_stop_of_the_tab_key_leads_past_the_bar(
    world: World, window: Callable[..., Window], path: str
) -> None:
    page = window(world).open(path)
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    assert page.locator(".skip").bounding_box()["x"] >= 0, "it is seen when it has the focus"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.closest('header') === null")


@pytest.mark.parametrize("world", ["empty"], indirect=True)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_for_nothing_that_is_not_there(world: World, window: Callable[..., Window], path: str) -> None:
    shown = window(world)
    bad: list[str] = []
    shown.context.on("response", lambda answer: bad.append(answer.url) if answer.status >= 400 else None)
    shown.open(path)
    assert bad == []
    assert len(shown.requests) >= 4, "page, style and scripts at least"


@pytest.mark.parametrize("world", ["broken"], indirect=True)
def test_every_link_leads_somewhere(world: World, window: Callable[..., Window]) -> None:
    page = window(world).open()
    dead = {}
    asked: set[str] = set()
    for path in PAGES:
        page.goto(path)
        here = page.locator("a[href]").evaluate_all("(links) => links.map((link) => link.href)")
        ids = set(page.locator("[id]").evaluate_all("(nodes) => nodes.map((node) => node.id)"))
        for link in here:
            target, _, fragment = link.partition("#")
            if target == page.url.partition("#")[0]:
                if fragment and "=" not in fragment and fragment not in ids:
                    dead[link] = f"nothing on {path} is called so"
            elif target not in asked:
                asked.add(target)
                status, said = world.proxy.get(target.removeprefix(world.url))
                if status != 200:
                    dead[link] = f"{status} from {path}: {said[:100]}"
    assert dead == {}
    assert len(asked) > 20


@pytest.mark.parametrize("world", ["empty"], indirect=True)
@pytest.mark.parametrize("path", ["/metrics", "/ready", "/bindings.json", "/configuration.yaml"])
def test_what_is_no_page_can_be_looked_at_too(world: World, window: Callable[..., Window], path: str) -> None:
    shown = window(world)
    page = shown.open(path)
    page.wait_for_timeout(200)  # for what the browser asks for by itself
    assert page.locator("body").inner_text()


@pytest.mark.parametrize("world", ["empty"], indirect=True)
def test_what_is_wrong_with_a_page_is_found(world: World, window: Callable[..., Window]) -> None:
    """The tests' own promise: each of these would fail any of them."""
    shown = window(world)
    page = shown.open("/help")
    page.evaluate("() => { console.error('first'); setTimeout(() => { throw new Error('second'); }); }")
    page.evaluate("() => { const a = document.createElement('b'); a.setAttribute('style', 'color: red'); }")
    page.evaluate("() => { try { document.body.innerHTML = '<b>third</b>'; } catch {} }")
    page.evaluate("() => { location.href = 'http://127.0.0.2:9/'; }")
    signs = ("first", "second", "inline style", "TrustedHTML", "asked somebody else: http://127.0.0.2:9/")
    page.wait_for_timeout(500)
    assert [sign for sign in signs if not any(sign in problem for problem in shown.problems)] == [], shown.problems
    shown.problems.clear()


@pytest.mark.parametrize("workers", [1, 2])
def test_where_nothing_may_be_changed_nothing_can_be_pressed(
    fresh: Callable[..., World], window: Callable[..., Window], workers: int
) -> None:
    world = fresh("busy", workers=workers, admin={"readOnly": True})
    page = window(world).open()
    (open_, *_) = world.proxy.get_json("/connections.json?state=open&limit=1")["connections"]
    changes = re.compile("drain|close it|set the level|change|undo|reload the file|save|create|delete", re.IGNORECASE)
    for path in [*PAGES, f"/connections/{open_['id']}"]:
        page.goto(path)
        page.wait_for_timeout(1_200 if path == "/" else 200)
        buttons = page.locator("button:visible").all_inner_texts()
        assert [button for button in buttons if changes.search(button)] == [], path
        assert "read only" in page.get_by_role("banner").inner_text()
    page.goto("/delegator#router=default&path=/svc/web")
    page.locator("#text").fill("/svc => /#/io.l5d.fs/canary ;")
    page.get_by_text("not used for traffic").wait_for()

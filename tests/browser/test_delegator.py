"""The delegator says where connections go, tries a text before it is used anywhere, and saves without losing one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import look
from tests.browser.chromium import Window
from tests.browser.worlds import DTAB, World

if TYPE_CHECKING:
    from playwright.sync_api import Page

Fresh = Callable[..., World]
Windows = Callable[..., Window]

both = pytest.mark.parametrize("workers", [1, 2])
ANSWER_SECS = 5.0
API = "/namerd/api/1/dtabs/default"


def tree(page: "Page") -> str:
    return " ".join(page.locator("#tree").inner_text().split())


def awaited(page: "Page", words: str, secs: float = ANSWER_SECS) -> str:
    """The tree, once it holds `words` and is that of the text that stands there."""

    def there() -> str:
        return "" if page.locator("#old").is_visible() or words not in tree(page) else tree(page)

    return look.until(f"{words} in the tree", there, secs, page)


def typed(page: "Page", path: str) -> None:
    page.get_by_label("Path").fill("")
    page.get_by_label("Path").press_sequentially(path)


# Where a path leads


@pytest.mark.parametrize("world", ["busy", "busy 2"], indirect=True)
def test_it_agrees_with_where_connections_go(world: World, window: Windows) -> None:
    page = window(world).open("/delegator")
    bindings: list[dict[str, Any]] = world.proxy.get_json("/bindings.json")["routers"][0]["bindings"]
    assert {binding["path"] for binding in bindings} >= {"/svc/web", "/svc/api"}
    for binding in bindings:
        typed(page, binding["path"])
        for balancer in binding["balancers"]:
            found = awaited(page, balancer["bound"])
            for endpoint in balancer["endpoints"]:
                assert endpoint["address"] in found
    typed(page, "/svc/api")
    found = awaited(page, "/#/io.l5d.fs/canary")
    assert "75" in found, "three of four"
    assert "25" in found
    typed(page, "/svc/old")
    assert "/#/io.l5d.static/legacy" in awaited(page, "/#/io.l5d.fs/gone"), "the alternative that is taken"
    typed(page, "/unknown/x")
    summary = page.locator("[data-cell=summary]")
    look.until("it leads nowhere", lambda: summary.get_attribute("data-state") == "bad", ANSWER_SECS, page)


@pytest.mark.parametrize("world", ["busy", "busy 2"], indirect=True)
def test_a_text_is_tried_and_used_by_nobody(world: World, window: Windows) -> None:
    page = window(world).open("/delegator#router=default&path=/svc/web")
    awaited(page, "/#/io.l5d.fs/web")
    text = page.locator("#text")
    assert text.input_value() == DTAB
    before = page.locator("[data-cell=badge]").inner_text()
    text.fill(DTAB + "/svc/web => /#/io.l5d.fs/canary ;\n")
    assert world.endpoints["canary"][0].address in awaited(page, "/#/io.l5d.fs/canary")
    assert "not used" in page.locator("[data-cell=badge]").inner_text()
    (binding,) = [
        each for each in world.proxy.get_json("/bindings.json")["routers"][0]["bindings"] if each["path"] == "/svc/web"
    ]
    assert [balancer["bound"] for balancer in binding["balancers"]] == ["/#/io.l5d.fs/web"]
    page.get_by_role("button", name="Reset").click()
    awaited(page, "/#/io.l5d.fs/web")
    assert text.input_value() == DTAB
    assert page.locator("[data-cell=badge]").inner_text() == before


@pytest.mark.parametrize("world", ["busy", "busy 2"], indirect=True)
def test_an_error_says_and_marks_where_it_is(world: World, window: Windows) -> None:
    page = window(world).open("/delegator#router=default&path=/svc/web")
    awaited(page, "/#/io.l5d.fs/web")
    text = page.locator("#text")
    text.fill("/svc => /#/io.l5d.fs ;\n/svc/web = /#/io.l5d.fs/canary ;\n")
    wrong = page.locator("#wrong")
    look.until("it is said", lambda: wrong.inner_text(), ANSWER_SECS, page)
    assert "Line 2, column 1" in wrong.inner_text()
    assert text.get_attribute("aria-invalid") == "true"
    assert page.locator("#old").is_visible(), "what stands in the tree is of the text before"
    marked = page.locator("#lines li", has=page.locator("mark:not(:empty)")).all_inner_texts()
    assert len(marked) == 1
    assert "/svc/web =" in marked[0]
    page.get_by_role("button", name="Go to the spot").click()
    selected = "() => [document.activeElement.id, document.getElementById('text').selectionStart]"
    focused, at = page.evaluate(selected)
    assert focused == "text"
    assert at >= len("/svc => /#/io.l5d.fs ;\n/svc/web"), "in the second line"
    text.fill("/svc => /#/io.l5d.fs ;\n/svc/web => /#/io.l5d.fs/canary ;\n")
    awaited(page, "/#/io.l5d.fs/canary")
    assert wrong.inner_text() == ""
    assert text.get_attribute("aria-invalid") is None


@pytest.mark.parametrize("world", ["busy", "busy 2"], indirect=True)
def test_a_link_leads_another_browser_to_the_same(world: World, window: Windows) -> None:
    page = window(world).open("/delegator#router=default&path=/svc/api")
    awaited(page, "/#/io.l5d.fs/canary")
    edited = DTAB + "/svc/api => /#/io.l5d.fs/web ; # <b>&amp;\n"
    page.locator("#text").fill(edited)
    mine = awaited(page, world.endpoints["web"][0].address)
    other = window(world).open(page.url.removeprefix(world.url))
    assert awaited(other, world.endpoints["web"][0].address) == mine
    assert other.locator("#text").input_value() == edited
    assert other.get_by_label("Path").input_value() == "/svc/api"


# Namespaces


@both
def test_a_namespace_is_saved_on_top_of_what_was_read_and_of_nothing_else(
    fresh: Fresh, window: Windows, workers: int
) -> None:
    world = fresh("empty", workers=workers)
    shown = window(world)
    shown.allow("status of 412")
    page = shown.open("/delegator#namespace=default&path=/svc/web")
    text = page.locator("#text")
    look.until("its text", lambda: "/#/io.l5d.fs" in text.input_value(), ANSWER_SECS, page)
    mine = "/svc => /#/io.l5d.fs ; /svc/web => /#/io.l5d.fs/canary ;"
    text.fill(mine)
    awaited(page, "/#/io.l5d.fs/canary")
    _save(page)
    look.until("it is stored", lambda: "canary" in world.proxy.get(API)[1], ANSWER_SECS, page)
    theirs = "/svc => /#/io.l5d.fs/api ;"
    text.fill(mine + " /svc/x => /#/io.l5d.fs/x ;")
    awaited(page, "/#/io.l5d.fs/canary")
    status, said = _put(world, theirs)
    assert status in (200, 204), said
    _save(page)
    conflict = page.locator("#conflict")
    conflict.wait_for()
    assert "/svc/x" in page.locator("#yours").inner_text()
    assert page.locator("#theirs").inner_text().strip() == theirs.strip()
    assert "canary" in page.locator("#base").inner_text()
    page.keyboard.press("Escape")
    assert "/svc/x" not in world.proxy.get(API)[1], "nothing was lost on either side"
    assert "/svc/x" in text.input_value()
    _save(page)
    conflict.wait_for()
    page.get_by_role("button", name="Put mine on top").click()
    page.locator("#saving[open]").wait_for()
    page.locator("#saving-yes").click()
    look.until("mine is stored", lambda: "/svc/x" in world.proxy.get(API)[1], ANSWER_SECS, page)


def _save(page: "Page") -> None:
    save = page.get_by_role("button", name="Save …")
    look.until("it can be saved", lambda: save.is_enabled(), ANSWER_SECS, page)
    save.click()
    page.locator("dialog[open]").wait_for()
    if page.locator("#saving-yes").is_visible():
        page.locator("#saving-yes").click()


def _put(world: World, text: str) -> tuple[int, str]:
    """As another operator would, with a program."""
    import urllib.request

    request = urllib.request.Request(world.url + API, data=text.encode(), method="PUT")
    request.add_header("Content-Type", "application/dtab")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status, answer.read().decode()


@both
def test_a_namespace_is_created_and_deleted(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    page = window(world).open("/delegator#namespace=staging&path=/svc/web")
    text = page.locator("#text")
    look.until("its text", lambda: "canary" in text.input_value(), ANSWER_SECS, page)
    page.locator("#create input").fill("fresh")
    page.get_by_role("button", name="Create").click()
    look.until("there is another", lambda: "fresh" in world.proxy.get("/namerd/api/1/dtabs")[1], ANSWER_SECS, page)
    page.wait_for_url("**/delegator?namespace=fresh")
    delete = page.get_by_role("button", name="Delete the namespace")
    delete.wait_for()
    delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    look.until("it is gone", lambda: "fresh" not in world.proxy.get("/namerd/api/1/dtabs")[1], ANSWER_SECS, page)

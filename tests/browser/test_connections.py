"""Connections: each that there was is found by what it has in common with others, tells its story, and can be ended."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import look
from tests.browser.chromium import Window
from tests.browser.worlds import World

if TYPE_CHECKING:
    from playwright.sync_api import Page

Fresh = Callable[..., World]
Windows = Callable[..., Window]

both = pytest.mark.parametrize("workers", [1, 2])


def rows(page: "Page") -> list[str]:
    return [" ".join(row.split()) for row in page.locator("table.connections tbody tr").all_inner_texts()]


def counts(page: "Page") -> dict[str, int]:
    """The numbers of the tabs, by their first word."""
    tabs = page.locator("nav.tabs a")
    return {tab.inner_text().split()[0]: int(tab.locator("data").get_attribute("value") or -1) for tab in tabs.all()}


# Finding them


@both
def test_the_tabs_count_what_the_clients_have_done(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    world.hold("web", 6)
    good = world.load("web", 40)
    bad = world.load("nowhere", 10)
    page = window(world).open("/connections")
    page.wait_for_timeout(1_500)
    answered, failed = good.stop()["answered"], bad.stop()["failed"]
    page.reload()
    shown = counts(page)
    assert shown["Open"] == 6
    assert shown["Failed"] == failed
    assert shown["Closed"] == answered + failed or shown["Closed"] == answered
    look.follow(page, page.get_by_role("navigation", name="Which").get_by_role("link", name="Open"))
    assert len(rows(page)) == 6
    assert all("/svc/web" in row for row in rows(page))


@pytest.mark.parametrize("world", ["broken", "broken 2"], indirect=True)
def test_a_filter_is_typed_or_clicked_and_is_in_the_address(world: World, window: Windows) -> None:
    shown = window(world)
    page = shown.open("/connections")
    page.get_by_label("Path").fill("/svc/api")
    with page.expect_navigation(url="**path=**"):
        page.keyboard.press("Enter")
    assert rows(page), "there is a load of them"
    assert all("/svc/api" in row for row in rows(page))
    look.follow(page, page.get_by_role("link", name="Clear"))
    assert "not found" in page.locator(".causes").inner_text(), page.get_by_role("main").inner_text()
    look.follow(page, page.locator(".causes a", has_text="not found"))
    assert "cause=not_found" in page.url
    found = rows(page)
    assert found
    assert all("/unknown/nowhere" in row for row in found)
    assert page.locator("form.filter [name=cause]").input_value() == "not_found"
    again = shown.open(page.url.removeprefix(world.url))
    assert again.locator("form.filter [name=cause]").input_value() == "not_found"
    assert set(found) <= set(rows(again)) | set(found)


@pytest.mark.parametrize("world", ["empty"], indirect=True)
def test_an_address_that_is_not_understood_is_told_what_there_is(world: World, window: Windows) -> None:
    shown = window(world)
    shown.allow("status of 400")
    page = shown.open("/connections?cause=bad+luck&path=/svc")
    assert "bad luck" in page.get_by_role("alert").inner_text()
    assert "refused" in page.get_by_role("alert").inner_text(), "and which causes there are"
    assert page.get_by_label("Path").input_value() == "/svc", "what was right stays"


@both
def test_rows_stay_where_they_are_until_newer_ones_are_asked_for(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    first = world.hold("web", 3)
    page = window(world).open("/connections?state=open")
    before = rows(page)
    assert len(before) == 3
    more = world.hold("web", 2)
    newer = page.locator("#newer")
    look.until("it says so", lambda: newer.is_visible() and "2" in newer.inner_text(), 10, page)
    assert [row.split(" 127")[0] for row in rows(page)] == [row.split(" 127")[0] for row in before]
    look.follow(page, newer)
    assert len(rows(page)) == 5
    found = " ".join(rows(page))
    assert all(f"127.0.0.1:{port}" in found for port in first.ports + more.ports)


# Their stories


@pytest.mark.parametrize("world", ["broken", "broken 2"], indirect=True)
def test_one_that_failed_explains_itself(world: World, window: Windows) -> None:
    page = window(world).open("/connections?cause=not_found")
    look.follow(page, page.locator("table.connections tbody tr a").first)
    story = page.get_by_role("main").inner_text()
    assert "/unknown/nowhere" in page.locator(".verdict").inner_text()
    assert page.locator(".advice").inner_text(), "and what to do"
    for words in ("accepted", "/unknown/nowhere", "not found"):
        assert words in story, words
    look.follow(page, page.get_by_role("main").get_by_role("link", name="Delegator"))
    assert "/delegator" in page.url
    assert "/unknown/nowhere" in page.url.replace("%2F", "/")


@pytest.mark.parametrize("world", ["broken", "broken 2"], indirect=True)
def test_one_that_was_tried_in_vain_names_where_and_why(world: World, window: Windows) -> None:
    everyone = world.proxy.get_json("/connections.json?state=closed&path=/svc/web&limit=2000")
    found: list[dict[str, Any]] = everyone["connections"]
    record = next(row for row in found if row["attempts"] and row["attempts"][0]["error"] is not None)
    id_ = record["id"]
    page = window(world).open(f"/connections/{id_}")
    story = page.locator("ol.story li").all_inner_texts()
    attempt = record["attempts"][0]
    assert attempt["endpoint"] == world.endpoints["web"][0].address
    tried = [line for line in story if attempt["endpoint"] in line and "refused" in line]
    assert tried, story
    assert record["endpoint"] in " ".join(story), "and where it went then"
    assert any(line["id"] == id_ for line in world.proxy.access_log()), "the access log leads here"


@both
def test_an_open_one_is_closed_after_a_question(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    held = world.hold("web", 2)
    shown = window(world)
    page = shown.open(f"/connections?state=open&source=127.0.0.1:{held.ports[0]}")
    assert len(rows(page)) == 1
    look.follow(page, page.locator("table.connections tbody tr a").first)
    figure = page.locator('[data-cell="rx"]')
    before = figure.get_attribute("value")
    look.until("its bytes move", lambda: figure.get_attribute("value") != before, 8, page)
    page.get_by_role("button", name="Close it").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.keyboard.press("Enter")
    dialog.wait_for(state="hidden")
    assert len([1 for endpoint in world.endpoints["web"] for _ in endpoint.open]) == 2, "Cancel is the default"
    page.get_by_role("button", name="Close it").focus()
    page.keyboard.press("Enter")
    dialog.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    look.until("it is gone", lambda: sum(len(endpoint.open) for endpoint in world.endpoints["web"]) == 1, 5, page)
    look.until("the page knows", lambda: "closed" in page.locator("#head").inner_text().lower(), 8, page)
    page.reload()
    assert "closed by admin" in page.get_by_role("main").inner_text()


@pytest.mark.parametrize("world", ["empty"], indirect=True)
def test_one_that_nobody_remembers_is_a_page_that_says_so(world: World, window: Windows) -> None:
    shown = window(world)
    shown.allow("status of 404")
    page = shown.open("/connections/0-ffff")
    assert "No such connection" in page.get_by_role("heading", level=1).inner_text()
    assert "0-ffff" in page.get_by_role("main").inner_text()
    assert look.violations(page) == []

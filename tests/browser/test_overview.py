"""The overview: its figures are those of the clients and endpoints around it, and what is wrong is said first."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from linkerd_tcp.dashboard.cells import moment
from tests.browser import look
from tests.browser.chromium import GONE, Window
from tests.browser.traffic import ANSWER, REQUEST
from tests.browser.worlds import World
from tests.system.harness import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

Fresh = Callable[..., World]
Windows = Callable[..., Window]

both = pytest.mark.parametrize("workers", [1, 2])
WEB = "/#/io.l5d.fs/web"
ITEMS = "[data-rows=attention] > [data-key]"
NEWS_SECS = 3.0
PER_SECOND = 40


def attention(page: "Page") -> list[str]:
    """Its sentences."""
    rows = page.locator(f"{ITEMS} p").all_inner_texts()
    return [re.sub(r"\s+", " ", row).strip() for row in rows]


def about(page: "Page", words: str, secs: float = NEWS_SECS) -> str:
    """The sentence with `words` in it, awaited."""
    return look.until(f"{words} in the list", lambda: next((s for s in attention(page) if words in s), ""), secs, page)


# Figures


@both
def test_open_connections_are_those_that_there_are(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    page = window(world).open()
    assert look.value(page, "figure-open") == 0
    held = world.hold("web", 7)
    more = world.hold("api", 2)
    look.until("nine are open", lambda: look.value(page, "figure-open") == 9, NEWS_SECS, page)
    rows = page.locator("[data-key]", has=page.locator('[data-cell="address"]'))
    for endpoint in world.endpoints["web"]:
        row = rows.filter(has_text=endpoint.address).last
        shown = row.locator('[data-cell="open"]').first
        assert int(shown.get_attribute("value") or shown.get_attribute("data-value")) == len(endpoint.open)
    held.close()
    more.close()
    look.until("none is open", lambda: look.value(page, "figure-open") == 0, NEWS_SECS, page)


@both
def test_rates_add_up_to_what_the_clients_have_done(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    page = window(world).open()
    look.tick(page)
    sums = {"new": 0.0, "rx": 0.0, "tx": 0.0}
    at = first = look.value(page, "view", "at")
    load = world.load("web", PER_SECOND)
    stopped = False
    quiet = 0
    while quiet < 3:
        look.tick(page)
        now = look.value(page, "view", "at")
        for name in sums:
            sums[name] += (look.value(page, f"figure-{name}") or 0.0) * (now - at)
        at = now
        if not stopped and now - first > 5:
            load.stop()
            stopped = True
        quiet = quiet + 1 if stopped and not look.value(page, "figure-new") else 0
    counts = load.counts
    assert counts["failed"] == 0
    assert counts["started"] > 4 * PER_SECOND
    for name, total, tick in (
        ("new", counts["started"], PER_SECOND),
        ("rx", counts["sent"], PER_SECOND * len(REQUEST)),
        ("tx", counts["received"], PER_SECOND * len(ANSWER)),
    ):
        assert abs(sums[name] - total) <= tick, (name, sums, counts)


@both
def test_what_was_counted_since_the_start_is_exact(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    counts = [world.load(name, 30) for name in ("web", "api")]
    page = window(world).open()
    page.wait_for_timeout(2_000)
    started = sum(load.stop()["started"] for load in counts)
    words = f"{started} since the start"
    look.until(words, lambda: words in page.locator('[data-key="figure-new"]').inner_text(), NEWS_SECS, page)


@pytest.mark.parametrize("world", ["busy", "busy 2"], indirect=True)
def test_figures_move_and_nothing_jumps(world: World, window: Windows) -> None:
    page = window(world).open()
    look.tick(page)
    look.shifts(page)
    seen = set()
    for _ in range(6):
        look.tick(page)
        seen.add(page.locator('[data-key="figure-new"]').inner_text())
    assert len(seen) > 1, "the number since the start, at least, is another one"
    assert page.evaluate("() => window.jumped") < 0.01, page.evaluate("() => window.jumps")


# What needs attention


def test_nothing_needs_attention_where_all_is_well(fresh: Fresh, window: Windows) -> None:
    page = window(fresh("busy")).open()
    assert "Nothing needs attention" in page.get_by_role("main").inner_text()
    assert attention(page) == []


@both
def test_a_dead_endpoint_is_the_first_thing_said_and_is_gone_when_it_is_back(
    fresh: Fresh, window: Windows, workers: int
) -> None:
    world = fresh("busy", workers=workers, penalty_secs=4)
    page = window(world).open()
    victim = world.endpoints["web"][0]
    victim.kill()
    look.until("left out", lambda: world.endpoint(WEB, victim)["state"] == "failed", 10, page)
    sentence = about(page, victim.address)
    row = world.endpoint(WEB, victim)
    assert "refused" in sentence
    assert "refused" in row["lastError"]
    assert WEB in sentence
    assert "other 2 of 3 endpoints" in sentence, "what the router does about it"
    assert re.search(r"tr(y|ies|ying)", sentence), "and when it is tried again"
    since = page.locator(ITEMS, has_text=victim.address).locator('[data-cell="since"]')
    said = since.get_attribute("datetime") or since.get_attribute("data-value")
    assert said == moment(row["failedSince"])
    victim.revive()
    look.until("nothing is said of it", lambda: attention(page) == [], 15, page)
    assert world.endpoint(WEB, victim)["state"] == "available"


@pytest.mark.parametrize("world", ["broken", "broken 2"], indirect=True)
def test_everything_that_is_broken_is_said(world: World, window: Windows) -> None:
    page = window(world).open()
    look.tick(page)
    said = attention(page)
    for words in (
        world.endpoints["web"][0].address,  # refuses
        "/unknown/nowhere",  # leads nowhere
        "connection refused",  # of namerd
        "canary.yml",  # cannot be read
        "expires in 4 d",  # the certificate
        "maxConsecutiveFailures",  # was not reloaded
        world.endpoints["api"][1].address,  # drained
    ):
        assert any(words in sentence for sentence in said), (words, said)


# Actions


@both
def test_an_endpoint_is_drained_and_back_by_keyboard_alone(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("busy", workers=workers)
    shown = window(world)
    page = shown.open()
    # Where the fewest are open: who has more than the others gets no new one as long as those that last are unequal.
    endpoint = min(world.endpoints["web"], key=lambda each: len(each.open))
    _press(page, "Drain", endpoint.address)
    dialog = page.get_by_role("dialog")
    assert endpoint.address in dialog.inner_text()
    assert page.evaluate("() => document.activeElement.textContent") == "Cancel", "what does nothing is the default"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert world.endpoint(WEB, endpoint)["drained"] is False
    _press(page, "Drain", endpoint.address)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    look.until("it is drained", lambda: world.endpoint(WEB, endpoint)["drained"], 5, page)
    about(page, endpoint.address)
    before = endpoint.accepted
    look.tick(page)
    look.tick(page)
    assert endpoint.accepted == before, "no new connection goes there"
    _press(page, "Undo", endpoint.address)
    if dialog.is_visible():
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    look.until("it is not drained", lambda: not world.endpoint(WEB, endpoint)["drained"], 5, page)
    look.until("nothing is said of it", lambda: attention(page) == [], NEWS_SECS, page)
    look.until("connections go there again", lambda: endpoint.accepted > before, 5, page)


def _press(page: "Page", verb: str, address: str) -> None:
    """By the Tab key to the button of that endpoint, and Enter."""
    page.evaluate("() => { document.activeElement?.blur(); }")
    page.locator("#main").focus()
    for _ in range(300):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
              const row = document.activeElement.closest('[data-key]');
              return [document.activeElement.textContent, row === null ? '' : row.textContent];
            }"""
        )
        if found[0].startswith(verb) and address in found[1]:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"no button {verb} of {address} is reached by Tab")


# The stream


@pytest.mark.parametrize("world", ["empty"], indirect=True)
def test_seven_open_tabs_work_because_a_hidden_one_closes_its_stream(world: World, window: Windows) -> None:
    shown = window(world)
    pages = []
    for _ in range(7):
        for earlier in pages:
            look.hide(earlier, True)
        pages.append(shown.open())
        pages[0].wait_for_timeout(50)
    look.until("one stream is left", lambda: len(shown.streams) == 1, 10, pages[-1])
    look.tick(pages[-1])
    look.hide(pages[0], False)
    look.tick(pages[0])
    assert len(shown.streams) == 2


def _live(page: "Page") -> str:
    return page.locator("#live").inner_text()


@pytest.mark.parametrize("world", ["busy"], indirect=True)
def test_a_paused_page_stands_still_and_goes_on(world: World, window: Windows) -> None:
    page = window(world).open()
    look.tick(page)
    page.get_by_role("button", name="Pause").click()
    assert "paused" in _live(page)
    at = look.value(page, "view", "at")
    page.wait_for_timeout(2_500)
    assert look.value(page, "view", "at") == at
    page.get_by_role("button", name=re.compile("Go on|Resume|Continue")).click()
    look.tick(page)
    assert "live" in _live(page)


@both
def test_a_page_outlives_its_server(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("busy", workers=workers, admin={"port": free_port(), "graceSecs": 0})
    shown = window(world)
    page = shown.open()
    look.tick(page)
    before: Any = look.value(page, "figure-open")
    assert before
    shown.allow(GONE)
    old = world.proxy.pid
    world.proxy.terminate()
    look.until("it says so", lambda: "no data since" in _live(page), 10, page)
    assert look.value(page, "figure-open") == before, "what was known stays"
    world.proxy.start_again()
    look.until("it is live again", lambda: "live" in _live(page), 40, page)
    assert world.proxy.pid != old
    look.tick(page)
    note = page.get_by_text("was started anew")
    assert note.is_visible(), "its token is the old process's"
    note.get_by_role("link").click()
    look.until("the new process", lambda: str(world.proxy.pid) in page.get_by_role("banner").inner_text(), 5, page)
    assert not note.is_visible()

"""The README's walk through the demo's pages, as a person does it: by looking, and by clicking on what is there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest

from tests.browser import look
from tests.system.demo import Demo
from tests.walkthrough import pattern, quotations, said

if TYPE_CHECKING:
    from playwright.sync_api import Page

ITEMS: Final = "[data-rows=attention] > [data-key]"
STEPS: Final = ("overview", "endpoint", "connection", "delegator")
"""A quotation in the README belongs to each, in this order."""


def sentence(page: "Page", step: str) -> str:
    """What the page says where the README says what is quoted there; fails the test if it does not."""
    quotation = dict(zip(STEPS, quotations(), strict=True))[step]
    wanted, text = pattern(quotation), ""
    for _ in range(120):  # what is done about it is said in other words for a moment, when it is tried
        text = said(page.locator("main").inner_text())
        if found := wanted.search(text):
            return found[0]
        page.wait_for_timeout(100)
    pytest.fail(f"{step}: {quotation!r} is not in {text[:3000]!r}")


def walk(page: "Page", demo: Demo, shown: Callable[[str], None]) -> None:
    """The pages one after the other; `shown` is called with each of STEPS when it is there to be read."""
    page.goto("/")
    flaky = demo.wait_until_ejected()["address"]
    page.locator(ITEMS, has_text=flaky).wait_for()
    shown("overview")
    look.follow(page, page.locator("table.endpoints").get_by_role("link", name=flaky).first)
    look.follow(page, page.locator("table.connections tbody a").first)
    shown("endpoint")
    page.goto("/")
    look.follow(page, page.locator("table.servers").get_by_role("link", name="not_found"))
    look.follow(page, page.locator("table.connections tbody a").first)
    shown("connection")
    look.follow(page, page.get_by_role("link", name="Delegator", exact=True))
    page.get_by_label("Path").fill("/svc/shop")
    page.keyboard.press("Enter")
    page.get_by_text("A connection to /svc/shop goes to").wait_for()
    shown("delegator")

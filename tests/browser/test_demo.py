"""What the README says of the demo is what a browser shows of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from linkerd_tcp.dashboard.cells import clock
from tests.browser.chromium import Window
from tests.browser.demo import ITEMS, STEPS, sentence, walk
from tests.system.demo import Demo
from tests.walkthrough import said

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path) as running:
        running.wait_until_begun()
        yield running


@pytest.fixture
def page(browser: "Browser", demo: Demo) -> "Iterator[Page]":
    window = Window(browser, demo.admin_url)
    yield window.context.new_page()
    window.close()


def test_the_walk_through_of_the_readme_shows_what_it_quotes(page: "Page", demo: Demo) -> None:
    read: list[str] = []

    def shown(step: str) -> None:
        read.append(sentence(page, step))

    walk(page, demo, shown)
    assert len(read) == len(STEPS)


def test_what_the_overview_says_of_the_failing_endpoint_is_what_the_program_says(page: "Page", demo: Demo) -> None:
    page.goto("/")
    address = demo.wait_until_ejected()["address"]
    item = page.locator(ITEMS, has_text=address)
    item.wait_for()
    for _ in range(50):
        before, words, after = demo.flaky, said(item.inner_text()), demo.flaky
        if before == after and f"after {before['consecutiveFailures']} failures" in words:
            break
        page.wait_for_timeout(100)
    assert same(words, before), (words, before)


def same(sentence: str, endpoint: dict[str, Any]) -> bool:
    """Its name, since when, why, and what is done about it."""
    known = (
        f"{endpoint['address']} of /#/io.l5d.fs/web failed at {clock(endpoint['failedSince'])}",
        f"after {endpoint['consecutiveFailures']} failures in a row",
        endpoint["lastError"].partition(": ")[2],
        "Traffic goes to the other 2 of 3 endpoints.",
    )
    tried = re.search(r"tries it (?:again in \d+ s|now)|[Nn]ext connection tries it", sentence)
    return all(words in sentence for words in known) and tried is not None

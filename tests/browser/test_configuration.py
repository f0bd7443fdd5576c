"""Configuration and help: what is in force is shown, without secrets; a reload says what it did, and why it did not."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.browser import look
from tests.browser.chromium import Window
from tests.browser.worlds import World

if TYPE_CHECKING:
    from playwright.sync_api import Page

Fresh = Callable[..., World]
Windows = Callable[..., Window]

both = pytest.mark.parametrize("workers", [1, 2])


def reload(page: "Page") -> str:
    """By keyboard; what is said then."""
    page.get_by_role("button", name="Reload the file").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    outcome = page.locator("#outcome")
    return look.until("an outcome", lambda: outcome.inner_text().strip(), 10, page)


@both
def test_a_reload_says_what_changed_and_what_was_refused(fresh: Fresh, window: Windows, workers: int) -> None:
    world = fresh("empty", workers=workers)
    shown = window(world)
    shown.allow("status of 422")
    page = shown.open("/configuration")
    assert "nothing has changed" in reload(page)
    text = world.proxy.path.read_text()
    world.proxy.write(text.replace("maxConsecutiveFailures: 3", "maxConsecutiveFailures: many"))
    page.reload()
    said = reload(page)
    assert "everything stays as it was" in said
    assert "maxConsecutiveFailures" in said
    assert '"many"' in said
    world.proxy.write(text.replace("maxConsecutiveFailures: 3", "maxConsecutiveFailures: 4"))
    page.reload()
    assert "maxConsecutiveFailures" in page.locator("ul.errors").inner_text(), (
        "the refusal is there for who comes later"
    )
    assert "Reloaded:" in reload(page)
    page.reload()
    assert "maxConsecutiveFailures: 4" in page.locator("#yaml").inner_text()


@pytest.mark.parametrize("world", ["busy", "busy 2"], indirect=True)
def test_what_is_in_force_can_be_read_back_and_holds_no_key(world: World, window: Windows) -> None:
    page = window(world).open("/configuration")
    lines = page.locator("#yaml tr td:last-child").all_text_contents()
    shown = yaml.safe_load("\n".join(lines))
    assert [router["label"] for router in shown["routers"]] == ["default", "tls"]
    assert shown["routers"][0]["client"]["failFast"]["maxConsecutiveFailures"] == 3
    key = world.proxy.folder / "ca/www.example.com.key"
    assert str(key) in page.content(), "the name of the file is no secret"
    secret = key.read_text().splitlines()[1]
    assert secret not in page.content()
    page.goto("/help")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    report = Path(download.value.path()).read_text()
    assert world.proxy.get("/ready")[1].splitlines()[0] in report
    assert "/#/io.l5d.fs/web" in report
    assert secret not in report

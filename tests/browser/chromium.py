"""Debian's Chromium without a window, and what every page that it opens is held to.

A page of ours asks nobody but its own server, and says nothing to the console: an error there, or one that its script
did not catch, is a fault of the test that opened it.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from tests.programs import ALL_MUST_BE_THERE, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)
"""No name is ever looked up; the rest keeps pictures the same from one machine to the next."""

PATIENCE_MS: Final = 15_000
WIDE: Final = {"width": 1280, "height": 900}


def executable() -> str:
    """The path of an installed Chromium; skips the test, or fails it, where there is none."""
    found = [path for path in map(shutil.which, NAMES) if path is not None]
    if not found:
        missing("chromium")
    return found[0]


@contextmanager
def launched() -> "Iterator[Browser]":
    """A browser, until it is done with."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if os.environ.get(ALL_MUST_BE_THERE) == "1":
            raise
        pytest.skip("needs playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A browser's window: a context of its own, with pages of one server. `close` says what they did wrong."""

    def __init__(self, browser: "Browser", base_url: str, **options: Any) -> None:
        self.base_url = base_url
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.streams: set[Request] = set()
        """Those that are open now."""
        self._allowed: list[re.Pattern[str]] = []
        settings = {"viewport": WIDE, "base_url": base_url, "reduced_motion": "reduce", **options}
        self.context: BrowserContext = browser.new_context(**settings)
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.on("request", self._asked)
        self.context.on("requestfinished", self._ended)
        self.context.on("requestfailed", self._ended)
        self.context.on("console", self._said)
        self.context.on("weberror", lambda error: self._found(f"uncaught: {error.error}"))
        self.context.on("dialog", lambda dialog: self._found(f"a dialog: {dialog.message}"))

    def open(self, path: str = "/") -> "Page":
        """A new page, once it is there and its scripts have run."""
        page = self.context.new_page()
        page.goto(path, wait_until="load")
        return page

    def allow(self, pattern: str) -> None:
        """From now on what matches is no problem: a refusal that the test asks for, a server that it stops."""
        self._allowed.append(re.compile(pattern))

    def close(self) -> None:
        """AssertionError that names each problem."""
        self.context.close()
        bad = [each for each in self.problems if not any(pattern.search(each) for pattern in self._allowed)]
        assert bad == [], "\n".join(bad[:20])

    def _asked(self, request: "Request") -> None:
        self.requests.append(request.url)
        if request.url.endswith(".events"):
            self.streams.add(request)
        if urlsplit(request.url).netloc != urlsplit(self.base_url).netloc:
            self._found(f"asked somebody else: {request.url}")

    def _ended(self, request: "Request") -> None:
        self.streams.discard(request)

    def _said(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning", "assert"):
            self._found(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _found(self, what: str) -> None:
        self.problems.append(what)


GONE: Final = r"net::ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET)|Failed to load resource|Failed to fetch"
"""What the console says of a server that was stopped."""

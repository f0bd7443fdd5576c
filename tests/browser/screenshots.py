"""`python -m tests.browser.screenshots [FOLDER]`: every page in every state, size and theme, to be looked at.

`--docs` writes those few that the documentation shows into docs/screenshots/ instead. A picture of a running program is
never the same twice, so they are written when that is asked for and at no other time.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.browser.chromium import Window, launched
from tests.browser.demo import sentence, walk
from tests.browser.worlds import STATES, World
from tests.system.demo import Demo
from tests.walkthrough import quote

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "build/screenshots"
DOCS: Final = ROOT / "docs/screenshots"
WIDTHS: Final = (360, 1280, 2560)
SCHEMES: Final = ("light", "dark")
SHOWN: Final = ("empty", "busy", "broken", "hostile")
WARM_SECS: Final = 30.0
"""A state is that old when it is looked at: plots have points then."""

COLOURS: Final = 128
SETTLE_MS: Final = 2_500


def paths(world: World) -> dict[str, str]:
    """The pages by the names of their pictures."""
    api = "/svc/api" if world.name != "hostile" else "/svc/x"
    found = {
        "overview": "/",
        "delegator": f"/delegator#router=default&path={api}",
        "connections": "/connections",
        "failed": "/connections?state=failed",
        "logging": "/logging",
        "configuration": "/configuration",
        "help": "/help",
    }
    failed = failed_connection(world)
    return found if failed is None else {**found, "connection": f"/connections/{failed}"}


def failed_connection(world: World) -> str | None:
    """The id of one that was tried at an endpoint in vain, or of any that failed."""
    rows: list[dict[str, Any]] = world.proxy.get_json("/connections.json?state=closed&limit=2000")["connections"]
    good = {"client_closed", "endpoint_closed"}
    tried = [row["id"] for row in rows if row["attempts"] and row["attempts"][0]["error"] is not None]
    others = [row["id"] for row in rows if row["cause"] not in good]
    return next(iter(tried or others), None)


def every(browser: "Browser", folder: Path, states: Sequence[str], warm_secs: float, pages: Sequence[str]) -> list[str]:
    """Writes them; what the pages said that they should not have."""
    problems: list[str] = []
    for state in states:
        with _running(state, warm_secs) as world:
            for name, path in paths(world).items():
                if pages and name not in pages:
                    continue
                with _window(browser, world, problems, f"{name} {state}") as page:
                    page.goto(path)
                    page.wait_for_timeout(SETTLE_MS)
                    for scheme in SCHEMES:
                        for width in WIDTHS:
                            page.emulate_media(color_scheme=scheme)
                            page.set_viewport_size({"width": width, "height": 800 if width < 1000 else 900})
                            page.wait_for_timeout(100)
                            page.screenshot(path=folder / f"{name}-{state}-{width}-{scheme}.png", full_page=True)
    return problems


def for_docs(browser: "Browser", folder: Path, warm_secs: float) -> list[str]:
    """Writes those that the documentation shows."""
    problems: list[str] = []
    with _running("busy", warm_secs) as world:
        _shoot(browser, world, problems, folder / "overview-busy-dark.png", "/", size=(1280, 1100), color_scheme="dark")
        _shoot(browser, world, problems, folder / "delegator.png", paths(world)["delegator"])
    with _running("broken", warm_secs) as world:
        _shoot(browser, world, problems, folder / "overview-broken.png", "/", size=(1280, 1500))
        _shoot(browser, world, problems, folder / "overview-360.png", "/", size=(360, 780))
        _shoot(browser, world, problems, folder / "connection-failed.png", paths(world)["connection"])
    _shoot_demo(browser, problems, folder)
    return problems


def _shoot_demo(browser: "Browser", problems: list[str], folder: Path) -> None:
    """What the README's walk through the demo shows; for it, also what is quoted there."""
    with tempfile.TemporaryDirectory(prefix="linkerd-tcp-") as place, Demo(Path(place)) as demo:
        demo.wait_until_begun()
        window = Window(browser, demo.admin_url)
        page = window.context.new_page()
        quoted: list[str] = []

        def shown(step: str) -> None:
            page.wait_for_timeout(SETTLE_MS)
            quoted.append(sentence(page, step))
            if step != "endpoint":
                page.screenshot(path=folder / f"demo-{step}.png", full_page=True)
                reduce(folder / f"demo-{step}.png")

        walk(page, demo, shown)
        if folder == DOCS:
            quote(quoted)
        problems += [f"demo: {each}" for each in window.problems]
        window.problems.clear()
        window.close()


@contextlib.contextmanager
def _running(state: str, warm_secs: float) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="linkerd-tcp-") as folder, STATES[state](Path(folder)) as world:
        time.sleep(warm_secs if state != "empty" else 0)
        yield world


@contextlib.contextmanager
def _window(browser: "Browser", world: World, problems: list[str], what: str, **options: Any) -> "Iterator[Page]":
    window = Window(browser, world.url, **options)
    try:
        yield window.context.new_page()
    finally:
        problems += [f"{what}: {each}" for each in window.problems]
        window.problems.clear()
        window.close()


def _shoot(
    browser: "Browser",
    world: World,
    problems: list[str],
    out: Path,
    path: str,
    *,
    size: tuple[int, int] | None = None,
    **options: Any,
) -> None:
    """A picture of the whole page; or of what is seen of it, with `size`."""
    if size is not None:
        options["viewport"] = {"width": size[0], "height": size[1]}
    with _window(browser, world, problems, out.name, **options) as page:
        page.goto(path)
        page.wait_for_timeout(SETTLE_MS)
        page.screenshot(path=out, full_page=size is None)
    reduce(out)


def reduce(picture: Path) -> None:
    """The same with a palette, a third of the bytes: pages have few colours."""
    from PIL import Image

    with Image.open(picture) as full:
        small = full.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--docs", action="store_true", help="only what the documentation shows, into docs/screenshots/")
    parser.add_argument("--state", action="append", choices=SHOWN, help="only these; the default is all")
    parser.add_argument("--page", action="append", default=[], help="only these: overview, delegator, ...")
    parser.add_argument("--warm", type=float, default=WARM_SECS, help="seconds that a state lasts before it is shown")
    options = parser.parse_args(arguments)
    folder = options.folder or (DOCS if options.docs else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        if options.docs:
            problems = for_docs(browser, folder, options.warm)
        else:
            problems = every(browser, folder, options.state or SHOWN, options.warm, options.page)
    print(f"{len(list(folder.glob('*.png')))} pictures are in {folder}")
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What tests ask of a page as it stands in the browser."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

T = TypeVar("T")
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
SERIOUS: Final = {"serious", "critical"}

FOCUSED: Final = """() => {
  const node = document.activeElement;
  if (node === null || node === document.body) return null;
  const box = node.getBoundingClientRect();
  const hasRing = (style) => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
  const ring = [node, node.parentElement].some((each) => hasRing(getComputedStyle(each)));
  const middle = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, 40) / 2);
  const name = (node.getAttribute('aria-label') || node.innerText || node.value || node.name || node.id || '');
  node.dataset.seenByTest ??= String(window.seenByTest = (window.seenByTest ?? 0) + 1);
  return {
    number: Number(node.dataset.seenByTest), tag: node.tagName, id: node.id, text: name.trim().slice(0, 60), ring,
    inside: box.width > 0 && box.height > 0 && box.bottom > 0 && box.right > 0
      && box.top < innerHeight && box.left < innerWidth,
    covered: middle !== null && !(node.contains(middle) || middle.contains(node)),
    width: box.width, height: box.height,
  };
}"""


def violations(page: "Page", rules: Sequence[str] = ()) -> list[str]:
    """What axe finds that is serious or critical, each with the elements it is about. `rules`: only these."""
    from axe_playwright_python.sync_playwright import Axe

    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": TAGS}
    found = Axe().run(page, options={"runOnly": only, "resultTypes": ["violations"]})
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: "
        + "; ".join(node["html"][:160] for node in each["nodes"][:3])
        for each in found.response["violations"]
        if each["impact"] in SERIOUS
    ]


def sideways(page: "Page") -> list[str]:
    """The elements that make the page scroll sideways; [] where it does not."""
    found: list[str] = page.evaluate(
        """() => {
          const wide = document.documentElement.scrollWidth;
          if (wide <= innerWidth) return [];
          const cut = (node) => {
            for (let up = node.parentElement; up !== null; up = up.parentElement)
              if (getComputedStyle(up).overflowX !== 'visible') return true;
            return false;
          };
          return [`${wide} > ${innerWidth}`, ...[...document.body.querySelectorAll('*')]
            .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !cut(node))
            .slice(0, 8).map((node) => node.outerHTML.slice(0, 160))];
        }"""
    )
    return found


def walk(page: "Page", most: int = 400) -> list[dict[str, Any]]:
    """Each stop of the Tab key, from the top of the page until it leaves it or comes back to the first."""
    stops: list[dict[str, Any]] = []
    page.evaluate("() => { document.activeElement?.blur(); getSelection().removeAllRanges(); scrollTo(0, 0); }")
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop is None or (stops and stop["number"] <= stops[0]["number"] and len(stops) > 1):
            return stops
        stops.append(stop)
    raise AssertionError(f"{most} stops, and the page is not at its end")


def shifts(page: "Page") -> None:
    """From now on every jump of the layout that nobody asked for is added up: `window.jumped`."""
    page.evaluate(
        """() => {
          window.jumped = 0;
          window.jumps = [];
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) {
              if (entry.hadRecentInput) continue;
              window.jumped += entry.value;
              for (const source of entry.sources ?? [])
                window.jumps.push(source.node?.outerHTML?.slice(0, 160) ?? source.node?.textContent ?? '?');
            }
          }).observe({ type: 'layout-shift', buffered: false });
        }"""
    )


def hide(page: "Page", hidden: bool) -> None:
    """The tab goes to the back, or comes back: headless ones are all in front, so the page is only told so."""
    page.evaluate(
        """(hidden) => {
          const say = (name, value) => Object.defineProperty(document, name, { configurable: true, get: () => value });
          say('hidden', hidden);
          say('visibilityState', hidden ? 'hidden' : 'visible');
          document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


_VALUE: Final = """([key, cell]) => {
  const row = [...document.querySelectorAll('[data-key]')].find((each) => each.dataset.key === key);
  const node = row?.querySelector(`[data-cell="${cell}"]`);
  if (!node) return null;
  const exact = node.getAttribute('value') ?? node.dataset.value ?? node.getAttribute('datetime');
  return exact === null || exact === undefined || exact === '' ? null : exact;
}"""


def value(page: "Page", key: str, cell: str = "value") -> float | None:
    """The exact value of a figure: of the cell of that name in the row of that key."""
    found = page.evaluate(_VALUE, [key, cell])
    return None if found is None else float(found)


def tick(page: "Page", secs: float = 10) -> None:
    """Until the page has shown what came after now."""
    before = value(page, "view", "at")
    until("the page is told something new", lambda: value(page, "view", "at") != before, secs, page)


def follow(page: "Page", link: "Locator") -> None:
    """Click on what leads to another page, until that is there, whole: a click alone is over before."""
    with page.expect_navigation():
        link.click()


def until(what: str, condition: Callable[[], T], secs: float, page: "Page") -> T:
    """The first true value, as `harness.until`, while the browser's events are heard."""
    deadline = time.monotonic() + secs
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {secs} s: {what} (last: {found!r})"
        page.wait_for_timeout(50)

"""A page of another server, in a browser that reaches the admin port, reads nothing, changes nothing, holds nothing."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.browser.chromium import Window
from tests.browser.worlds import World

PAGE = b"<!doctype html><title>elsewhere</title><a id=link>to the admin page</a><iframe name=into></iframe>"

TRY = """async (admin) => {
  const tried = {};
  const attempt = async (name, action) => {
    try { tried[name] = await action(); } catch (error) { tried[name] = "refused"; }
  };
  await attempt("read", async () => (await fetch(`${admin}/config.json`)).status);
  await attempt("blind", async () => (await fetch(`${admin}/bindings.json`, { mode: "no-cors" })).type);
  await attempt("metrics", async () => (await fetch(`${admin}/metrics`)).status);
  for (const [name, more] of Object.entries({
    plain: {}, credentials: { credentials: "include" }, "no referrer": { referrerPolicy: "no-referrer" },
    beaconlike: { keepalive: true, headers: { "Content-Type": "text/plain" }, body: "{}" },
  })) {
    const post = { method: "POST", mode: "no-cors", ...more };
    await attempt(`post ${name}`, async () => (await fetch(`${admin}/shutdown`, post)).type);
  }
  await attempt("token header", async () =>
    (await fetch(`${admin}/shutdown`, { method: "POST", headers: { "X-L5d-Token": "guess" } })).status);
  navigator.sendBeacon(`${admin}/shutdown`, new URLSearchParams({ graceSecs: "0" }));
  const form = document.createElement("form");
  Object.assign(form, { method: "POST", action: `${admin}/shutdown`, target: "into" });
  document.body.append(form);
  const loaded = (element, address) => new Promise((resolve) => {
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("refused");
    element.src = address;
    document.body.append(element);
    setTimeout(() => resolve("nothing"), 3000);
  });
  tried.image = await loaded(document.createElement("img"), `${admin}/static/icon.svg`);
  tried.script = await loaded(document.createElement("script"), `${admin}/static/theme.js`);
  tried.stream = await new Promise((resolve) => {
    const source = new EventSource(`${admin}/overview.events`);
    source.onmessage = () => resolve("loaded");
    source.onerror = () => { source.close(); resolve("refused"); };
  });
  form.submit();
  await new Promise((resolve) => { document.querySelector("iframe").onload = resolve; setTimeout(resolve, 3000); });
  return tried;
}"""


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of another server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("world", ["empty"], indirect=True)
def test_a_page_of_another_server_gets_nowhere(world: World, window: Callable[..., Window], elsewhere: str) -> None:
    opened = window(world)
    opened.allow(
        r"asked somebody else|Failed to load resource|CORS policy|X-Frame-Options|frame-ancestors|Refused|blocked"
    )
    page = opened.open(elsewhere)
    tried = page.evaluate(TRY, world.url)
    assert {
        name: tried[name] for name in ("read", "metrics", "token header", "image", "script", "stream")
    } == dict.fromkeys(("read", "metrics", "token header", "image", "script", "stream"), "refused")
    # A blind request is answered with something that its sender cannot read.
    assert {found for name, found in tried.items() if name.startswith("post ")} <= {"opaque", "refused"}
    assert world.proxy.get("/ready")[0] == 200
    assert "stopping" not in world.proxy.log
    # It may link here.
    page.evaluate("(address) => { document.getElementById('link').href = address; }", f"{world.url}/help")
    page.get_by_text("to the admin page").click()
    page.get_by_role("heading", name="Help", level=1).wait_for()


@pytest.mark.parametrize("world", ["empty"], indirect=True)
def test_what_a_browser_is_told_of_an_error_is_a_page_of_ours(world: World, window: Callable[..., Window]) -> None:
    opened = window(world)
    opened.allow(r"Failed to load resource.*404")
    page = opened.open("/nothing/<b>there")
    assert page.get_by_role("heading", level=1).inner_text() == "Not Found"
    assert "<b>there" in page.get_by_role("main").inner_text()
    page.get_by_role("link", name="To the overview").click()
    page.get_by_role("heading", name="Overview", level=1).wait_for()

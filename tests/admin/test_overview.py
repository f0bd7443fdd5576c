"""The first page: what it lists, that it works without its script, and that no name becomes markup."""

import re

import pytest

from linkerd_tcp.admin.overview import MOST_ROWS
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.naming.path import Path
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.rig import Endpoint
from tests.sockets import eventually

HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b[31m\udcff"


def text_of(page: str) -> str:
    """Without the tags, and spaces as one."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_it_lists_routers_servers_bindings_endpoints_and_namers(
    app: FakeApp, http: Http, endpoints: list[Endpoint]
) -> None:
    with app.connect():
        words = text_of(http.get("/").text)
    for expected in (
        "ready", "1 open connections", "default", app.servers[0].label, "/svc/web", "/#/io.l5d.static/web",
        f"127.0.0.1:{endpoints[0].port} available 1", f"127.0.0.1:{endpoints[1].port} available 1",
        f"/#/io.l5d.static /web bound 2 127.0.0.1:{endpoints[0].port}, 127.0.0.1:{endpoints[1].port}",
    ):  # fmt: skip
        assert expected in words


def test_a_failed_endpoint_is_shown_with_its_last_error_and_since_when(app: FakeApp, http: Http) -> None:
    app.connect().close()
    eventually(lambda: not app.book.open)
    (balancer,) = app.routers["default"].balancers()
    endpoint = next(iter(balancer._endpoints))
    balancer._endpoints.fail(endpoint)
    endpoint.failed_since, endpoint.last_error, endpoint.failures = 0.0, "connection refused", 1_234
    words = text_of(http.get("/").text)
    assert re.search(r"failed 1 0 0 \d 1,234 connection refused \d+ d ago", words)


def test_rows_keep_their_order_when_endpoints_fail(app: FakeApp, http: Http, endpoints: list[Endpoint]) -> None:
    app.connect().close()
    (balancer,) = app.routers["default"].balancers()
    balancer._endpoints.fail(next(iter(balancer._endpoints)))
    rows = http.get("/overview.json").json()["tables"][2]["rows"]
    assert [row[2] for row in rows] == [f"127.0.0.1:{endpoint.port}" for endpoint in endpoints]
    assert [row[3]["text"] for row in rows] == ["failed", "available"]


def test_states_of_discovery_and_of_the_process_are_in_words(
    app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.ready, app.last_reload_ok = (False, ["namer /#/io.l5d.fs: /web: unreadable"]), False
    stale = WatchState("/web", "bound", 3, 0.0, "unreadable", 1.0, 10e9)
    monkeypatch.setattr(app.namers[0], "watches", lambda: [stale])
    app.routers["default"]._find_or_bind(Path.read("/svc/nowhere"))
    words = text_of(http.get("/").text)
    for expected in (
        "not ready",
        "last reload refused",
        "namer /#/io.l5d.fs: /web: unreadable",
        "/svc/nowhere — — neg",
    ):
        assert expected in words
    assert re.search(r"/web bound, stale 3 — \d+ d ago unreadable in \d+ d", words)


@pytest.mark.parametrize("path", ["/", "/overview.json"])
def test_names_of_strangers_stay_text(app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    hostile = WatchState(HOSTILE, HOSTILE, 1, None, HOSTILE)
    monkeypatch.setattr(app.namers[0], "watches", lambda: [hostile])
    app.ready = (True, [HOSTILE])
    app.routers["default"]._find_or_bind(Path(("svc", "<script>alert(1)</script>")))
    shown = http.get(path).text
    assert "onerror" in shown
    assert "<img" not in shown or path.endswith(".json")
    assert "<script>" not in shown
    assert not re.search(r"[\u202e\x1b]", shown)
    assert http.get("/bindings.json").status_code == http.get("/namers.json").status_code == 200


def test_a_long_list_is_cut_and_says_so(app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    watches = [WatchState(f"/{n}", "bound", 1) for n in range(MOST_ROWS + 1)]
    monkeypatch.setattr(app.namers[0], "watches", lambda: watches)
    table = http.get("/overview.json").json()["tables"][3]
    assert len(table["rows"]) == MOST_ROWS
    assert "Only the first 200 are shown" in http.get("/").text


def test_every_row_has_as_many_cells_as_its_table_has_columns(app: FakeApp, http: Http) -> None:
    app.connect().close()
    app.routers["default"]._find_or_bind(Path.read("/svc/nowhere"))
    for table in http.get("/overview.json").json()["tables"]:
        assert table["rows"]
        for row in table["rows"]:
            assert len(row) == len(table["columns"]), table["name"]


def test_the_page_holds_no_script_or_style_of_its_own_and_asks_nobody_else(http: Http) -> None:
    page = http.get("/").text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/)", page)
    assert not re.search(r"(src|href)=\"(?!/)", page)
    for path in re.findall(r"(?:src|href)=\"([^\"]+)\"", page):
        assert http.get(path).status_code == 200, path

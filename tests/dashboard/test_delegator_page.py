"""/delegator: drawn by the server for whoever has no script, asked again by the page; over one process and workers."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from linkerd_tcp.controller.control import Control
from linkerd_tcp.controller.memory import MemoryStore
from linkerd_tcp.naming.addr import PENDING
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.registry import load
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.dashboard.test_connections_page import Page
from tests.workers.fake import FakeWorker, Front

MARKUP = "<img src=x onerror=alert(1)>"
NAMERD = (
    "}\nnamerd: {port: 0, storage: {kind: io.l5d.inMemory, namespaces: {web: '/svc => /#/io.l5d.static ;', a/b: ''}}"
)


@pytest.fixture(params=["one process", "workers"])
def either(request: pytest.FixtureRequest) -> Http:
    name = "http" if request.param == "one process" else "over_workers"
    found: Http = request.getfixturevalue(name)
    return found


@pytest.fixture
def serving(make_app: Callable[[str], FakeApp]) -> Iterator[Http]:
    """One that serves namespaces."""
    made = Http(make_app(NAMERD).url)
    yield made
    made.session.close()


def result(http: Http, **fields: Any) -> Any:
    answer = http.post("/delegator/result.json", json={"path": "/svc/web", "dtab": None, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def text_of(cell: Any) -> str:
    return str(cell if isinstance(cell, str) else cell["text"])


def test_without_a_script_the_page_has_the_tree_and_the_text(either: Http) -> None:
    answer = either.get("/delegator?router=default&path=/svc/web")
    assert answer.status_code == 200
    page = Page(answer.text)
    assert "A connection to /svc/web goes to /#/io.l5d.static/web: 2 addresses." in page.text
    assert "rule 1: /svc => /#/io.l5d.static" in page.text
    assert "In use" in page.text
    assert "test.yml:10" in page.text
    assert page.text.count("127.0.0.1:") >= 2
    assert "/svc => /#/io.l5d.static;" in page.text
    assert '<option value="router:default" selected>' in answer.text


def test_an_edited_text_takes_the_place_of_the_router_s_and_is_not_used(either: Http) -> None:
    view = result(either, of="router:default", dtab="/svc => ! ;")
    assert text_of(view["badge"]) == "Edited here: not used for traffic"
    assert text_of(view["summary"]).startswith("A connection to /svc/web would fail: the dtab says !")
    assert [row["path"] for row in view["rows"]] == ["/svc/web", "!"]
    assert text_of(result(either, of="router:default")["summary"]).startswith("A connection to /svc/web goes to")


def test_a_text_that_says_the_same_is_in_use(either: Http) -> None:
    view = result(either, router="default", dtab="# the same\n/svc   =>\n/#/io.l5d.static")
    assert text_of(view["badge"]) == "In use"
    assert text_of(view["summary"]).startswith("A connection to /svc/web goes to")
    assert [row["use"] for row in view["lines"]] == ["", "rule 1: matched", ""]


def test_with_no_text_the_one_in_use_comes_with_the_answer(either: Http) -> None:
    view = result(either)
    assert (view["source"]["text"], view["source"]["replaces"]) == ("/svc => /#/io.l5d.static;", True)
    assert view["source"]["key"] == "router:default"


@pytest.mark.parametrize(
    ("fields", "field", "words", "span"),
    [
        ({"dtab": "/svc => /a |\n ;"}, "dtab", "Line 2, column 2: expected a path", (14, 15)),
        ({"dtab": "/svc = "}, "dtab", "Line 1, column 7: expected => after the prefix", (6, 7)),
        ({"path": "svc"}, "path", "Column 1: expected a path, which begins with /", (0, 1)),
        ({"path": "/" + "x" * 9000}, "path", "expected at most 8192 characters", (8192, 8193)),
    ],
)
def test_what_cannot_be_read_is_marked_and_there_is_no_answer_to_it(
    http: Http, fields: dict[str, str], field: str, words: str, span: tuple[int, int]
) -> None:
    view = result(http, **fields)
    assert view["rows"] is None
    assert (view["error"]["field"], (view["error"]["start"], view["error"]["end"])) == (field, span)
    assert words in view["error"]["words"]
    assert sum(bool(line["marked"]) for line in view["lines"]) == (field == "dtab")


def test_the_page_of_a_wrong_text_marks_it_too(http: Http) -> None:
    answer = http.get("/delegator", params={"path": "/svc/web", "dtab": "/svc => x"})
    assert 'aria-invalid="true"' in answer.text
    assert '<mark data-cell="marked">x</mark>' in answer.text
    assert "Line 1, column 9: expected" in answer.text


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("router=none", 404, "there is no router 'none'; there are default"),
        ("namespace=web", 404, "no namespaces are served here"),
    ],
)
def test_a_dtab_that_is_not_there_is_said_on_the_page(either: Http, query: str, status: int, words: str) -> None:
    answer = either.get(f"/delegator?{query}", headers={"Accept": "text/html"})
    assert (answer.status_code, words in Page(answer.text).text) == (status, True)
    assert either.post("/delegator/result.json", json={"of": f"{query.replace('=', ':')}"}).status_code == status


def test_hostile_names_are_text_and_nothing_else(http: Http) -> None:
    path = f"/svc/{MARKUP}\u202e".encode("unicode_escape").decode()
    answer = http.get("/delegator", params={"path": path, "dtab": f"/svc => /#/io.l5d.static ; # {MARKUP}\u202e\x07"})
    page = Page(answer.text)
    assert "img" not in page.tags
    escaped = "/svc/" + "".join(f"\\x{byte:02x}" for byte in MARKUP.encode())
    answer = http.get(
        "/delegator", params={"path": escaped, "dtab": f"/svc => /#/io.l5d.static ; # {MARKUP}\u202e\x07"}
    )
    page = Page(answer.text)
    assert "img" not in page.tags
    assert "\\u202e" in page.text
    router = http.get("/delegator", params={"router": MARKUP})
    assert (router.status_code, "img" in Page(router.text).tags) == (404, False)


def test_what_is_pending_does_not_hold_back_the_rest_and_nothing_stays_watched(
    app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = app.namers[0].lookup

    def lookup(path: Path) -> Any:
        if path[0] != "slow":
            return known(path)
        return Var(Leaf(BoundName(Path.read("/#/io.l5d.static/slow"), Var(PENDING))))

    monkeypatch.setattr(app.namers[0], "lookup", lookup)
    monkeypatch.setattr("linkerd_tcp.admin.delegator.PENDING_SECS", 0.05)
    view = result(http, dtab="/svc/web => /#/io.l5d.static/slow | /#/io.l5d.static/web")
    assert view["pending"]
    assert "addresses not known yet" in text_of(view["summary"])
    assert "bound: 2 addresses" in [text_of(row["kind"]) for row in view["rows"]]
    assert not result(http)["pending"]
    assert app.routers["default"].interpreter._open == {}  # type: ignore[attr-defined]


def test_the_states_of_endpoints_are_those_of_the_balancers(app: FakeApp, http: Http) -> None:
    client = app.connect()
    endpoint = app.routers["default"].balancers()[0].endpoint_rows().__iter__().__next__()
    assert app.drain("/#/io.l5d.static/web", endpoint["address"], True)
    kinds = {text_of(row["path"]): text_of(row["kind"]) for row in result(http)["rows"]}
    assert kinds[endpoint["address"]].startswith("drained")
    assert "available" in kinds.values()
    assert result(http)["paths"] == ["/svc/web"]
    client.close()


def test_where_no_worker_answers_the_page_says_so(
    workers: list[FakeWorker], over_workers: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkerd_tcp.workers.shown.DELEGATION_SECS", 0.05)
    for worker in workers:
        worker.stop_answering()
    answer = over_workers.get("/delegator?path=/svc/web", headers={"Accept": "text/html"})
    assert answer.status_code == 504
    assert "no worker answers" in Page(answer.text).text


# Namespaces


def test_a_namespace_is_looked_at_and_tried_out_like_a_router_s_dtab(serving: Http) -> None:
    view = result(serving, of="namespace:web")
    assert (view["source"]["text"], view["source"]["kind"]) == ("/svc => /#/io.l5d.static ;\n", "namespace")
    assert "Whoever binds through it goes by what is stored" in view["source"]["where"]
    assert text_of(view["summary"]) == "A connection to /svc/web goes to /#/io.l5d.static/web: 2 addresses."
    tried = result(serving, namespace="web", dtab="/svc => /#/io.l5d.static/none ;")
    assert text_of(tried["badge"]) == "Edited here: not used for traffic"
    assert "would not be found" in text_of(tried["summary"])
    assert result(serving, namespace="a/b")["source"]["text"] == ""
    assert "is not found" in Page(serving.get("/delegator?namespace=a/b&path=/x").text).text


def test_a_version_that_was_read_is_what_saving_asks_for(serving: Http) -> None:
    version = result(serving, namespace="web")["source"]["version"]
    change = {"namespace": "web", "dtab": "/svc => /#/io.l5d.static ; # why\n/x => /y"}
    shown = serving.post("/delegator/diff.json", json=change).json()
    assert [(row["sign"], row["text"]) for row in shown["rows"]][-1] == ("+", "/x => /y ;")
    assert (shown["version"], shown["changes"]) == (version, True)
    assert "Comments are not kept" in shown["words"]
    headers = {"Content-Type": "application/dtab", "If-Match": version}
    saved = serving.ask("PUT", "/namerd/api/1/dtabs/web", data=change["dtab"], headers=headers)
    assert saved.status_code == 204
    assert serving.ask("PUT", "/namerd/api/1/dtabs/web", data="", headers=headers).status_code == 412
    again = serving.post("/delegator/diff.json", json=change).json()
    assert again["version"] != version
    assert (again["changes"], again["stored"]) == (False, "/svc => /#/io.l5d.static ;\n/x => /y ;\n")


def test_an_empty_text_is_warned_of_and_a_wrong_one_refused(serving: Http) -> None:
    shown = serving.post("/delegator/diff.json", json={"namespace": "web", "dtab": "# nothing"}).json()
    assert "every name of the namespace is gone" in shown["words"]
    refused = serving.post("/delegator/diff.json", json={"namespace": "web", "dtab": "/a"})
    assert (refused.status_code, "line 1, column 3" in refused.json()["error"]) == (400, True)
    assert serving.post("/delegator/diff.json", json={"namespace": "none", "dtab": ""}).status_code == 404
    assert serving.post("/delegator/diff.json", json={"namespace": "../x", "dtab": ""}).status_code == 400
    assert serving.post("/delegator/diff.json", json={"dtab": ""}).status_code == 400


def test_buttons_are_there_only_where_something_can_be_saved(make_app: Callable[[str], FakeApp]) -> None:
    for admin, saves, words in (
        (NAMERD, True, ""),
        (f", readOnly: true{NAMERD}", False, "admin.readOnly is set"),
        ("", False, ""),
    ):
        http = Http(make_app(admin).url)
        text = http.get("/delegator?path=/svc/web").text
        assert ('id="save"' in text, 'id="create"' in text) == (saves, saves)
        assert words in text
        assert http.post("/delegator/result.json", json={"path": "/svc/web", "dtab": "/svc => !"}).status_code == 200
        http.session.close()


def test_namespaces_are_those_of_the_admin_process_where_there_are_workers(workers: list[FakeWorker]) -> None:
    store, hosts = MemoryStore({"web": Dtab.read("/svc => /#/io.l5d.static")}), HostResolver()
    store.start()
    control = Control(store, workers[0].namers, load("utilities", "/$/")(hosts))
    front = Front(workers, SimpleNamespace(control=control, namerd_address=("127.0.0.1", 4180), namers=[store]))
    http = Http(front.url)
    view = result(http, namespace="web")
    assert text_of(view["summary"]) == "A connection to /svc/web goes to /#/io.l5d.static/web: 2 addresses."
    assert text_of(result(http, of="router:default")["summary"]) == text_of(view["summary"])
    assert len(control.namespaces) == 0
    http.session.close()
    front.close()
    control.close()
    store.close()
    hosts.close()

"""No path that changes something can be used by other pages, by GET, or where nothing may be changed: whatever paths
there are. They are taken from the app itself, of one process and of several workers, so that none is forgotten.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from tests.admin.fake import FakeApp
from tests.workers.fake import FakeWorker, Front

CONTROL_PLANE = "}\nnamerd: {storage: {kind: io.l5d.inMemory, namespaces: {default: /a => /b}}"
"""Ends `admin` and begins `namerd`."""

HARMLESS = {"/delegator.json", "/delegator/result.json", "/delegator/diff.json"}
"""What is asked by POST for its length and changes nothing."""

DTAB = "/namerd/api/1/dtabs/x"
"""Of namerd's paths, which take any method and answer as namerd does, the only ones that change something."""

CHANGING = {"POST", "PUT", "DELETE"}
PARAMETER = re.compile("<[^>]*>")


class Served(NamedTuple):
    url: str
    rules: list[tuple[str, set[str]]]
    """(a path, the methods that it takes)"""
    asked: Callable[[], list[Any]]
    """What would have ended the program."""

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Each (method, path) that may change something."""
        found = [(method, path) for path, methods in self.rules for method in sorted(methods & CHANGING)]
        assert len(found) > 8
        return found

    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self.url + path, headers=named, timeout=5)


Serve = Callable[[str], Served]


@pytest.fixture(params=["one process", "workers"])
def serve(request: pytest.FixtureRequest, make_app: Callable[[str], FakeApp], tmp_path: Path) -> Iterator[Serve]:
    """With more keys of `admin`."""
    closing: list[Any] = []

    def one(admin: str) -> Served:
        app = make_app(admin + CONTROL_PLANE)
        return Served(app.url, rules(app.admin), lambda: app.asked)

    def several(admin: str) -> Served:
        worker = FakeWorker(0, ["127.0.0.1:1"], tmp_path, admin + CONTROL_PLANE)
        front = Front([worker], worker)  # whose control plane stands in for that of the admin process
        closing.extend((front, worker))
        return Served(front.url, rules(front.server), lambda: worker.asked)

    yield one if request.param == "one process" else several
    for each in closing:
        each.close()


def rules(server: Any) -> list[tuple[str, set[str]]]:
    application = server._http._server.application
    found = [(PARAMETER.sub("x", rule.rule), set(rule.methods)) for rule in application.url_map.iter_rules()]
    assert ("/shutdown", {"POST", "OPTIONS"}) in found
    assert any(path.startswith("/namerd/") and "PUT" in methods for path, methods in found)
    return found


def token_of(served: Served) -> str:
    found = re.search(r'<meta name="l5d-token" content="([\w-]{40,})">', served.ask("GET", "/help").text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://localhost:1", "http://127.0.0.1"])
def test_nothing_is_changed_for_a_page_of_another_origin(serve: Serve, origin: str) -> None:
    served = serve("")
    token = token_of(served)
    for method, path in served.changes:
        answer = served.ask(method, path, Origin=origin, X_L5d_Token=token)
        assert (answer.status_code, "Origin" in answer.text) == (403, True), (method, path)
    assert served.asked() == []


@pytest.mark.parametrize("sign", [{"Cookie": "a=b"}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}])
def test_nothing_is_changed_for_a_browser_without_the_token(serve: Serve, sign: dict[str, str]) -> None:
    served = serve("")
    for method, path in served.changes:
        for token in ({}, {"X_L5d_Token": "wrong"}, {"X_L5d_Token": ""}):
            answer = served.ask(method, path, **sign, **token)
            assert (answer.status_code, "token" in answer.text) == (403, True), (method, path)
    with_origin = [served.ask(method, path, Origin=served.url).status_code for method, path in served.changes]
    assert set(with_origin) == {403}
    assert served.asked() == []


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost@evil.example", "127.0.0.1.evil.example", "[::1%25<b>]", ""]
)
def test_nothing_is_changed_or_shown_for_an_unknown_host(serve: Serve, host: str) -> None:
    served = serve("")
    token = token_of(served)
    for method, path in served.changes:
        assert served.ask(method, path, Host=host, X_L5d_Token=token).status_code == 403, (method, path)
    assert served.asked() == []


def test_nothing_is_changed_where_nothing_may_be(serve: Serve) -> None:
    served = serve(", readOnly: true")
    for method, path in served.changes:
        if path not in HARMLESS and (path == DTAB or not path.startswith("/namerd/")):
            answer = served.ask(method, path)
            assert (answer.status_code, "admin.readOnly" in answer.text) == (403, True), (method, path)
    assert served.asked() == []


def test_what_changes_something_is_never_a_get(serve: Serve) -> None:
    served = serve("")
    readable = {path for path, methods in served.rules if "GET" in methods}
    refused = [path for _, path in served.changes if path not in readable]
    assert len(refused) > 6
    for path in refused:
        for method in ("GET", "HEAD"):
            answer = served.ask(method, path)
            assert (answer.status_code, "POST" in answer.headers["Allow"]) == (405, True), path
    assert served.asked() == []


def test_what_may_be_both_read_and_changed_is_known_here(serve: Serve) -> None:
    """A new path of this kind has to be looked at: its GET must change nothing."""
    served = serve("")
    readable = {path for path, methods in served.rules if "GET" in methods}
    both = {path for _, path in served.changes if path in readable and not path.startswith("/namerd/")}
    assert both == {"/delegator.json", "/logging.json"}


def test_no_method_at_all_changes_a_dtab_where_nothing_may_be(serve: Serve) -> None:
    served = serve(", readOnly: true")
    before = served.ask("GET", "/namerd/api/1/dtabs/default")
    for method, path in served.changes:
        if path.startswith("/namerd/"):
            served.ask(method, path.replace("/x", "/default"))
    after = served.ask("GET", "/namerd/api/1/dtabs/default")
    assert (after.status_code, after.text, after.headers.get("ETag")) == (
        before.status_code, before.text, before.headers.get("ETag")
    )  # fmt: skip

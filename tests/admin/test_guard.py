"""Who may ask what of admin: hosts, origins, tokens."""

import re

import pytest

from linkerd_tcp.web.app import HEADERS
from linkerd_tcp.web.guard import PROBES
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp

LEVEL = {"logger": "linkerd_tcp", "level": "debug"}


def test_the_refusal_names_the_host_and_the_key_that_allows_it(http: Http) -> None:
    for path in ("/", "/bindings.json", "/nothing", "/static/page.css"):
        answer = http.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 403
        assert "evil.example" in answer.json()["error"]
        assert "admin.allowedHosts" in answer.json()["error"]


def test_scrapers_and_probes_may_call_it_anything(http: Http) -> None:
    for path in PROBES:
        assert http.get(path, headers={"Host": "evil.example"}).status_code == 200, path


def test_a_reload_changes_the_names_that_are_answered_for(app: FakeApp, http: Http) -> None:
    assert http.get("/logging.json", headers={"Host": "lb.example.com"}).status_code == 200
    app.config = app.config.model_copy(
        update={"admin": app.config.admin.model_copy(update={"allowed_hosts": ("other.example.com",)})}
    )
    app.admin.reconfigure()
    assert http.get("/logging.json", headers={"Host": "lb.example.com"}).status_code == 403
    assert http.get("/logging.json", headers={"Host": "other.example.com"}).status_code == 200


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1:1", "https://localhost", ""])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_foreign_origin_changes_nothing_even_with_the_token(
    app: FakeApp, http: Http, origin: str, method: str
) -> None:
    token = token_of(http)
    answer = http.ask(method, "/logging.json", json=LEVEL, headers={"Origin": origin, "X-L5d-Token": token})
    assert answer.status_code == 403
    assert "Origin" in answer.json()["error"]
    assert app.logs.level == "info"


def token_of(http: Http) -> str:
    """As our own page has it."""
    found = re.search(r'<meta name="l5d-token" content="([\w-]{40,})">', http.get("/").text)
    assert found is not None
    return found[1]


def test_curl_needs_no_token(app: FakeApp, http: Http) -> None:
    assert http.post("/logging.json", json=LEVEL).status_code == 200
    assert app.logs.level == "debug"


@pytest.mark.parametrize("sign", ["Origin", "Sec-Fetch-Site", "Cookie"])
def test_a_browser_needs_the_token_of_the_page(app: FakeApp, http: Http, sign: str) -> None:
    value = app.url if sign == "Origin" else "same-origin=1"
    for token in ("", "wrong", "é"):
        answer = http.post("/logging.json", json=LEVEL, headers={sign: value, "X-L5d-Token": token.encode()})
        assert answer.status_code == 403
        assert "X-L5d-Token" in answer.json()["error"]
    assert http.post("/logging.json", data=LEVEL, headers={sign: value}).status_code == 403
    assert app.logs.level == "info"
    token = token_of(http)
    assert http.post("/logging.json", json=LEVEL, headers={sign: value, "X-L5d-Token": token}).status_code == 200
    app.logs.level = "info"
    assert http.post("/logging.json", data={**LEVEL, "token": token}, headers={sign: value}).status_code == 200
    assert app.logs.level == "debug"


def test_the_token_is_not_among_what_other_pages_may_read(http: Http) -> None:
    answer = http.get("/", headers={"Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/bindings.json", "/nothing", "/static/page.css", "/ping"])
def test_every_answer_has_the_headers_of_a_careful_server(http: Http, path: str) -> None:
    headers = http.get(path).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy

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


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
@pytest.mark.parametrize("path", ["/help", "/bindings.json", "/nothing", "/static/nothing.css", "/ping"])
def test_every_answer_has_the_headers_of_a_careful_server(http: Http, path: str, accept: str) -> None:
    headers = http.get(path, headers={"Accept": accept}).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers


def test_a_page_may_load_and_ask_nothing_but_this_server() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
    assert (policy["base-uri"], policy["frame-ancestors"], policy["form-action"]) == ("'none'", "'none'", "'self'")
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")


def test_static_files_are_kept_by_a_browser_and_asked_about_again(http: Http) -> None:
    first = http.get("/static/page.css")
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-cache")
    assert {name: first.headers[name] for name in HEADERS if name != "Cache-Control"}.items() <= HEADERS.items()
    again = http.get("/static/page.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/bindings.json", "/metrics", "/help"])
def test_a_page_of_another_server_may_link_here_and_load_nothing(http: Http, path: str) -> None:
    for site in ("cross-site", "same-site"):
        link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert http.get(path, headers=link).status_code == 200
        for mode, dest in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")):
            answer = http.get(path, headers={**link, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest})
            assert answer.status_code == 403, (path, mode)
            assert "Sec-Fetch-Site" in answer.json()["error"]
    ours = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    assert http.get(path, headers=ours).status_code == 200


def test_a_token_that_is_no_text_is_no_token(http: Http) -> None:
    odd = b'{"token": "\\ud800"}'
    form = {"Origin": "http://127.0.0.1", "Host": "127.0.0.1", "Content-Type": "application/x-www-form-urlencoded"}
    assert http.post("/logging.json", data=odd, headers=form).status_code == 403

"""Errors are pages for who asks for one, JSON for others, and plain words where nothing of ours may be shown."""

import socket
from html.parser import HTMLParser

import pytest
from flask import Blueprint
from werkzeug.exceptions import NotFound

from linkerd_tcp.admin import web
from linkerd_tcp.controller.api import create
from linkerd_tcp.web.guard import Guard
from linkerd_tcp.web.handler import MAX_HEADER_BYTES
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.sockets import read_all

PAGE = {"Accept": "text/html,application/xhtml+xml"}


class Page(HTMLParser):
    """Of a page: its links, the text of its `main`, and its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words = ""
        self.elements: list[str] = []
        self._is_main = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self._is_main |= tag == "main"
        self.links += [value or "" for name, value in attrs if (tag, name) == ("a", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._is_main &= tag != "main"

    def handle_data(self, data: str) -> None:
        if self._is_main:
            self.words += data


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nothing", 404, "nothing at"),
        ("GET", "/shutdown", 405, "not allowed"),
        ("POST", "/overview", 404, "nothing at"),
        ("GET", "/metrics?worker=7", 404, "no worker '7'"),
    ],
)
def test_an_error_is_a_page_with_words_and_a_way_home(
    http: Http, method: str, path: str, status: int, words: str
) -> None:
    answer = http.ask(method, path, headers=PAGE)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    page = Page(answer.text)
    assert str(status) in page.words
    assert words in page.words
    assert "/" in page.links
    assert "b" not in page.elements
    assert "Traceback" not in answer.text
    assert ("Allow" in answer.headers) == (status == 405)


def test_what_a_path_says_is_text_on_the_page_of_its_error(http: Http) -> None:
    answer = http.get("/metrics?worker=<img src=x onerror=alert(1)>\u202e%00", headers=PAGE)
    page = Page(answer.text)
    assert "img" not in page.elements
    assert "<img src=x" in page.words
    assert "\u202e" not in answer.text


def test_a_refused_name_gets_words_and_neither_page_nor_token(http: Http) -> None:
    for path in ("/", "/nothing", "/connections"):
        answer = http.get(path, headers={**PAGE, "Host": "evil.example"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/plain; charset=utf-8")
        assert "'evil.example'" in answer.text
        assert "admin.allowedHosts" in answer.text
        assert "l5d-token" not in answer.text


def test_a_bug_is_a_page_too(app: FakeApp) -> None:
    routes = Blueprint("bug", __name__)
    routes.add_url_rule("/bug", view_func=lambda: 1 / 0)
    answer = web.create(app, Guard(), routes).test_client().get("/bug", headers=PAGE)
    assert answer.status_code == 500
    assert "the log has the details" in Page(answer.text).words
    assert "ZeroDivisionError" not in answer.text


def test_a_page_of_errors_that_fails_itself_is_a_plain_500(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.dashboard.draw.Draw.__call__", lambda *_, **__: 1 / 0)
    answer = http.get("/nothing", headers=PAGE)
    assert answer.status_code == 500
    assert "the log has the details" in answer.json()["error"]


def ask(app: FakeApp, request: bytes) -> bytes:
    with socket.create_connection(app.admin.address, timeout=5) as client:
        client.sendall(request)
        return read_all(client)


HEAD = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"414", b"first line"),
        (HEAD + b"X: " + b"x" * (MAX_HEADER_BYTES // 2) + b"\r\nY: " + b"y" * MAX_HEADER_BYTES, b"431", b"Headers"),
        (HEAD + b"X: y\r\n" * 150 + b"\r\n", b"431", b"100 headers"),
        (b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n", b"413", b"At most"),
        (b"GET http://127.0.0.1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"400", b"no proxy"),
        (b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400", b"no proxy"),
        (b"GET / HTTP/1.0\r\n\r\n", b"403", b"no Host"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"403", b"evil"),
    ],
)
def test_what_is_refused_before_any_path_is_looked_at_is_said(
    app: FakeApp, request_: bytes, status: bytes, words: bytes
) -> None:
    answer = ask(app, request_)
    assert answer.startswith(b"HTTP/1.1 " + status + b" "), answer[:200]
    assert words in answer


def test_headers_that_fit_are_read(app: FakeApp) -> None:
    cookies = b"Cookie: " + b"c" * (MAX_HEADER_BYTES - 200)
    assert b"pong" in ask(app, HEAD + cookies + b"\r\nConnection: close\r\n\r\n")


def test_the_control_plane_answers_in_plain_words() -> None:
    answer = create(lambda: None, Guard(key="namerd.allowedHosts")).test_client().get("/nothing", headers=PAGE)
    assert (answer.status_code, answer.mimetype) == (NotFound.code, "text/plain")

"""Which Host headers are answered, whoever serves."""

import socket

import pytest

from linkerd_tcp.web.guard import Guard


def environ(host: str | None, path: str = "/", method: str = "GET", **more: str) -> dict[str, str]:
    made = {"PATH_INFO": path, "REQUEST_METHOD": method, **more}
    return made if host is None else {**made, "HTTP_HOST": host}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9989", "[::1]:9989", "10.1.2.3:80", "localhost", "LOCALHOST:9989", "localhost.",
     socket.gethostname(), "lb.example.com", "LB.example.com:443", "localhost:", "127.0.0.1:65535", "[FE80::1]:1",
     "[fe80::1%eth0]:9989", "[::ffff:127.0.0.1]"],
)  # fmt: skip
def test_this_machine_is_answered_for(host: str) -> None:
    assert Guard(["lb.example.com"]).refusal(environ(host)) is None


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost,evil", "evil@localhost",
     "localhost:x", "localhost/evil", "127.0.0.1#evil", "[::1", "lb.example.com evil", "localhost:65536",
     "localhost:-1", "user:word@127.0.0.1", "@127.0.0.1", "127.0.0.1@evil.example", "[::1%<b>]", "[::1%a.b]",
     "[evil.example]", "127.1", "2130706433", "0x7f.1", "::1", "localhost\\@evil.example", "localhost?evil",
     "localhost\tevil", "loc\xe4lhost", "evil.example:localhost", "localhost..", ".localhost", "*", "null"],
)  # fmt: skip
def test_any_other_name_is_refused(host: str | None) -> None:
    assert Guard(["lb.example.com"]).refusal(environ(host))


def test_a_path_for_any_host_is_answered_whatever_it_is_called() -> None:
    guard = Guard(any_host=frozenset({"/ping"}))
    assert guard.refusal(environ("evil.example", "/ping")) is None
    assert guard.refusal(environ("evil.example", "/pong"))


@pytest.mark.parametrize(
    ("origin", "host", "is_secure", "is_ours"),
    [
        ("http://127.0.0.1:9989", "127.0.0.1:9989", False, True),
        ("http://LB.example.com", "lb.example.com", False, True),
        ("https://lb.example.com", "lb.example.com", False, True),  # a proxy before us ends TLS
        ("https://lb.example.com", "lb.example.com", True, True),
        ("http://lb.example.com", "lb.example.com", True, False),
        ("http://127.0.0.1", "127.0.0.1:9989", False, False),
        ("http://127.0.0.1:9989", "localhost:9989", False, False),
        ("http://localhost:9989", "127.0.0.1:9989", False, False),
        ("null", "localhost", False, False),
        ("", "localhost", False, False),
        ("file://", "localhost", False, False),
        ("file://localhost", "localhost", False, False),
        ("localhost", "localhost", False, False),
        ("//localhost", "localhost", False, False),
        ("http://localhost@evil.example", "localhost", False, False),
        ("http://evil.example http://localhost", "localhost", False, False),
        ("http://[::1", "localhost", False, False),
        ("chrome-extension://localhost", "localhost", False, False),
    ],
)
def test_an_origin_is_ours_if_a_page_of_ours_has_it(origin: str, host: str, is_secure: bool, is_ours: bool) -> None:
    guard = Guard(["lb.example.com"])
    guard.is_secure = is_secure
    why_not = guard.refusal(environ(host, method="POST", HTTP_ORIGIN=origin))
    assert (why_not is None) == is_ours
    assert is_ours or (why_not is not None and repr(origin) in why_not)
    assert guard.refusal(environ(host, HTTP_ORIGIN=origin)) is None  # it may be read


@pytest.mark.parametrize(
    ("site", "mode", "dest", "is_let_in"),
    [
        (None, None, None, True),
        ("none", "navigate", "document", True),
        ("same-origin", "cors", "empty", True),
        ("cross-site", "navigate", "document", True),
        ("same-site", "navigate", "document", True),
        ("cross-site", "navigate", "iframe", False),
        ("cross-site", "navigate", "object", False),
        ("cross-site", "no-cors", "image", False),
        ("cross-site", "no-cors", "script", False),
        ("cross-site", "cors", "empty", False),
        ("same-site", "cors", "empty", False),
        ("cross-site", "websocket", "empty", False),
    ],
)
def test_a_page_elsewhere_may_link_and_not_load(
    site: str | None, mode: str | None, dest: str | None, is_let_in: bool
) -> None:
    said = {"HTTP_SEC_FETCH_SITE": site, "HTTP_SEC_FETCH_MODE": mode, "HTTP_SEC_FETCH_DEST": dest}
    request = environ("localhost", **{name: value for name, value in said.items() if value is not None})
    assert (Guard().refusal(request) is None) == is_let_in


def test_only_the_token_is_the_token() -> None:
    guard, other = Guard(), Guard()
    assert guard.is_token(guard.token)
    for wrong in (None, "", other.token, guard.token[:-1], guard.token + "a", guard.token.upper(), "é", "\ud800"):
        assert not guard.is_token(wrong)

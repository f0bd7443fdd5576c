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
     socket.gethostname(), "lb.example.com", "LB.example.com:443"],
)  # fmt: skip
def test_this_machine_is_answered_for(host: str) -> None:
    assert Guard(["lb.example.com"]).refusal(environ(host)) is None


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost,evil", "evil@localhost",
     "localhost:x", "localhost/evil", "127.0.0.1#evil", "[::1", "lb.example.com evil"],
)  # fmt: skip
def test_any_other_name_is_refused(host: str | None) -> None:
    assert Guard(["lb.example.com"]).refusal(environ(host))


def test_a_path_for_any_host_is_answered_whatever_it_is_called() -> None:
    guard = Guard(any_host=frozenset({"/ping"}))
    assert guard.refusal(environ("evil.example", "/ping")) is None
    assert guard.refusal(environ("evil.example", "/pong"))

"""What can be done over HTTP, and that it is refused where nothing may be changed."""

import socket
from collections.abc import Callable

import pytest
import requests

from linkerd_tcp.errors import Cause, ConfigError, StartError
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.rig import Endpoint
from tests.sockets import eventually


def test_a_connection_is_closed_by_its_id(app: FakeApp, http: Http) -> None:
    with app.connect() as client:
        (record,) = app.book.open.values()
        assert http.post(f"/connections/{record.id}/close").status_code == 200
        client.settimeout(5)
        assert client.recv(1) == b""
    assert app.book.closed[-1].cause == Cause.CLOSED_BY_ADMIN
    answer = http.post(f"/connections/{record.id}/close")
    assert answer.status_code == 404
    assert record.id in answer.json()["error"]


def test_a_drained_endpoint_gets_no_new_connections_until_it_is_undrained(
    app: FakeApp, http: Http, endpoints: list[Endpoint]
) -> None:
    app.connect().close()
    which = {"bound": "/#/io.l5d.static/web", "address": f"127.0.0.1:{endpoints[0].port}"}
    answer = http.post("/endpoints/drain", json=which)
    assert (answer.status_code, answer.json()) == (200, {**which, "drained": True})
    before = endpoints[0].accepts
    for _ in range(10):
        app.connect().close()
    assert endpoints[0].accepts == before
    assert drained(http) == [True, False]
    assert http.post("/endpoints/undrain", data=which).json() == {**which, "drained": False}
    assert drained(http) == [False, False]


def drained(http: Http) -> list[bool]:
    (balancer,) = http.get("/bindings.json").json()["routers"][0]["bindings"][0]["balancers"]
    return [endpoint["drained"] for endpoint in balancer["endpoints"]]


def test_draining_what_is_not_there_is_a_404_and_half_a_question_a_400(app: FakeApp, http: Http) -> None:
    assert http.post("/endpoints/drain", json={"bound": "/#/x", "address": "127.0.0.1:1"}).status_code == 404
    answer = http.post("/endpoints/drain", json={"bound": "/#/x"})
    assert answer.status_code == 400
    assert "'address'" in answer.json()["error"]
    assert http.post("/endpoints/drain", json={"bound": 1, "address": []}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"logger": "linkerd_tcp", "level": "debug"}},
        {"data": {"logger": "linkerd_tcp", "level": "debug"}},
        {"data": '{"logger": "linkerd_tcp", "level": "debug"}', "headers": {"Content-Type": "text/plain"}},
        {
            "data": '{"logger": "linkerd_tcp", "level": "debug"}',
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
    ],
    ids=["json", "form", "json as text", "json as curl -d sends it"],
)
def test_a_level_is_set_by_json_or_form(app: FakeApp, http: Http, body: dict[str, object]) -> None:
    answer = http.post("/logging.json", **body)
    assert answer.json() == [{"logger": "linkerd_tcp", "level": "debug"}]
    assert http.get("/logging.json").json() == answer.json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"[1]", 400), (b"{", 400), (b'{"logger": "linkerd_tcp"}', 400), (b"{" * 60_000, 400),
        (b'{"logger": "nobody", "level": "debug"}', 404), (b'{"logger": "linkerd_tcp", "level": "loud"}', 400),
        (b"&".join(b"%d=1" % n for n in range(100)), 400), (b"x" * 65_537, 413), (b"logger=%ff", 400),
        (b'{"a":' * 10_000, 400),
    ],
)  # fmt: skip
def test_a_bad_body_is_refused_in_words(http: Http, body: bytes, status: int) -> None:
    answer = http.post("/logging.json", data=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_a_huge_body_is_refused_unread(app: FakeApp, http: Http) -> None:
    with socket.create_connection(app.admin.address, timeout=5) as client:
        client.sendall(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert client.recv(65536) == b""


def test_a_body_in_chunks_is_refused(http: Http) -> None:
    assert http.post("/logging.json", data=iter([b"{}"])).status_code == 411


@pytest.mark.parametrize("path", ["/shutdown", "/admin/shutdown"])
def test_shutdown_answers_before_it_begins(app: FakeApp, http: Http, path: str) -> None:
    answer = http.post(path)
    assert (answer.status_code, answer.json()) == (200, {"stopping": True, "graceSecs": 10.0})
    eventually(lambda: app.asked == [("shutdown", None)])


def test_shutdown_takes_another_grace(app: FakeApp, http: Http) -> None:
    assert http.post("/shutdown?graceSecs=2.5").json()["graceSecs"] == 2.5
    eventually(lambda: app.asked == [("shutdown", 2.5)])


@pytest.mark.parametrize("grace", ["-1", "soon", "nan", "inf", ""])
def test_a_grace_that_is_no_time_is_refused(app: FakeApp, http: Http, grace: str) -> None:
    assert http.post(f"/shutdown?graceSecs={grace}").status_code == 400
    assert app.asked == []


def test_shutdown_begins_even_if_the_client_does_not_wait(app: FakeApp) -> None:
    with socket.create_connection(app.admin.address, timeout=5) as client:
        client.sendall(b"POST /shutdown HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    eventually(lambda: app.asked == [("shutdown", None)])


def test_abort_aborts(app: FakeApp, http: Http) -> None:
    assert http.post("/abort").status_code == 200
    eventually(lambda: app.asked == [("abort", None)])


def test_reload_says_what_changed_or_what_is_wrong(app: FakeApp, http: Http) -> None:
    app.reloaded = ["server 127.0.0.1:7475 added"]
    assert http.post("/reload").json() == {"changed": ["server 127.0.0.1:7475 added"]}
    app.reloaded = ConfigError(["a.yml:1:1: wrong", "a.yml:2:1: too"])
    answer = http.post("/reload")
    assert (answer.status_code, answer.json()) == (422, {"errors": ["a.yml:1:1: wrong", "a.yml:2:1: too"]})
    app.reloaded = StartError("routers[0].servers[0].port: taken")
    answer = http.post("/reload")
    assert (answer.status_code, answer.json()) == (422, {"errors": ["routers[0].servers[0].port: taken"]})


CHANGES = [
    "/connections/0-1/close", "/endpoints/drain", "/endpoints/undrain", "/logging.json", "/shutdown", "/admin/shutdown",
    "/abort", "/reload",
]  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
def test_read_only_means_that_nothing_can_be_changed(make_app: Callable[[str], FakeApp], path: str) -> None:
    app = make_app(", readOnly: true")
    app.reloaded = AssertionError("not to be called")
    answer = requests.post(app.url + path, json={"logger": "linkerd_tcp", "level": "debug"}, timeout=5)
    assert answer.status_code == 403
    assert "admin.readOnly" in answer.json()["error"]
    assert (app.asked, app.logs.level) == ([], "info")
    assert requests.get(app.url + "/delegator.json?path=/svc/web", timeout=5).status_code == 200
    assert requests.post(app.url + "/delegator.json", json={"path": "/svc/web"}, timeout=5).status_code == 200


@pytest.mark.parametrize("path", [path for path in CHANGES if path != "/logging.json"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_a_post_changes_anything(app: FakeApp, http: Http, path: str, method: str) -> None:
    assert http.ask(method, path).status_code == 405
    assert app.asked == []

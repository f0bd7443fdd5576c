"""What can be read has the shapes of the public interface."""

import os
import socket
from collections.abc import Iterator
from time import time

import pytest
import requests

from linkerd_tcp.admin.names import watch_json
from linkerd_tcp.naming.addr import PENDING, Addr, Address, Bound
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.naming.path import Path
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.rig import Endpoint
from tests.sockets import eventually

CONNECTION_KEYS = [
    "id", "router", "server", "source", "path", "bound", "endpoint", "state", "acceptedAt", "ageSecs", "rxBytes",
    "txBytes", "cause", "attempts", "steps", "explanation",
]  # fmt: skip
ENDPOINT_KEYS = [
    "address", "state", "weight", "open", "pending", "consecutiveFailures", "connects", "failures", "lastError",
    "failedSince", "drained", "lastErrorAt", "nextTryAt", "probing", "ejections",
]  # fmt: skip


@pytest.fixture
def client(app: FakeApp) -> Iterator[socket.socket]:
    with app.connect() as connected:
        yield connected


@pytest.mark.parametrize("prefix", ["", "/admin"])
def test_probes_answer_under_both_of_their_paths(http: Http, prefix: str) -> None:
    assert http.get(f"{prefix}/ping").text == "pong"
    assert http.get(f"{prefix}/live").status_code == 200
    assert http.get(f"{prefix}/ready").status_code == 200


def test_ready_says_503_when_it_is_not_and_names_what_is_stale_when_it_is(app: FakeApp, http: Http) -> None:
    app.ready = (True, ["namer /#/io.l5d.fs: /web: unreadable \udcff"])
    answer = http.get("/ready")
    assert (answer.status_code, answer.text) == (200, "ready\nnamer /#/io.l5d.fs: /web: unreadable \\udcff\n")
    app.ready = (False, [])
    assert http.get("/ready").status_code == 503


def test_an_open_connection_is_shown_with_the_bytes_that_have_flowed(
    app: FakeApp, http: Http, client: socket.socket, endpoints: list[Endpoint]
) -> None:
    client.sendall(b"0123456789")
    eventually(lambda: http.get("/connections.json").json()["connections"][0]["txBytes"] == 10)
    (shown,) = http.get("/connections.json").json()["connections"]
    assert [key for key in CONNECTION_KEYS if key not in shown] == []
    address = f"127.0.0.1:{client.getsockname()[1]}"
    assert (shown["source"], shown["server"], shown["state"]) == (address, app.servers[0].label, "open")
    assert (shown["path"], shown["bound"]) == ("/svc/web", "/#/io.l5d.static/web")
    assert shown["endpoint"] in [f"127.0.0.1:{endpoint.port}" for endpoint in endpoints]
    assert (shown["rxBytes"], shown["cause"], shown["explanation"]) == (10, None, None)
    assert [set(each) for each in shown["attempts"]] == [{"endpoint", "error", "seconds"}]
    assert shown["steps"][0] == {"at": 0.0, "what": "accepted"}
    assert abs(shown["acceptedAt"] - time()) < 5


def test_bindings_have_tree_balancers_and_endpoints(app: FakeApp, http: Http, client: socket.socket) -> None:
    shown = http.get("/bindings.json").json()
    (router,) = shown["routers"]
    (binding,) = router["bindings"]
    (balancer,) = binding["balancers"]
    assert (router["label"], binding["path"]) == ("default", "/svc/web")
    assert (balancer["bound"], balancer["addr"]) == ("/#/io.l5d.static/web", {"type": "bound"})
    assert (binding["tree"]["type"], binding["tree"]["bound"]["id"]) == ("leaf", "/#/io.l5d.static/web")
    assert [list(each) for each in balancer["endpoints"]] == [ENDPOINT_KEYS] * 2
    assert sum(each["open"] for each in balancer["endpoints"]) == 1


def test_a_path_that_is_not_bound_is_shown_as_what_it_is(app: FakeApp, http: Http) -> None:
    app.routers["default"]._find_or_bind(Path.read("/svc/nowhere"))
    (binding,) = http.get("/bindings.json").json()["routers"][0]["bindings"]
    assert binding == {"path": "/svc/nowhere", "tree": {"type": "neg"}, "balancers": []}


def test_namers_have_their_watches(app: FakeApp, http: Http, client: socket.socket, endpoints: list[Endpoint]) -> None:
    (namer,) = http.get("/namers.json").json()["namers"]
    assert (namer["prefix"], namer["kind"]) == ("/io.l5d.static", "io.l5d.static")
    (watch,) = namer["watches"]
    assert (watch["name"], watch["state"], watch["addresses"]) == ("/web", "bound", 2)
    assert watch["value"] == [f"127.0.0.1:{endpoint.port}" for endpoint in endpoints]
    assert set(watch) == {"name", "state", "addresses", "value", "lastGoodAt", "error", "errorAt", "nextAttemptAt"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            Bound(tuple(Address(f"10.0.{n >> 8}.{n & 255}", 80) for n in range(1000))),
            [f"10.0.0.{n}:80" for n in range(20)],
        ),
        ("0.9 * /#/io.l5d.fs/a & 0.1 * /#/io.l5d.fs/b", ["0.9 * /#/io.l5d.fs/a & 0.1 * /#/io.l5d.fs/b"]),
        (PENDING, []),
        (None, []),
    ],
)
def test_the_value_of_a_watch_is_its_first_addresses_or_its_words(value: Addr | str | None, shown: list[str]) -> None:
    assert watch_json(WatchState("/web", "any", 1000, value=value))["value"] == shown


def test_the_configuration_is_shown_with_where_it_really_listens(app: FakeApp, http: Http) -> None:
    shown = http.get("/config.json").json()
    assert shown["routers"][0]["servers"][0]["connectTimeoutMs"] == 5000
    assert shown["listening"] == [{"router": "default", "address": app.servers[0].label}]


@pytest.mark.parametrize(
    "path",
    ["/", "/ping", "/metrics", "/config.json", "/bindings.json", "/connections.json", "/namers.json", "/logging.json"],
)
def test_every_path_answers_head_without_a_body(http: Http, path: str) -> None:
    answer = http.ask("HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert http.get("/ping").text == "pong"  # on the same connection: nothing of a body was left on it


def test_an_old_client_gets_the_whole_of_a_streamed_answer(app: FakeApp) -> None:
    """HTTP/1.0 has no chunks."""
    with socket.create_connection(app.admin.address, timeout=5) as client:
        client.sendall(b"GET /namers.json HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.split(b"\r\n\r\n", 1)[1].startswith(b'{"namers": [')


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/bindings.json", 405), ("GET", "/shutdown", 405), ("GET", "/reload", 405)],
)
def test_a_path_or_method_that_is_not_there_is_said_in_json(http: Http, method: str, path: str, status: int) -> None:
    answer = http.ask(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_bug_costs_a_500_in_words_and_a_log_line(
    app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app.logs, "levels", lambda: 1 / 0)
    answer = http.get("/logging.json")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert http.get("/ping").text == "pong"


def test_a_bug_in_the_middle_of_an_answer_cuts_it_off(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    def pieces(_: object) -> Iterator[str]:
        yield "[" * 100_000
        raise ZeroDivisionError

    monkeypatch.setattr("linkerd_tcp.admin.names.bindings", pieces)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        http.get("/bindings.json")
    assert http.get("/ping").text == "pong"


def test_one_process_is_the_only_worker(app: FakeApp, http: Http, client: socket.socket) -> None:
    (row,) = http.get("/workers.json").json()
    assert row == {
        "worker": 0, "pid": os.getpid(), "startedAt": app.started_at, "state": "serving", "restarts": 0,
        "connections": 1, "answers": True, "address": app.url.removeprefix("http://"),
    }  # fmt: skip
    app.ready = (False, [])
    assert http.get("/workers.json").json()[0]["state"] == "leaving"


@pytest.mark.parametrize("path", ["/", "/metrics", "/bindings.json", "/connections.json", "/ready"])
def test_one_process_may_be_asked_for_as_worker_0_and_no_other_is_there(http: Http, path: str) -> None:
    assert http.get(f"{path}?worker=0").status_code == 200
    answer = http.get(f"{path}?worker=1")
    assert (answer.status_code, answer.json()) == (404, {"error": "no worker '1': this is one process, worker 0"})


def test_what_is_for_the_admin_process_of_several_workers_is_not_on_the_port(http: Http) -> None:
    assert http.get("/private/state").status_code == 404

"""One admin server over several workers: what is shown of all and of one, and what is told to all."""

import json
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gevent
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from linkerd_tcp.errors import Cause, ConfigError
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.web.guard import PROBES
from linkerd_tcp.workers import answers, everyone, gather
from tests.admin.conftest import Http
from tests.rig import Endpoint
from tests.sockets import eventually
from tests.test_metrics import FAMILIES
from tests.workers.fake import FakeWorker, Front

WEB = "/#/io.l5d.static/web"


@pytest.fixture
def one_is_silent(workers: list[FakeWorker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker 1 answers nothing; what is asked of it waits in the queue."""
    monkeypatch.setattr(gather, "DEADLINE_SECS", 0.2)
    monkeypatch.setattr(gather, "AGAIN_SECS", 0.2)
    monkeypatch.setattr(everyone, "PROBE_SECS", 0.2)
    monkeypatch.setattr(answers, "DELEGATION_SECS", 0.2)
    workers[1].stop_answering()


def metrics(http: Http, arguments: str = "") -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """By sample, by labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(http.get(f"/metrics{arguments}").text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def accepts(http: Http, arguments: str = "") -> float:
    return sum(metrics(http, arguments)["l5d_srv_accepts_total"].values())


# -- metrics


def test_a_scrape_has_every_family_once_and_each_process(workers: list[FakeWorker], http: Http) -> None:
    workers[0].connect().close()
    workers[1].connect().close()
    text = http.get("/metrics").text
    families = [family.name for family in text_string_to_metric_families(text)]
    assert len(families) == len(set(families))
    assert set(FAMILIES) | {"l5d_worker_up", "l5d_worker_restarts"} <= set(families)
    found = metrics(http)
    workers_seen = {dict(labels)["worker"] for labels in found["process_start_time_seconds"]}
    assert workers_seen == {"0", "1", "admin", "supervisor"}
    assert {dict(labels)["worker"] for labels in found["python_info"]} == {"0", "1", "admin"}
    assert list(found["l5d_build_info"].values()) == [1]
    assert found["l5d_log_dropped_lines_total"][("log", "access_log"), ("reason", "disk_full")] == 6
    assert found["l5d_log_dropped_lines_total"][("log", "log"), ("reason", "stalled")] == 2


def test_workers_are_summed_and_each_is_shown_alone(workers: list[FakeWorker], http: Http) -> None:
    for worker, times in ((workers[0], 1), (workers[1], 2)):
        for _ in range(times):
            worker.connect().close()
    assert [accepts(http), accepts(http, "?worker=0"), accepts(http, "?worker=1")] == [3, 1, 2]
    assert accepts(http) == 3
    assert metrics(http)["l5d_balancer_connects_total"] == {(("dst", WEB), ("rt", "default")): 3}


@pytest.mark.usefixtures("one_is_silent")
def test_a_worker_that_does_not_answer_is_named_and_its_counters_stay(workers: list[FakeWorker], http: Http) -> None:
    workers[1].answer_again()
    workers[1].connect().close()
    assert accepts(http) == 1
    workers[1].stop_answering()
    found = metrics(http)
    assert found["l5d_worker_up"] == {(("worker", "0"),): 1, (("worker", "1"),): 0}
    assert sum(found["l5d_srv_accepts_total"].values()) == 1
    assert {dict(labels)["worker"] for labels in found["process_start_time_seconds"]} == {"0", "admin", "supervisor"}


def test_a_replaced_worker_takes_no_counter_back(workers: list[FakeWorker], http: Http) -> None:
    workers[0].connect().close()
    workers[1].connect().close()
    assert accepts(http) == 2
    workers[1].stop_answering()
    workers[1].started_at += 1
    for server in workers[1].servers:
        server.figures.accepts = 0
    workers[1].answer_again()
    assert accepts(http) == 2
    assert accepts(http, "?worker=1") == 0


def test_a_refused_reload_is_seen_though_workers_know_nothing_of_it(front: Front, http: Http) -> None:
    assert metrics(http)["l5d_config_last_reload_success"] == {(): 1}
    front.fleet.refused = True
    assert metrics(http)["l5d_config_last_reload_success"] == {(): 0}


# -- what is shown


def test_endpoints_are_those_of_all_workers(workers: list[FakeWorker], http: Http) -> None:
    with workers[0].connect(), workers[1].connect(), workers[1].connect():
        shown, of_one = (http.get(f"/bindings.json{which}").json() for which in ("", "?worker=0"))
    opened = [
        sum(each["open"] for each in found["routers"][0]["bindings"][0]["balancers"][0]["endpoints"])
        for found in (shown, of_one)
    ]
    assert opened == [3, 1]
    assert [list(each) for each in of_one["routers"]] == [list(each) for each in shown["routers"]]


def test_a_path_that_only_one_worker_has_seen_is_there(workers: list[FakeWorker], http: Http) -> None:
    workers[1].connect().close()
    (binding,) = http.get("/bindings.json").json()["routers"][0]["bindings"]
    assert (binding["path"], binding["tree"]["type"]) == ("/svc/web", "leaf")


def test_namers_show_the_worst_of_all(workers: list[FakeWorker], http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    good, stale = WatchState("/web", "bound", 2, 20.0), WatchState("/web", "bound", 2, 10.0, "away", 15.0)
    monkeypatch.setattr(workers[0].namers[0], "watches", lambda: [good])
    monkeypatch.setattr(workers[1].namers[0], "watches", lambda: [stale])
    (namer,) = http.get("/namers.json").json()["namers"]
    assert (namer["prefix"], namer["kind"]) == ("/io.l5d.static", "io.l5d.static")
    assert [(row["name"], row["error"], row["lastGoodAt"]) for row in namer["watches"]] == [("/web", "away", 10.0)]
    assert http.get("/namers.json?worker=0").json()["namers"][0]["watches"][0]["error"] is None


def test_what_the_admin_process_itself_asks_is_among_the_namers(workers: list[FakeWorker]) -> None:
    store = SimpleNamespace(prefix="/store", kind="io.l5d.inMemory", watches=list, figures=workers[0].namers[0].figures)
    front = Front(workers, SimpleNamespace(control=None, namerd_address=("127.0.0.1", 4180), namers=[store]))
    with requests.Session() as session:
        namers = session.get(f"{front.url}/namers.json", timeout=5).json()["namers"]
        config = session.get(f"{front.url}/config.json", timeout=5).json()
    front.close()
    assert [namer["kind"] for namer in namers] == ["io.l5d.static", "io.l5d.inMemory"]
    assert config["namerdListening"] == "127.0.0.1:4180"


def test_connections_of_all_workers_are_in_one_order(workers: list[FakeWorker], http: Http) -> None:
    for worker, times in ((workers[0], 4), (workers[1], 3)):
        worker.remember(times, 0)
    shown: list[str] = []
    after = ""
    while True:
        page = http.get(f"/connections.json?limit=2&after={after}").json()
        shown += [each["id"] for each in page["connections"]]
        after = page["next"]
        if after is None:
            break
    expected = [record.id for worker in reversed(workers) for record in reversed(worker.book.open.values())]
    assert shown == expected
    only = http.get("/connections.json?worker=0&limit=3").json()
    assert [each["id"] for each in only["connections"]] == expected[3:6]
    for worker in workers:
        worker.book.open.clear()


def test_filters_apply_to_all(workers: list[FakeWorker], http: Http) -> None:
    with workers[0].connect(), workers[1].connect() as client:
        source = f"127.0.0.1:{client.getsockname()[1]}"
        (shown,) = http.get(f"/connections.json?source={source}").json()["connections"]
    assert shown["id"].startswith("1-")
    assert http.get("/connections.json?nonsense=1").status_code == 400


def test_each_worker_is_a_row(workers: list[FakeWorker], http: Http) -> None:
    with workers[1].connect():
        rows = http.get("/workers.json").json()
    assert [list(row) for row in rows] == [
        ["worker", "pid", "startedAt", "state", "restarts", "connections", "answers", "address"]
    ] * 2
    assert [(row["worker"], row["connections"], row["state"]) for row in rows] == [(0, 0, "serving"), (1, 1, "serving")]


def test_levels_are_told_to_all_and_shown_of_all(workers: list[FakeWorker], http: Http) -> None:
    level = {"logger": "linkerd_tcp", "level": "debug"}
    assert http.post("/logging.json", json=level).json() == [level]
    assert [worker.logs.level for worker in workers] == ["debug", "debug"]


def test_a_delegation_is_any_workers(workers: list[FakeWorker], http: Http) -> None:
    assert http.get("/delegator.json?path=/svc/web").json()["type"] == "delegate"
    fields = {"path": "/svc/web", "dtab": "/svc => ! ;"}
    assert http.post("/delegator.json", json=fields).json()["type"] == "alt"
    assert http.post("/delegator.json", data=fields).json()["type"] == "alt"
    assert http.get("/delegator.json").status_code == 400


# -- the page


def test_the_page_is_of_all_workers(workers: list[FakeWorker], http: Http, endpoints: list[Endpoint]) -> None:
    with workers[0].connect(), workers[1].connect(), workers[1].connect():
        page, view = http.get("/").text, http.get("/overview.json").json()
    (router,) = view["routers"]
    (destination,) = router["destinations"]
    assert destination["open"]["value"] == sum(each["open"]["value"] for each in destination["endpoints"]) == 3
    assert sorted(each["key"] for each in destination["endpoints"]) == sorted(
        f"127.0.0.1:{each.port}" for each in endpoints
    )
    assert all(f"127.0.0.1:{each.port}" in page for each in endpoints)
    assert [(row["worker"], row["state"]["text"], row["connections"]["value"]) for row in view["workers"]] == [
        ("0", "serving", 1),
        ("1", "serving", 2),
    ]


def test_the_page_has_the_token_of_the_server_that_is_asked(http: Http) -> None:
    token = http.get("/").text.partition('name="l5d-token" content="')[2].partition('"')[0]
    level = {"logger": "linkerd_tcp", "level": "debug"}
    headers = {"Sec-Fetch-Site": "same-origin", "X-L5d-Token": token}
    assert http.post("/logging.json", json=level, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/overview.json", "/connections", "/workers.json"])
def test_there_is_no_page_of_one_worker(http: Http, path: str) -> None:
    assert http.get(f"{path}?worker=0").status_code == 400


# -- what is done


def test_a_connection_is_closed_by_the_worker_whose_it_is(workers: list[FakeWorker], http: Http) -> None:
    with workers[0].connect(), workers[1].connect() as client:
        (record,) = workers[1].book.open.values()
        assert http.post(f"/connections/{record.id}/close").json() == {"id": record.id, "closing": True}
        client.settimeout(5)
        assert client.recv(1) == b""
        assert len(workers[0].book.open) == 1
    assert workers[1].book.closed[-1].cause == Cause.CLOSED_BY_ADMIN


@pytest.mark.parametrize("number", ["1-ffff", "7-1", "nonsense", "1-%2e%2e", "0-"])
def test_a_connection_that_is_not_there_is_a_404(http: Http, number: str) -> None:
    answer = http.post(f"/connections/{number}/close")
    assert answer.status_code == 404
    assert "/connections.json" in answer.json()["error"]


def test_a_drain_reaches_all(workers: list[FakeWorker], http: Http, endpoints: list[Endpoint]) -> None:
    for worker in workers:
        worker.connect().close()
    which = {"bound": WEB, "address": f"127.0.0.1:{endpoints[0].port}"}
    assert http.post("/endpoints/drain", json=which).json() == {**which, "drained": True}
    for worker in workers:
        (balancer,) = worker.routers["default"].balancers()
        assert [each["drained"] for each in balancer.endpoints_json()] == [True, False]
    (balancer_json,) = http.get("/bindings.json").json()["routers"][0]["bindings"][0]["balancers"]
    assert [each["drained"] for each in balancer_json["endpoints"]] == [True, False]


def test_what_changes_something_is_for_all_and_not_for_one(workers: list[FakeWorker], http: Http) -> None:
    for path in ("/shutdown", "/reload", "/abort", "/endpoints/drain", "/logging.json", "/connections/0-1/close"):
        answer = http.post(f"{path}?worker=1")
        assert (answer.status_code, "worker" in answer.json()["error"]) == (400, True), path
    assert workers[0].asked == workers[1].asked == []


def test_a_supervisor_that_does_not_answer_is_said(front: Front, http: Http) -> None:
    front.fleet.deaf = True
    answer = http.post("/endpoints/drain", json={"bound": "/#/x", "address": "a:1"})
    assert (answer.status_code, answer.json()) == (503, {"error": "the supervisor does not answer"})
    assert http.post("/reload").status_code == 422


def test_a_refused_reload_is_said_with_its_errors(workers: list[FakeWorker], http: Http) -> None:
    workers[0].reloaded = ConfigError(["a.yml:1:1: wrong"])
    answer = http.post("/reload")
    assert (answer.status_code, answer.json()) == (422, {"errors": ["a.yml:1:1: wrong"]})


# -- one that does not answer


@pytest.mark.usefixtures("one_is_silent")
def test_a_worker_that_does_not_answer_is_named_and_stalls_nothing(workers: list[FakeWorker], http: Http) -> None:
    with workers[0].connect():
        for path, key in (
            ("/connections.json", "connections"),
            ("/bindings.json", "routers"),
            ("/namers.json", "namers"),
        ):
            shown = http.get(path).json()
            assert shown["unanswered"] == [1]
            assert len(shown[key]) == 1
        rows = http.get("/workers.json").json()
        assert [(row["answers"], row["connections"]) for row in rows] == [(True, 1), (False, None)]
        assert http.get("/ping").text == "pong"
        assert http.get("/delegator.json?path=/svc/web").status_code == 200
        view = http.get("/overview.json").json()
    silent = ["no answer within 0.2 s" in json.dumps(row) for row in view["workers"]]
    assert silent == [False, True]


@pytest.mark.usefixtures("one_is_silent")
def test_ready_is_not_said_for_a_worker_that_does_not_answer(workers: list[FakeWorker], http: Http) -> None:
    answer = http.get("/ready")
    assert (answer.status_code, answer.text) == (
        503,
        "not ready\nworker 1 does not answer: no answer within 0.2 s\n",
    )
    workers[1].answer_again()
    assert http.get("/ready").text == "ready\n"


@pytest.mark.usefixtures("one_is_silent")
@pytest.mark.parametrize("path", ["/metrics", "/bindings.json"])
def test_a_silent_worker_asked_for_alone_is_a_504(http: Http, path: str) -> None:
    answer = http.get(f"{path}?worker=1")
    assert (answer.status_code, answer.json()) == (504, {"error": "worker 1 does not answer: no answer within 0.2 s"})


@pytest.mark.usefixtures("one_is_silent")
def test_a_connection_of_a_silent_worker_cannot_be_closed_and_that_is_said(http: Http) -> None:
    answer = http.post("/connections/1-1/close")
    assert answer.status_code == 504
    assert "worker 1" in answer.json()["error"]


def test_who_asks_while_a_worker_is_replaced_waits_for_the_new_one(workers: list[FakeWorker], http: Http) -> None:
    workers[1].stop_answering()
    later = gevent.spawn_later(0.1, workers[1].answer_again)
    assert http.get("/ready").status_code == 200
    assert [row["answers"] for row in http.get("/workers.json").json()] == [True, True]
    later.get(timeout=5)


def test_ready_says_503_while_stopping_and_names_who_is_not(
    workers: list[FakeWorker], front: Front, http: Http
) -> None:
    workers[0].ready, workers[1].ready = (True, ["namer /#/x: /web: away (pending)"]), (False, [])
    answer = http.get("/ready")
    assert answer.status_code == 503
    assert answer.text == "not ready\nworker 1 is not ready\nnamer /#/x: /web: away (pending)\n"
    workers[1].ready = (True, [])
    assert http.get("/ready").status_code == 200
    front.fleet.stopping = True
    assert http.get("/ready").status_code == 503


# -- who may ask what


@pytest.mark.parametrize("path", ["/metrics", "/bindings.json", "/ready", "/delegator.json"])
@pytest.mark.parametrize("number", ["2", "-1", "x", "", "00"])
def test_an_unknown_worker_is_a_404_in_words(http: Http, path: str, number: str) -> None:
    answer = http.get(f"{path}?worker={number}")
    assert (answer.status_code, answer.json()) == (404, {"error": f"no worker {number!r}; there are 0, 1"})


def test_what_workers_are_asked_in_private_is_not_on_the_admin_port(workers: list[FakeWorker], http: Http) -> None:
    for path in ("/private/figures", "/private/state", "/private/bindings"):
        assert http.get(path).status_code == 404
        assert http.get(f"{path}?worker=0").status_code == 400


def test_probes_may_call_it_anything_and_a_reload_changes_the_names(workers: list[FakeWorker], http: Http) -> None:
    for path in PROBES:
        assert http.get(path, headers={"Host": "evil.example"}).status_code == 200, path
    assert http.get("/workers.json", headers={"Host": "evil.example"}).status_code == 403
    config = workers[0].config
    workers[0].config = config.model_copy(
        update={"admin": config.admin.model_copy(update={"allowed_hosts": ("evil.example",)})}
    )
    assert http.get("/workers.json", headers={"Host": "evil.example"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/bindings.json", "/connections.json", "/workers.json", "/ready"])
def test_head_has_no_body(http: Http, path: str) -> None:
    for which in ("", "" if path in ("/", "/workers.json") else "?worker=0"):
        answer = http.ask("HEAD", path + which)
        assert (answer.status_code, answer.content) == (200, b"")
    assert http.get("/ping").text == "pong"


@pytest.fixture
def many(make_workers: Callable[..., list[FakeWorker]]) -> Iterator[tuple[list[FakeWorker], Http]]:
    workers = make_workers(4)
    front = Front(workers)
    http = Http(front.url)
    yield workers, http
    http.session.close()
    front.close()
    for worker in workers:
        worker.book.open.clear()


def test_twenty_thousand_connections_are_paged_in_order_each_once(many: tuple[list[FakeWorker], Http]) -> None:
    workers, http = many
    for worker in workers:
        worker.remember(3_000, 2_000)
    expected = sorted(
        (record.number, record.worker)
        for worker in workers
        for record in [*worker.book.open.values(), *worker.book.closed]
    )
    shown: list[str] = []
    after = ""
    while after is not None:
        page = http.get(f"/connections.json?limit=2000&after={after}").json()
        shown += [each["id"] for each in page["connections"]]
        after = page["next"]
    assert shown == [f"{worker}-{number:x}" for number, worker in reversed(expected)]
    assert len(shown) == 20_000


def test_an_old_client_gets_the_whole_of_a_streamed_answer(front: Front) -> None:
    with socket.create_connection(front.server.address, timeout=5) as client:
        client.sendall(b"GET /namers.json HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.split(b"\r\n\r\n", 1)[1].startswith(b'{"namers": [')


def test_shutdown_is_asked_of_the_supervisor(workers: list[FakeWorker], http: Http) -> None:
    assert http.post("/shutdown?graceSecs=2").json() == {"stopping": True, "graceSecs": 2.0}
    eventually(lambda: workers[0].asked == [("shutdown", 2.0)])

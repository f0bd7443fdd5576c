"""How a path is resolved, in namerd's shapes, and what is wrong with one that cannot be read."""

from collections.abc import Iterator
from pathlib import Path as FilePath
from time import monotonic
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from linkerd_tcp.admin.delegator import MAX_ENTRIES, delegation
from linkerd_tcp.admin.dtabs import dtabs
from linkerd_tcp.book import Book
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.naming.addr import PENDING, Addr, Address, Bound
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.transition import Running, Transition, stop_listening
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp


def test_a_delegation_has_each_step_down_to_addresses(http: Http) -> None:
    tree = http.get("/delegator.json?path=/svc/web").json()
    assert (tree["type"], tree["path"]) == ("delegate", "/svc/web")
    leaf = tree["delegate"]
    assert (leaf["type"], leaf["dentry"]) == ("leaf", {"prefix": "/svc", "dst": "/#/io.l5d.static"})
    assert leaf["bound"]["id"] == "/#/io.l5d.static/web"
    assert [addr["ip"] for addr in leaf["bound"]["addr"]["addrs"]] == ["127.0.0.1"] * 2


@pytest.mark.parametrize("how", ["get", "json", "form", "namespace"])
def test_more_entries_win_over_those_of_the_file(http: Http, how: str) -> None:
    fields = {"path": "/svc/web", "dtab": "/svc => ! ;", "router": "default"}
    if how == "get":
        tree = http.get("/delegator.json", params=fields).json()
    elif how == "namespace":
        del fields["router"]
        tree = http.post("/delegator.json", json={**fields, "namespace": "default"}).json()
    else:
        tree = http.post("/delegator.json", **{"json" if how == "json" else "data": fields}).json()
    assert tree["type"] == "alt"
    assert [each["type"] for each in tree["alt"]] == ["fail", "leaf"]
    assert http.get("/delegator.json?path=/svc/web").json()["type"] == "delegate"


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "'path' is missing"),
        ({"path": "svc"}, 400, "path: '/' expected at '[s]vc'"),
        ({"path": "/svc", "dtab": "/a => /b ; /c = /d"}, 400, "[ ]/d'"),
        ({"path": "/svc", "dtab": "/a => /b ; " * 4_000 + "/c = "}, 400, "/a => /b ; /c =[ ]'"),
        ({"path": "/" + "x" * 9000}, 400, "longer than 8192"),
        ({"path": "/svc", "router": "other"}, 404, "no router 'other'; there are default"),
        ({"path": ["/svc"]}, 400, "'path' is no text"),
        ({"path": "/svc", "router": {"a": 1}}, 404, "no router {'a': 1}"),
    ],
)
def test_what_cannot_be_answered_is_said_with_the_spot_marked(
    http: Http, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = http.post("/delegator.json", json=fields)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert len(answer.json()["error"]) < 300


def test_the_spot_is_also_a_number(http: Http) -> None:
    shape = http.get("/delegator.json", params={"path": "/svc", "dtab": "/a => /b | ;"}).json()
    assert (shape["field"], shape["offset"]) == ("dtab", 11)


def test_a_long_dtab_may_be_posted(http: Http) -> None:
    entries = [f"/svc/{n} => /#/io.l5d.static/{n} ;\n" for n in range(MAX_ENTRIES)]
    fields = {"path": "/svc/web", "dtab": "".join(entries)}
    assert len(fields["dtab"]) > 150_000
    assert http.post("/delegator.json", json=fields).json()["type"] == "delegate"
    assert http.post("/delegator.json", data=fields).status_code == 413
    fields["dtab"] += "/one => /more"
    answer = http.post("/delegator.json", json=fields)
    assert (answer.status_code, answer.json()) == (400, {"error": "'dtab' has more than 5000 entries"})


def pending(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> Var[Addr]:
    """From here on every name of the namer has these addresses."""
    addr: Var[Addr] = Var(PENDING)
    monkeypatch.setattr(app.namers[0], "lookup", lambda path: Var(Leaf(BoundName(Path.read("/#/x"), addr))))
    return addr


def test_a_delegation_that_stays_pending_is_a_503_after_two_seconds(
    app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending(app, monkeypatch)
    monkeypatch.setattr("linkerd_tcp.admin.delegator.PENDING_SECS", 0.05)
    answer = http.get("/delegator.json?path=/svc/web")
    assert answer.status_code == 503
    assert "/namers.json" in answer.json()["error"]


def test_a_delegation_waits_for_what_is_about_to_be_known_and_watches_nothing_afterwards(
    app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    addr = pending(app, monkeypatch)
    began = monotonic()
    gevent.spawn_later(0.05, addr.set, Bound((Address("10.0.0.1", 80),)))
    tree = http.get("/delegator.json?path=/svc/web").json()
    assert tree["delegate"]["bound"]["addr"]["addrs"][0]["ip"] == "10.0.0.1"
    assert 0.04 < monotonic() - began < 2
    assert app.routers["default"].interpreter._open == {}


@pytest.mark.parametrize("how", ["get", "json", "form"])
def test_a_dtab_may_take_the_place_of_the_router_s(http: Http, how: str) -> None:
    fields = {"path": "/svc/web", "dtab": "/other => /svc ;"}
    if how == "get":
        tree = http.get("/delegator.json", params={**fields, "replace": "true"}).json()
    elif how == "json":
        tree = http.post("/delegator.json", json={**fields, "replace": True}).json()
    else:
        tree = http.post("/delegator.json", data={**fields, "replace": "1"}).json()
    assert tree == {"type": "neg", "path": "/svc/web"}
    assert http.get("/delegator.json", params=fields).json()["type"] == "delegate"
    assert http.post("/delegator.json", json={"path": "/svc/web", "replace": True}).json()["type"] == "neg"


def test_a_dtab_that_is_not_here_is_not_replaced(app: FakeApp, http: Http) -> None:
    interpreter = app.routers["default"].interpreter
    app.routers["default"].interpreter = SimpleNamespace(kind="mine", close=interpreter.close)  # type: ignore[assignment]
    answer = http.post("/delegator.json", json={"path": "/svc/web", "dtab": "/svc => /a", "replace": True})
    assert answer.status_code == 400
    assert "the dtab of 'default' is not here (mine has it)" in answer.json()["error"]
    app.routers["default"].interpreter = interpreter


def test_what_is_pending_can_be_asked_for_as_it_is(app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    pending(app, monkeypatch)
    monkeypatch.setattr("linkerd_tcp.admin.delegator.PENDING_SECS", 0.05)
    for fields in ({"path": "/svc/web"}, {"path": "/svc/web", "dtab": "/svc => /#/io.l5d.static", "replace": True}):
        tree = http.post("/delegator.json", json={**fields, "pending": True}).json()
        assert tree["delegate"]["bound"]["addr"] == {"type": "pending"}
    assert app.routers["default"].interpreter._open == {}  # type: ignore[attr-defined]


CONFIG = """
namers:
  - {kind: io.l5d.static, services: {web: ["127.0.0.1:1"]}}
routers:
  - label: commented
    dtab: |
      # what is there
      /svc => /#/io.l5d.static ;  # all
    servers: [{port: 0, dstName: /svc/web}]
  - label: bare
    servers: [{port: 0, dstName: /svc/web}]
  - label: file
    dtab: /own => /svc
    interpreter: {kind: io.l5d.fs, dtabFile: my.dtab}
    servers: [{port: 0, dstName: /svc/web}]
  - label: changed
    interpreter: {kind: default, transformers: [{kind: io.l5d.port, port: 99}]}
    dtab: /svc => /#/io.l5d.static
    servers: [{port: 0, dstName: /svc/web}]
"""


@pytest.fixture
def several(tmp_path: FilePath) -> Iterator[Any]:
    (tmp_path / "my.dtab").write_text("/svc => /#/io.l5d.static # the last\n")
    config = parse_config(CONFIG, "l5d.yml", tmp_path).without_places()  # as a worker has it
    running = Running(HostResolver(), Capacity(100), Buffer(65536), Book(), lambda line: None)
    Transition(running, config).switch()
    yield SimpleNamespace(config=config, routers=running.routers)
    gevent.spawn(stop_listening, list(running.servers.values())).get(timeout=5)
    running.close()
    running.hosts.close()


def test_the_dtab_of_each_router_is_shown_as_it_is_written_and_where(several: Any, tmp_path: FilePath) -> None:
    shown = {shape["router"]: shape for shape in dtabs(several)}
    assert shown["commented"] == {
        "router": "commented", "kind": "default", "replaceable": True, "where": "l5d.yml:7",
        "dtab": "# what is there\n/svc => /#/io.l5d.static ;  # all\n",
    }  # fmt: skip
    assert shown["bare"]["dtab"] == "/svc => /#/io.l5d.static ;\n"
    assert "made by default" in shown["bare"]["where"]
    assert shown["file"]["dtab"] == "/svc => /#/io.l5d.static # the last\n\n;\n/own => /svc"
    assert shown["file"]["where"] == f"{tmp_path / 'my.dtab'} and l5d.yml:13"
    assert [shape["replaceable"] for shape in shown.values()] == [True] * 4


def test_another_dtab_goes_through_the_same_transformers(several: Any) -> None:
    fields = {"router": "changed", "path": "/x", "dtab": "/x => /#/io.l5d.static/web", "replace": True}
    for _ in range(2):  # closing the first does not close what it borrowed
        status, shape = delegation(several, fields)
        assert (status, shape["delegate"]["type"]) == (200, "transformation")
        assert [each["port"] for each in shape["delegate"]["tree"]["bound"]["addr"]["addrs"]] == [99]
    status, shape = delegation(several, {**fields, "router": "file"})
    assert (status, shape["delegate"]["type"]) == (200, "leaf")
    assert delegation(several, {**fields, "router": "none"})[0] == 404

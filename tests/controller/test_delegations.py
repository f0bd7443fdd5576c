"""/delegate: namerd's own tests, and what is pending or asked wrongly."""

import json

import pytest

from linkerd_tcp.naming.dtab import Dtab
from tests.controller.conftest import FakeNamer, Plane

JSON = "application/json"


def test_a_path_given_a_namespace(plane: Plane) -> None:
    answer = plane.get("/api/1/delegate/yeezus?path=/yeezy")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.text == (
        '{"type":"delegate","path":"/yeezy","delegate":'
        '{"type":"neg","path":"/yeezus","dentry":{"prefix":"/yeezy","dst":"/yeezus"}}}'
    )


def test_a_path_given_a_dtab(plane: Plane) -> None:
    expected = (
        '{"type":"delegate","path":"/foo","delegate":'
        '{"type":"neg","path":"/bar","dentry":{"prefix":"/foo","dst":"/bar"}}}'
    )
    assert plane.get("/api/1/delegate?dtab=/foo=>/bar&path=/foo").text == expected
    body = {"dtab": "/foo=>/bar", "path": "/foo"}
    assert plane.ask("POST", "/api/1/delegate", json=body).text == expected


def test_a_path_given_a_namespace_and_a_dtab(plane: Plane) -> None:
    expected = {
        "type": "alt",
        "path": "/yeezy",
        "alt": [
            {"type": "neg", "path": "/bar", "dentry": {"prefix": "/yeezy", "dst": "/bar"}},
            {"type": "neg", "path": "/yeezus", "dentry": {"prefix": "/yeezy", "dst": "/yeezus"}},
        ],
    }
    assert plane.get("/api/1/delegate/yeezus?path=/yeezy&dtab=/yeezy=>/bar").json() == expected
    assert plane.get("/api/1/delegate?namespace=yeezus&path=/yeezy&dtab=/yeezy=>/bar").json() == expected
    body = {"namespace": "yeezus", "dtab": "/yeezy=>/bar", "path": "/yeezy"}
    assert plane.ask("POST", "/api/1/delegate", json=body).json() == expected


def test_without_a_namespace_the_namers_alone_are_asked(plane: Plane) -> None:
    assert plane.get("/api/1/delegate?path=/%23/fake/foo").json()["type"] == "leaf"
    assert plane.get("/api/1/delegate?path=/svc/foo").json()["type"] == "neg"


def test_it_goes_by_what_was_just_written(plane: Plane) -> None:
    plane.follow("/api/1/bind/yeezus?path=/yeezy&watch=1").line()
    for name in ("two", "foo", "two"):
        # Written here: a write over HTTP would give the others time to see it.
        plane.store.put("yeezus", Dtab.read(f"/yeezy => /#/fake/{name}"))
        assert plane.get("/api/1/delegate/yeezus?path=/yeezy").json()["delegate"]["bound"]["id"] == f"/#/fake/{name}"


def test_what_stays_pending_is_503(plane: Plane, namer: FakeNamer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.controller.delegations.PENDING_SECS", 0.05)
    answer = plane.get("/api/1/delegate/default?path=/svc/slow")
    assert (answer.status_code, answer.text[:18]) == (503, "Request timed out:")
    assert not namer.held


def test_what_is_asked_wrongly(plane: Plane) -> None:
    answer = plane.ask("PUT", "/api/1/delegate?path=/a")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert plane.ask("POST", "/api/1/delegate", data="x", headers={"Content-Type": "text/plain"}).status_code == 415
    for body in (
        "",
        "{",
        "[]",
        '{"path": 1}',
        "[" * 100_000,
        '{"dtab":"/a=>/b"}',
        '{"path":"x"}',
        '{"path":"/a","dtab":"x"}',
    ):
        answer = plane.ask("POST", "/api/1/delegate", data=body, headers={"Content-Type": JSON})
        assert answer.status_code == 400, body
        assert len(answer.text) < 400
    assert plane.ask("POST", "/api/1/delegate", json={"path": "/a", "namespace": "../x"}).status_code == 400


def test_a_deep_delegation_is_cut_off_and_says_so(plane: Plane) -> None:
    plane.put("default", "/a => /a/a | /a/b")
    answer = plane.get("/api/1/delegate/default?path=/a")
    assert answer.status_code == 200
    assert "exception" in answer.text
    json.loads(answer.text)

"""/dtabs: listed, read, watched, written, compared and set; namerd's own tests among them."""

import base64
import json
from collections.abc import Callable

import gevent
import pytest

from linkerd_tcp.controller.storage import Broken, Forbidden, Full, Mismatch, Missing, StoreError, TooLarge
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.watch import Var
from tests.controller.conftest import DTABS, FakeNamer, Plane
from tests.sockets import eventually

JSON = "application/json"
V1 = "AAAAAAAAAAE="
KANYE = Dtab.read("/yeezy=>/kanye")
BODIES = {
    JSON: '[{"prefix":"/yeezy","dst":"/kanye"}]',
    JSON + ";charset=UTF-8": '[{"prefix":"/yeezy","dst":"/kanye"}]',
    "text/plain": "/yeezy => /kanye",
    "application/dtab": "/yeezy => /kanye",
}


def dtab_of(plane: Plane, ns: str) -> Dtab:
    return plane.store.get(ns).dtab


def test_the_list(plane: Plane) -> None:
    for target in ("/api/1/dtabs", "/api/1/dtabs/"):
        for method in ("GET", "POST"):
            answer = plane.ask(method, target)
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
            assert answer.text == '["default","tlop","yeezus"]\n'


def test_the_list_watched(plane: Plane) -> None:
    stream = plane.follow("/api/1/dtabs?watch=true")
    assert (stream.status, stream.headers["content-type"]) == (200, JSON)
    assert stream.line() == '["default","tlop","yeezus"]'
    plane.store.create("graduation", Dtab())
    assert stream.json() == ["default", "graduation", "tlop", "yeezus"]
    plane.store.put("graduation", KANYE)
    assert stream.is_silent()
    plane.ask("DELETE", "/api/1/dtabs/tlop")
    assert stream.json() == ["default", "graduation", "yeezus"]


def test_what_is_not_there_is_404(plane: Plane) -> None:
    for target in ("dtabsexpialidocious", "dtabs/graduation", "nothing", ""):
        assert plane.get(f"/api/1/{target}").status_code == 404
    assert plane.ask("PATCH", "/api/1/dtabs/yeezus").status_code == 404
    assert plane.ask("HEAD", "/api/1/dtabs/graduation").status_code == 404


@pytest.mark.parametrize("target", ["/", "/dtabs", "/api/2/dtabs", "/api/1/", "/api/1/nothing", "/api/1/dtabs/a%0Ab"])
def test_who_asks_for_another_path_is_told_which_there_are(plane: Plane, target: str) -> None:
    answer = plane.get(target)
    assert answer.status_code == 404
    assert answer.text.startswith("there is no such path: below /api/1 are dtabs, bind,")


def test_a_dtab(plane: Plane) -> None:
    answer = plane.get("/api/1/dtabs/yeezus")
    assert (answer.status_code, answer.headers["Content-Type"], answer.headers["ETag"]) == (200, JSON, V1)
    assert answer.text == '[{"prefix":"/yeezy","dst":"/yeezus"}]\n'


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/dtab, application/json", "application/dtab"),
        ("application/dtab;q=0.9, application/json", "application/dtab"),
        ("text/plain, application/json", "text/plain"),
        ("TEXT/PLAIN;q=0.9, application/json", "text/plain"),
        ("text/html, application/json", JSON),
        ("text/html", JSON),
        ("*/*", JSON),
        ("", JSON),
    ],
)
def test_the_first_known_type_that_is_accepted_is_sent(plane: Plane, accept: str, media_type: str) -> None:
    answer = plane.get("/api/1/dtabs/yeezus", headers={"Accept": accept})
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert answer.headers["ETag"] == V1
    assert answer.text == ('[{"prefix":"/yeezy","dst":"/yeezus"}]\n' if media_type == JSON else "/yeezy=>/yeezus\n")


def test_weights_come_back_as_they_were_written(plane: Plane) -> None:
    plane.put("default", "/a => 0.005*/b & 0.001 * /c;/d=>/e | 100*/f & /g")
    answer = plane.get("/api/1/dtabs/default", headers={"Accept": "application/dtab"})
    assert answer.text == "/a=>0.005*/b & 0.001*/c;/d=>/e | 100*/f & /g\n"
    assert plane.get("/api/1/dtabs/default").json()[0] == {"prefix": "/a", "dst": "0.005*/b & 0.001*/c"}


def test_an_empty_dtab(plane: Plane) -> None:
    assert plane.put("empty", "").status_code == 204
    assert plane.get("/api/1/dtabs/empty").text == "[]\n"
    assert plane.get("/api/1/dtabs/empty", headers={"Accept": "text/plain"}).text == "\n"


def test_head_is_get_without_a_body(plane: Plane) -> None:
    answer = plane.ask("HEAD", "/api/1/dtabs/yeezus")
    assert (answer.status_code, answer.headers["ETag"], answer.content) == (200, V1, b"")


def test_a_dtab_watched(plane: Plane) -> None:
    stream = plane.follow("/api/1/dtabs/yeezus?watch=true", Accept="application/dtab")
    assert (stream.status, stream.headers["content-type"]) == (200, "application/dtab")
    assert "etag" not in stream.headers
    assert stream.line() == "/yeezy=>/yeezus"
    plane.store.put("yeezus", KANYE)
    assert stream.line() == "/yeezy=>/kanye"


def test_equal_states_in_a_row_are_told_once(plane: Plane) -> None:
    stream = plane.follow("/api/1/dtabs/yeezus?watch=true")
    stream.line()
    for _ in range(3):
        plane.put("yeezus", DTABS["yeezus"])
    plane.put("yeezus", "/a=>/b")
    assert stream.json() == [{"prefix": "/a", "dst": "/b"}]


def test_a_namespace_may_come_and_go_while_it_is_watched(plane: Plane) -> None:
    stream = plane.follow("/api/1/dtabs/graduation?watch=1")
    assert stream.status == 200
    assert stream.is_silent()
    plane.put("graduation", "/a=>/b")
    assert stream.json() == [{"prefix": "/a", "dst": "/b"}]
    plane.ask("DELETE", "/api/1/dtabs/graduation")
    assert stream.is_silent()
    plane.put("graduation", "/a=>/c")
    assert stream.json() == [{"prefix": "/a", "dst": "/c"}]


@pytest.mark.parametrize("content_type", BODIES)
def test_create_and_replace_in_every_type(plane: Plane, content_type: str) -> None:
    headers, body = {"Content-Type": content_type}, BODIES[content_type]
    assert plane.ask("POST", "/api/1/dtabs/graduation", data=body, headers=headers).status_code == 204
    assert dtab_of(plane, "graduation") == KANYE
    assert plane.ask("PUT", "/api/1/dtabs/tlop", data=body, headers=headers).status_code == 204
    assert dtab_of(plane, "tlop") == KANYE
    answer = plane.ask("PUT", "/api/1/dtabs/yeezus", data=body, headers={**headers, "If-Match": "yolo"})
    assert (answer.status_code, dtab_of(plane, "yeezus")) == (412, Dtab.read(DTABS["yeezus"]))
    answer = plane.ask("PUT", "/api/1/dtabs/yeezus", data=body, headers={**headers, "If-Match": V1})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert dtab_of(plane, "yeezus") == KANYE
    assert plane.ask("PUT", "/api/1/dtabs/new", data=body, headers=headers).status_code == 204
    assert dtab_of(plane, "new") == KANYE


def test_create_where_one_is_is_409(plane: Plane) -> None:
    answer = plane.ask("POST", "/api/1/dtabs/yeezus", data="/a=>/b", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 409
    assert "yeezus" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, "/yeezy => /kanye"),
        ("application/x-www-form-urlencoded", "/yeezy => /kanye"),
        (JSON, "[null]"),
        (JSON, '[{"prefix":"/a"}]'),
        (JSON, '[{"prefix":"/a","dst":1}]'),
        (JSON, '[{"prefix":"a","dst":"/b"}]'),
        (JSON, '[{"prefix":"/a","dst":"/b;/c=>/d"}]'),
        (JSON, '{"prefix":"/a","dst":"/b"}'),
        (JSON, "[" * 100_000),
        (JSON, ""),
        ("text/plain", "/a"),
        ("text/plain", b"/a => /\xff"),
        ("text/plain", "/a => " + "(" * 10_000),
        ("application/dtab", "/a=>/b;" * 10_001),
    ],
)
def test_a_bad_body_is_400_in_words(plane: Plane, method: str, content_type: str | None, body: str) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = plane.ask(method, "/api/1/dtabs/graduation", data=body, headers=headers)
    assert answer.status_code == 400
    assert answer.text.startswith(("Invalid dtab: ", 'Invalid Content-Type "'))
    assert len(answer.text) < 400
    assert plane.store.get("graduation") is None


def test_a_body_too_large_is_refused_unread(plane: Plane) -> None:
    assert plane.put("graduation", "#" * 1024 * 1024 + "\n").status_code == 413
    chunks = plane.ask("PUT", "/api/1/dtabs/x", data=iter([b"/a=>/b"]), headers={"Content-Type": "text/plain"})
    assert chunks.status_code == 411


def test_if_match(plane: Plane) -> None:
    def put(**headers: str) -> int:
        return plane.put(
            "yeezus", "/a=>/b", **{name.replace("_", "-"): value for name, value in headers.items()}
        ).status_code

    assert put(If_Match=base64.b64encode(b"x").decode()) == 412
    assert put(If_Match="no base64!") == 412
    assert put(If_Match="") == 412
    assert put(If_Match=V1) == 204
    assert put(If_Match=V1) == 412
    etag = plane.get("/api/1/dtabs/yeezus").headers["ETag"]
    assert put(If_Match=f'"{etag}"') == 204
    assert put(If_Match=f'"{V1}", W/"AAAAAAAAAAM="') == 204
    assert put(If_Match="*") == 204
    assert plane.put("graduation", "/a=>/b", **{"If-Match": "*"}).status_code == 404
    assert plane.put("graduation", "/a=>/b", **{"If-Match": V1}).status_code == 404
    assert plane.put("graduation", "/a=>/b", **{"If-None-Match": "*"}).status_code == 204
    assert plane.put("graduation", "/a=>/b", **{"If-None-Match": "*"}).status_code == 412


def test_a_version_is_never_used_again(plane: Plane) -> None:
    """In namerd a namespace that was deleted and created has its first version again."""
    plane.ask("DELETE", "/api/1/dtabs/yeezus")
    plane.put("yeezus", "/a=>/b")
    assert plane.get("/api/1/dtabs/yeezus").headers["ETag"] != V1
    assert plane.put("yeezus", "/lost=>/update", **{"If-Match": V1}).status_code == 412


def test_writers_who_compare_lose_no_update(plane: Plane) -> None:
    def add(name: str) -> None:
        while True:
            answer = plane.get("/api/1/dtabs/tlop", headers={"Accept": "text/plain"})
            text = f"{answer.text.strip()};/{name}=>/x"
            if plane.put("tlop", text, **{"If-Match": answer.headers["ETag"]}).status_code == 204:
                return

    gevent.joinall([gevent.spawn(add, f"w{n}") for n in range(10)], raise_error=True)
    assert len(dtab_of(plane, "tlop")) == 11


def test_delete(plane: Plane) -> None:
    assert plane.ask("DELETE", "/api/1/dtabs/yeezus", headers={"If-Match": V1}).status_code == 400
    answer = plane.ask("DELETE", "/api/1/dtabs/yeezus")
    assert (answer.status_code, answer.content) == (204, b"")
    assert plane.ask("DELETE", "/api/1/dtabs/yeezus").status_code == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [(Forbidden, 403), (Missing, 404), (Mismatch, 412), (TooLarge, 413), (Full, 507), (StoreError, 500)],
)
def test_what_the_store_refuses_is_said(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, error: type[StoreError], status: int
) -> None:
    def put(*_: object) -> None:
        raise error("the disk is on strike")

    monkeypatch.setattr(plane.store, "put", put)
    answer = plane.put("yeezus", "/a=>/b")
    assert (answer.status_code, answer.text) == (status, "the disk is on strike\n")


def test_a_dtab_that_could_never_be_read_is_no_empty_one(
    make_plane: Callable[..., Plane], namer: FakeNamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = make_plane([namer])
    state = Var(Broken("default.dtab:1:1: what is this"))
    monkeypatch.setattr(plane.store, "watch", lambda _: state)
    monkeypatch.setattr(plane.store, "get", lambda _: state.value)
    for target in (
        "dtabs/default",
        "bind/default?path=/svc/foo",
        "resolve/default?path=/svc",
        "delegate/default?path=/a",
    ):
        answer = plane.get(f"/api/1/{target}")
        assert (answer.status_code, answer.text) == (500, "default.dtab:1:1: what is this\n"), target
    stream = plane.follow("/api/1/bind/default?path=/svc/foo&watch=1")
    assert (stream.line(), stream.line()) == ("default.dtab:1:1: what is this", None)


def test_json_and_text_say_the_same(plane: Plane) -> None:
    text = r"/a/*/\x2a => 0.1 * /b & (/c | ~) ; /# => !; /$ => $"
    plane.put("default", text)
    items = plane.get("/api/1/dtabs/default").json()
    plane.ask("PUT", "/api/1/dtabs/copy", data=json.dumps(items), headers={"Content-Type": JSON})
    assert dtab_of(plane, "copy") == dtab_of(plane, "default") == Dtab.read(text)


def test_reading_a_long_dtab_gives_way_to_others(plane: Plane) -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    counting = gevent.spawn(count)
    assert plane.put("default", "/svc/a/b/c => /#/fake/foo | /#/fake/two;\n" * 9_000).status_code == 204
    before = turns
    assert len(plane.get("/api/1/dtabs/default").json()) == 9_000
    eventually(lambda: turns > before)
    counting.kill()
    assert turns > 20


def test_who_writes_a_dtab_is_in_the_log(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "linkerd_tcp.controller")
    assert plane.put("told", "/svc => /#/fake").status_code == 204
    assert plane.put("told", "/svc => /#/fake ; /a => /b").status_code == 204
    assert plane.put("told", "/svc => ").status_code == 400
    assert plane.ask("DELETE", "/api/1/dtabs/told").status_code == 204
    assert [record.message for record in caplog.records if record.name.endswith("dtab_routes")] == [
        "dtab told put by 127.0.0.1, 1 entry",
        "dtab told put by 127.0.0.1, 2 entries",
        "dtab told deleted by 127.0.0.1",
    ]

"""/bind, /addr, /resolve, /bound-names: what names lead to, asked once and watched; namerd's own tests among them."""

from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection

import gevent
import pytest

from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import Address, Bound, Failed
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, Leaf, Union, Weighted
from tests.controller.conftest import ONE, TWO, FakeNamer, Plane
from tests.sockets import eventually

ADDR_ONE = '{"type":"bound","addrs":[{"ip":"127.0.0.1","port":1,"meta":{}}],"meta":{}}'
ADDR_TWO = ADDR_ONE.replace("}],", '},{"ip":"127.0.0.1","port":2,"meta":{}}],')
LEAF_FOO = f'{{"type":"leaf","bound":{{"addr":{ADDR_ONE},"id":"/#/fake/foo","path":"/"}}}}'
JSON = "application/json"


# /bind


def test_bind_answers_with_namerd_s_very_bytes(plane: Plane) -> None:
    answer = plane.get("/api/1/bind/default?path=/svc/foo")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.text == LEAF_FOO + "\n"


def test_bind_with_metadata(make_plane: Callable[..., Plane]) -> None:
    address = Address("127.0.0.1", 1, meta={"node_meta": {"foo_node": "bar_node"}})
    namer = FakeNamer(foo=Bound((address,), {"service_meta": {"foo_serv": "bar_serv"}}))
    assert make_plane([namer]).get("/api/1/bind/default?path=/svc/foo").json()["bound"]["addr"] == {
        "type": "bound",
        "addrs": [{"ip": "127.0.0.1", "port": 1, "meta": {"node_meta": {"foo_node": "bar_node"}}}],
        "meta": {"service_meta": {"foo_serv": "bar_serv"}},
    }


def test_metadata_that_json_has_no_word_for_does_no_harm(make_plane: Callable[..., Plane]) -> None:
    namer = FakeNamer(foo=Bound((Address("127.0.0.1", 1, meta={"a": [float("nan")], "b": {"c": float("inf")}}),)))
    answer = make_plane([namer]).get("/api/1/resolve/default?path=/svc/foo")
    assert answer.json()["addrs"][0]["meta"] == {"a": ["nan"], "b": {"c": "inf"}}


def test_entries_of_the_request_win_over_the_stored_ones(plane: Plane) -> None:
    answer = plane.get("/api/1/bind/default?path=/svc/foo&dtab=/svc/foo=>/%23/fake/two")
    assert answer.json()["bound"]["id"] == "/#/fake/two"
    assert plane.get("/api/1/bind/default?path=/svc/foo").json()["bound"]["id"] == "/#/fake/foo"


def test_a_long_dtab_may_be_posted_as_a_form(plane: Plane) -> None:
    dtab = "/svc/foo => /#/fake/two;" + "/a => /b;" * 3_000
    answer = plane.ask("POST", "/api/1/bind/default?path=/svc/foo", data={"dtab": dtab})
    assert answer.json()["bound"]["id"] == "/#/fake/two"


def test_what_is_left_of_the_path_is_shown(plane: Plane) -> None:
    bound = plane.get("/api/1/bind/default?path=/$/inet/127.0.0.1/80/more").json()["bound"]
    assert (bound["id"], bound["path"]) == ("/$/inet/127.0.0.1/80", "/more")


@pytest.mark.parametrize(
    ("dst", "tree"),
    [("~", {"type": "neg"}), ("!", {"type": "fail"}), ("$", {"type": "empty"}), ("/#/fake/none", {"type": "neg"})],
)
def test_trees_without_a_name(plane: Plane, dst: str, tree: dict[str, str]) -> None:
    plane.put("default", f"/svc/foo => {dst}")
    assert plane.get("/api/1/bind/default?path=/svc/foo").json() == tree


def test_a_union_has_its_weights_exactly(plane: Plane) -> None:
    plane.put("default", "/svc => 0.001 * /#/fake/foo & 0.999 * /#/fake/two")
    union = plane.get("/api/1/bind/default?path=/svc").json()
    assert union["type"] == "union"
    assert [(each["weight"], each["tree"]["bound"]["id"]) for each in union["union"]] == [
        (0.001, "/#/fake/foo"),
        (0.999, "/#/fake/two"),
    ]


@pytest.mark.parametrize("what", ["bind", "resolve"])
def test_a_namespace_that_is_not_there_has_an_empty_dtab(plane: Plane, what: str) -> None:
    answer = plane.get(f"/api/1/{what}/graduation?path=/svc/foo")
    assert (answer.status_code, answer.json()) == (200, {"type": "neg"})
    assert plane.get(f"/api/1/{what}/graduation?path=/%23/fake/foo").json()["type"] != "neg"


def test_bind_watch(plane: Plane, namer: FakeNamer) -> None:
    stream = plane.follow("/api/1/bind/default?path=/svc/foo&watch=true")
    assert (stream.status, stream.headers["transfer-encoding"]) == (200, "chunked")
    assert stream.line() == LEAF_FOO
    namer.answer("foo", NEG)
    assert stream.line() == '{"type":"neg"}'
    namer.answer("foo", Leaf(namer.leaf("two").value))
    assert stream.json()["bound"]["id"] == "/#/fake/two"


def test_bind_watch_tells_when_names_change_and_not_addresses(plane: Plane, namer: FakeNamer) -> None:
    stream = plane.follow("/api/1/bind/default?path=/svc/foo&watch=1")
    assert stream.line() == LEAF_FOO
    namer.addrs["foo"].set(TWO)
    assert stream.is_silent()
    # One who comes later sees the addresses of the moment.
    assert plane.follow("/api/1/bind/default?path=/svc/foo&watch=1").json()["bound"]["addr"]["addrs"][1]["port"] == 2
    plane.put("default", "/svc/foo => ~")
    assert stream.line() == '{"type":"neg"}'


def test_bind_waits_for_the_first_addresses_of_each_leaf(plane: Plane, namer: FakeNamer) -> None:
    plane.put("default", "/svc => /#/fake/foo & /#/fake/slow")
    stream = plane.follow("/api/1/bind/default?path=/svc&watch=t")
    assert stream.is_silent()
    namer.addrs["slow"].set(NEG_ADDR)
    assert [each["tree"]["bound"]["addr"]["type"] for each in stream.json()["union"]] == ["bound", "neg"]


def test_a_write_is_seen_by_the_request_after_it_and_by_every_watch(plane: Plane) -> None:
    streams = [plane.follow(f"/api/1/bind/default?path=/svc/foo&watch=TRUE&dtab=/n{n}=>/a") for n in range(20)]
    for stream in streams:
        assert stream.line() == LEAF_FOO
    for target in ("two", "foo", "two"):
        assert plane.put("default", f"/svc/foo => /#/fake/{target}").status_code == 204
        assert plane.get("/api/1/bind/default?path=/svc/foo").json()["bound"]["id"] == f"/#/fake/{target}"
    for stream in streams:
        assert stream.json()["bound"]["id"] == "/#/fake/two"


def test_a_failure_is_one_line_of_words_and_the_end(plane: Plane, namer: FakeNamer) -> None:
    stream = plane.follow("/api/1/bind/default?path=/svc/foo&watch=1")
    assert stream.line() == LEAF_FOO
    namer.answer("foo", Failed("error\nin two lines"))
    assert stream.line() == "error in two lines"
    assert stream.line() is None
    answer = plane.get("/api/1/bind/default?path=/svc/foo")
    assert (answer.status_code, answer.text) == (500, "error\nin two lines\n")
    assert answer.headers["Content-Type"].startswith("text/plain")


# /addr


def test_addr(plane: Plane) -> None:
    answer = plane.get("/api/1/addr/default?path=/%23/fake/foo")
    assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (200, JSON, ADDR_ONE + "\n")


def test_addr_watch(plane: Plane, namer: FakeNamer) -> None:
    stream = plane.follow("/api/1/addr/default?path=/%23/fake/foo&watch=true")
    assert stream.line() == ADDR_ONE
    namer.addrs["foo"].set(TWO)
    assert stream.line() == ADDR_TWO
    namer.answer("foo", NEG)
    assert stream.line() == '{"type":"neg"}'
    namer.add("foo", Bound((Address("127.0.0.1", 3),)))
    assert stream.line() == ADDR_ONE.replace(":1,", ":3,")
    namer.addrs["foo"].set(Failed("no such host"))
    assert stream.json() == {"type": "failed", "cause": "no such host"}


def test_weights_of_addresses_are_in_their_metadata(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane([FakeNamer(foo=Bound((Address("::1", 1, 0.25),)))])
    assert plane.get("/api/1/addr/default?path=/%23/fake/foo").json()["addrs"] == [
        {"ip": "::1", "port": 1, "meta": {"endpoint_addr_weight": 0.25}}
    ]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/$/inet/127.0.0.1/1", ADDR_ONE),
        ("/%25/io.l5d.port/1/%23/fake/foo", ADDR_ONE),
        ("/%25/io.l5d.localhost/$/inet/127.0.0.1/1", ADDR_ONE),
        ("/%23/fake/none", '{"type":"neg"}'),
        ("/%23/other/foo", '{"type":"neg"}'),
        ("/svc/foo", '{"type":"neg"}'),
        ("/%25/x", '{"type":"neg"}'),
        ("/$/nil", '{"type":"bound","addrs":[],"meta":{}}'),
    ],
)
def test_ids_lead_to_namers_and_utilities_whatever_the_dtab_says(plane: Plane, path: str, answer: str) -> None:
    plane.put("default", "/svc => /#/fake;/# => ~;/$ => ~")
    assert plane.get(f"/api/1/addr/default?path={path}").text == answer + "\n"


def test_what_is_no_concrete_id_is_said(plane: Plane, namer: FakeNamer) -> None:
    two = Union((Weighted(1, namer.leaf("foo")), Weighted(1, namer.leaf("two"))))
    for tree, words in ((two, "/#/fake/x is not a concrete bound id"), (FAIL, "name tree failed")):
        namer.answer("x", tree)
        answer = plane.get("/api/1/addr/default?path=/%23/fake/x")
        assert (answer.status_code, answer.text) == (500, words + "\n")
        stream = plane.follow("/api/1/addr/default?path=/%23/fake/x&watch=1")
        assert (stream.line(), stream.line()) == (words, None)


# /resolve


def test_resolve(plane: Plane, namer: FakeNamer) -> None:
    answer = plane.get("/api/1/resolve/yeezus?path=/yeezy&dtab=/yeezus=>/%23/fake/two")
    assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (200, JSON, ADDR_TWO + "\n")


def test_resolve_watch(plane: Plane, namer: FakeNamer) -> None:
    stream = plane.follow("/api/1/resolve/default?path=/svc/slow&watch=true")
    assert stream.is_silent()
    namer.addrs["slow"].set(ONE)
    assert stream.line() == ADDR_ONE
    namer.addrs["slow"].set(TWO)
    assert stream.line() == ADDR_TWO
    namer.answer("slow", NEG)
    assert stream.line() == '{"type":"neg"}'


@pytest.mark.parametrize("tree", [NEG, FAIL, EMPTY, Alt(())])
def test_what_leads_nowhere_resolves_to_neg(plane: Plane, namer: FakeNamer, tree: object) -> None:
    namer.answer("foo", tree)
    assert plane.get("/api/1/resolve/default?path=/svc/foo").json() == {"type": "neg"}


def test_each_client_draws_its_own_branch_of_a_union(plane: Plane) -> None:
    """If all watchers were given one and the same branch, all traffic would go there."""
    plane.put("default", "/svc => 0.5 * /#/fake/foo & 0.5 * /#/fake/two")
    streams = [plane.follow("/api/1/resolve/default?path=/svc&watch=1") for _ in range(60)]
    drawn = Counter(stream.line() for stream in streams)
    assert set(drawn) == {ADDR_ONE, ADDR_TWO}
    asked = Counter(plane.get("/api/1/resolve/default?path=/svc").text for _ in range(60))
    assert set(asked) == {ADDR_ONE + "\n", ADDR_TWO + "\n"}


def test_a_branch_is_kept_until_the_tree_changes(plane: Plane, namer: FakeNamer) -> None:
    plane.put("default", "/svc => 0.5 * /#/fake/foo & 0.5 * /#/fake/two")
    streams = [plane.follow("/api/1/resolve/default?path=/svc&watch=1") for _ in range(20)]
    first = [stream.json()["addrs"][-1]["port"] for stream in streams]
    namer.addrs["foo"].set(Bound((Address("127.0.0.1", 11),)))
    namer.addrs["two"].set(Bound((Address("127.0.0.1", 12),)))
    assert [stream.json()["addrs"][-1]["port"] - 10 for stream in streams] == first
    plane.put("default", "/svc => 1 * /#/fake/foo & 0 * /#/fake/two")
    for before, stream in zip(first, streams, strict=True):
        if before == 2:
            assert stream.json()["addrs"][-1]["port"] == 11
        else:
            assert stream.is_silent(0.02)


# What is not known


@pytest.mark.parametrize("what", ["bind", "resolve", "addr"])
def test_a_request_waits_until_it_is_known(plane: Plane, namer: FakeNamer, what: str) -> None:
    asking = gevent.spawn(plane.get, f"/api/1/{what}/default?path=/%23/fake/slow")
    eventually(lambda: namer.held)
    namer.addrs["slow"].set(ONE)
    assert asking.get(timeout=5).status_code == 200


@pytest.mark.parametrize("what", ["bind", "resolve", "addr"])
def test_a_request_does_not_wait_for_ever(plane: Plane, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.controller.control.ANSWER_SECS", 0.1)
    answer = plane.get(f"/api/1/{what}/default?path=/%23/fake/slow")
    assert answer.status_code == 503
    assert "not known" in answer.text


# /bound-names


def test_bound_names(plane: Plane, namer: FakeNamer) -> None:
    answer = plane.get("/api/1/bound-names")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.text == '["/#/fake/foo","/#/fake/slow","/#/fake/two"]\n'
    assert plane.ask("POST", "/api/1/bound-names").status_code == 404


def test_no_bound_names_are_an_empty_list(make_plane: Callable[..., Plane]) -> None:
    assert make_plane([FakeNamer()]).get("/api/1/bound-names").text == "[]\n"


def test_bound_names_watch(plane: Plane, namer: FakeNamer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.controller.kinds.NAMES_SECS", 0.02)
    stream = plane.follow("/api/1/bound-names?watch=1")
    assert len(stream.json()) == 3
    namer.add("new", ONE)
    assert stream.json() == ["/#/fake/foo", "/#/fake/new", "/#/fake/slow", "/#/fake/two"]


def test_a_namer_that_cannot_list_its_names_hides_no_others(
    plane: Plane, namer: FakeNamer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("linkerd_tcp.controller.kinds.NAMES_SECS", 0.02)
    stream = plane.follow("/api/1/bound-names?watch=1")
    assert len(stream.json()) == 3
    with monkeypatch.context() as broken:
        broken.setattr(namer, "names", lambda: 1 / 0)
        assert stream.json() == []
    assert "/#/fake cannot list its names" in caplog.text
    assert len(stream.json()) == 3


# What is asked wrongly

NAMES = ["bind", "resolve", "addr", "delegate"]


@pytest.mark.parametrize("what", NAMES)
def test_a_bad_path_is_400_in_words(plane: Plane, what: str) -> None:
    for path in (
        "",
        "&path=",
        "&path=invalid",
        "&path=/a//b",
        "&path=/" + "a" * 7000 + "!",
        "&path=%ff",
        "&path=/%zz!",
    ):
        answer = plane.get(f"/api/1/{what}/default?x=1{path}")
        assert answer.status_code == 400, path
        assert answer.text.startswith("Invalid path: ")
        assert len(answer.text) < 600


@pytest.mark.parametrize("what", ["bind", "resolve", "delegate"])
def test_a_bad_dtab_is_400_everywhere(plane: Plane, what: str) -> None:
    deep = "(" * 60 + "/b" + ")" * 60
    for dtab in ("invalid", "/a=>", "/a=>/b;;", f"/a=>{deep}", "%ff", "/a=>1e5*/b", "/a=>/b;" * 900 + "/"):
        answer = plane.get(f"/api/1/{what}/default?path=/svc/foo&dtab={dtab}")
        assert answer.status_code == 400, dtab
        assert answer.text.startswith("Invalid dtab: ")
        assert len(answer.text) < 300


@pytest.mark.parametrize("what", ["bind", "resolve", "addr"])
def test_a_path_without_a_namespace_is_404(plane: Plane, what: str) -> None:
    for tail in ("", "/", "XYZ", "XYZ/default"):
        assert plane.get(f"/api/1/{what}{tail}?path=/svc/foo").status_code == 404


@pytest.mark.parametrize("what", [*NAMES, "dtabs"])
def test_a_namespace_that_cannot_be_is_400_in_words(plane: Plane, what: str) -> None:
    connection = HTTPConnection(*plane.server.address, timeout=5)
    for ns in ("..", "a/../b", "%2e%2e/etc/passwd", ".x", "a//b", "a/", "%ff", "a%00b", "x" * 2000):
        connection.request("GET", f"/api/1/{what}/{ns}?path=/svc/foo")
        answer = connection.getresponse()
        words = answer.read().decode()
        assert (answer.status, words.count("\n")) == (400, 1), ns
    connection.close()


def test_a_request_too_long_to_be_read_is_refused(plane: Plane) -> None:
    for _ in range(3):
        assert plane.get("/api/1/bind/default?path=/svc/foo&dtab=" + "/a=>/b;" * 5_000).status_code == 414


def test_dtabs_that_go_round_or_multiply_are_told_in_words(plane: Plane) -> None:
    plane.put("default", "/a => /a;/b => /b | /b;/c => /c/c & /c/c;" + "/d => /d/d | /d;" * 10)
    for path in ("/a", "/b", "/c", "/d"):
        answer = plane.get(f"/api/1/bind/default?path={path}")
        assert answer.status_code == 500, path
        stream = plane.follow(f"/api/1/bind/default?path={path}&watch=1")
        stream.line()
        assert stream.line() is None
    assert plane.get("/api/1/bind/default?path=/x").json() == {"type": "neg"}


# What it costs


def test_names_that_nobody_watches_are_let_go(plane: Plane, namer: FakeNamer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.controller.topic.MAX_IDLE", 10)
    for n in range(50):
        plane.get(f"/api/1/addr/default?path=/%23/fake/x{n}")
    assert len(plane.control.topics) == 10
    assert len(namer.held) == 10
    monkeypatch.setattr("linkerd_tcp.controller.topic.monotonic", lambda: 1e12)
    plane.control.topics.sweep()
    assert (len(plane.control.topics), len(plane.control.namespaces), len(namer.held)) == (0, 0, 0)


def test_watchers_of_one_thing_share_one_watch(plane: Plane, namer: FakeNamer) -> None:
    streams = [plane.follow(f"/api/1/addr/ns{n}?path=/%23/fake/foo&watch=1") for n in range(5)]
    for stream in streams:
        stream.line()
    assert len(namer.held) == 1
    for stream in streams:
        stream.close()
    eventually(lambda: plane.server.watchers == 0)

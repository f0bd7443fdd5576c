"""A client that watches, against a stand-in of namerd with every fault on demand."""

import logging
from collections.abc import Iterator
from time import monotonic
from typing import Any

import gevent
import pytest

from linkerd_tcp.namerd import client as client_module
from linkerd_tcp.namerd import follower
from linkerd_tcp.namerd.client import NamerdClient
from linkerd_tcp.naming.addr import NEG, PENDING, Address, Bound, Failed, Pending
from linkerd_tcp.naming.delegation import Step
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.naming.nametree import EMPTY, FAIL, Leaf, Union, leaves
from linkerd_tcp.naming.nametree import NEG as NEG_TREE
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.testing.leaks import no_leaks
from linkerd_tcp.testing.waiting import eventually
from tests.namerd.conftest import MakeClient
from tests.namerd_standin import Namerd
from tests.namerd_state import PENDING as PENDING_JSON
from tests.namerd_state import bound, failed, leaf, union

assert no_leaks
WEB = Path.read("/svc/web")
ID = "/#/io.l5d.fs/web"


def addresses(binding: Binding) -> list[list[str]]:
    """Of each leaf, or nothing where there is no tree or no address yet."""
    if isinstance(binding, Pending | Failed):
        return []
    return [list(map(str, name.addr.value.addresses)) for name in leaves(binding) if isinstance(name.addr.value, Bound)]


def row(client: NamerdClient, name: str) -> WatchState:
    [found] = [each for each in client.watches() if each.name == name]
    return found


@pytest.fixture
def web(namerd: Namerd, client: NamerdClient) -> Iterator[Watch[Binding]]:
    """/svc/web, bound to one name at 127.0.0.1:1."""
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:1"]])
    eventually(lambda: namerd.streams["addr watch"] == 1)
    yield watch
    watch.close()


# -- what is known


def test_a_name_is_pending_until_namerd_speaks(namerd: Namerd, client: NamerdClient) -> None:
    namerd.bind("/svc/web", PENDING_JSON)
    watch = client.bind(WEB)
    eventually(lambda: namerd.streams["bind watch"] == 1)
    assert watch.value == PENDING
    namerd.addr(ID, bound("127.0.0.1:1"))
    namerd.bind("/svc/web", leaf(ID, "/rest"))
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:1"]])
    [name] = leaves(watch.value)  # type: ignore[arg-type]
    assert (str(name.id), str(name.residual)) == (ID, "/rest")


@pytest.mark.parametrize(
    ("tree", "value"), [({"type": "neg"}, NEG_TREE), ({"type": "fail"}, FAIL), ({"type": "empty"}, EMPTY)]
)
def test_what_is_no_name_is_told_as_it_is(namerd: Namerd, client: NamerdClient, tree: Any, value: Any) -> None:
    namerd.bind("/svc/web", tree)
    watch = client.bind(WEB)
    eventually(lambda: watch.value == value)
    watch.close()


def test_a_weighted_union_is_kept_with_live_addresses_for_each_branch(namerd: Namerd, client: NamerdClient) -> None:
    namerd.bind("/svc/web", union((0.9, leaf("/#/a")), (0.1, leaf("/#/b"))))
    namerd.addr("/#/a", bound(("127.0.0.1:1", 0.5)))
    watch = client.bind(WEB)
    eventually(lambda: isinstance(watch.value, Union))
    assert isinstance(watch.value, Union)
    assert [branch.weight for branch in watch.value.branches] == [0.9, 0.1]
    a, b = leaves(watch.value)
    assert (a.addr.value, b.addr.value) == (Bound((Address("127.0.0.1", 1, 0.5),)), NEG)
    told: list[Any] = []
    b.addr.observe(told.append)
    namerd.addr("/#/b", bound("127.0.0.1:2"))
    eventually(lambda: told == [Bound((Address("127.0.0.1", 2),))])
    namerd.bind("/svc/web", union((0, leaf("/#/a")), (1, leaf("/#/b"))))
    eventually(lambda: [branch.weight for branch in watch.value.branches] == [0, 1])  # type: ignore[union-attr]
    assert namerd.requests["addr watch"] == 2
    watch.close()


def test_connections_need_not_wait_for_the_second_request(namerd: Namerd, client: NamerdClient) -> None:
    namerd.fault("silent", "addr")
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    told: list[Any] = []
    watch.observe(lambda binding: told.append(addresses(binding)))
    eventually(lambda: told == [[["127.0.0.1:1"]]])
    watch.close()


def test_a_name_is_asked_for_once_whoever_holds_it(namerd: Namerd, client: NamerdClient) -> None:
    for path in ("/svc/a", "/svc/b"):
        namerd.bind(path, leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watches = [client.bind(Path.read(path)) for path in ("/svc/a", "/svc/b", "/svc/a")]
    eventually(lambda: all(addresses(watch.value) for watch in watches))
    eventually(lambda: (namerd.requests["bind watch"], namerd.requests["addr watch"]) == (2, 1))
    names = [name for watch in watches for name in leaves(watch.value)]  # type: ignore[arg-type]
    assert len({id(name.addr) for name in names}) == 1
    for watch in watches:
        watch.close()


def test_ids_are_asked_for_as_they_are_written(namerd: Namerd, client: NamerdClient, web: Watch[Binding]) -> None:
    assert namerd.asked == [
        "/api/1/bind/default?path=/svc/web&watch=1",
        "/api/1/addr/default?path=/%23/io.l5d.fs/web&watch=1",
    ]


def test_entries_given_with_a_path_go_with_it_and_are_asked_for_by_themselves(
    namerd: Namerd, client: NamerdClient, web: Watch[Binding]
) -> None:
    other = client.bind(WEB, Dtab.read("/svc => /x"))
    eventually(lambda: namerd.requests["bind watch"] == 2)
    assert namerd.asked[-1] == "/api/1/bind/default?path=/svc/web&dtab=/svc%3D%3E/x&watch=1"
    other.close()


def test_an_unchanged_answer_is_not_told_again(
    namerd: Namerd, make: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    client = make(readTimeoutSecs=1)
    watch = client.bind(WEB)
    eventually(lambda: addresses(watch.value))
    told: list[Any] = []
    [name] = leaves(watch.value)  # type: ignore[arg-type]
    watch.observe(told.append)
    name.addr.observe(told.append)
    updates = client.figures.updates
    eventually(lambda: namerd.requests["bind watch"] >= 2 and namerd.requests["addr watch"] >= 2)
    assert (told, client.figures.updates, client.figures.errors) == ([], updates, {})
    watch.close()


def test_only_the_newest_of_documents_that_came_together_is_told(namerd: Namerd, client: NamerdClient) -> None:
    namerd.fault("several", "bind", before=['{"type":"neg"}\n', '{"type":"fail"}'])
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    told: list[Any] = []
    watch.observe(told.append)
    eventually(lambda: told)
    assert told == [Leaf(BoundName(Path.read(ID), watch))]  # type: ignore[arg-type]
    watch.close()


@pytest.mark.parametrize("shape", ["bytewise", "drip"])
def test_a_document_in_pieces_is_one(namerd: Namerd, client: NamerdClient, shape: str) -> None:
    namerd.fault(shape, interval_secs=0.001)
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:1"]])
    watch.close()


# -- last good


FAULTS = [
    ("bind", "error_line", "protocol"),
    ("bind", "cut", "cut"),
    ("bind", "cut_chunk", "cut"),
    ("bind", "half", "protocol"),
    ("bind", "no_last_chunk", "cut"),
    ("bind", "empty", "ended"),
    ("bind", "garbage", "protocol"),
    ("bind", "bad_chunk", "cut"),
    ("bind", "status", "http_status"),
    ("bind", "close", "reset"),
    ("bind", "not_http", "protocol"),
    ("addr", "error_line", "protocol"),
    ("addr", "cut", "cut"),
    ("addr", "half", "protocol"),
    ("addr", "garbage", "protocol"),
    ("addr", "status", "http_status"),
    ("addr", "close", "reset"),
]


@pytest.mark.parametrize(("endpoint", "fault", "cause"), FAULTS)
def test_whatever_goes_wrong_what_is_known_is_kept_and_what_changed_meanwhile_is_followed(
    namerd: Namerd, client: NamerdClient, web: Watch[Binding], endpoint: str, fault: str, cause: str
) -> None:
    told: list[Any] = []
    web.observe(told.append)
    name = "/svc/web" if endpoint == "bind" else ID
    namerd.fault(fault, endpoint)
    namerd.cut()
    eventually(lambda: client.figures.errors.get(cause, 0) >= 3)
    eventually(lambda: row(client, name).is_stale and row(client, name).next_attempt_at is not None)
    assert (told, addresses(web.value)) == ([], [["127.0.0.1:1"]])
    state = row(client, name)
    assert (state.state, state.addresses, state.last_good_at is not None) == ("bound", 1, True)
    namerd.addr(ID, bound("127.0.0.1:2"))
    namerd.heal()
    eventually(lambda: addresses(web.value) == [["127.0.0.1:2"]])
    eventually(lambda: not row(client, name).is_stale)


def test_the_line_by_which_namerd_ends_a_watch_is_told_as_its_words(namerd: Namerd, client: NamerdClient) -> None:
    namerd.fault("error_line", "bind")
    watch = client.bind(WEB)
    eventually(lambda: row(client, "/svc/web").is_stale)
    words = row(client, "/svc/web").error or ""
    assert words.startswith(f"{namerd.base_url} sent words instead of JSON: '")
    watch.close()


def test_an_endless_document_is_given_up_on(
    namerd: Namerd, client: NamerdClient, web: Watch[Binding], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "JsonDocuments", lambda: follower_documents(100_000))
    from linkerd_tcp.wire.json_documents import JsonDocuments as Real

    def follower_documents(most: int) -> Real:
        return Real(most)

    namerd.fault("huge")
    namerd.cut()
    eventually(lambda: client.figures.errors.get("protocol", 0) >= 2)
    assert addresses(web.value) == [["127.0.0.1:1"]]


def test_failed_keeps_the_last_good_addresses_and_neg_does_not(
    namerd: Namerd, client: NamerdClient, web: Watch[Binding]
) -> None:
    namerd.addr(ID, failed("no route to consul"))
    eventually(lambda: row(client, ID).error == "namerd says: no route to consul")
    assert addresses(web.value) == [["127.0.0.1:1"]]
    assert client.figures.errors == {"failed": 1}
    namerd.addr(ID, {"type": "neg"})
    eventually(lambda: row(client, ID).state == "neg")
    namerd.bind("/svc/web", {"type": "neg"})
    eventually(lambda: web.value == NEG_TREE)


def test_a_definite_neg_is_followed_by_what_comes_back(namerd: Namerd, web: Watch[Binding]) -> None:
    namerd.bind("/svc/web", {"type": "neg"})
    eventually(lambda: web.value == NEG_TREE)
    eventually(lambda: namerd.streams["addr watch"] == 0)
    namerd.bind("/svc/web", leaf(ID))
    eventually(lambda: addresses(web.value) == [["127.0.0.1:1"]])


def test_a_namerd_that_cannot_be_reached_at_first_is_a_failure_that_ends(namerd: Namerd, client: NamerdClient) -> None:
    namerd.stop_listening()
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    assert watch.value == PENDING
    eventually(lambda: watch.value == Failed(f"{namerd.base_url}: connection refused"))
    assert client.figures.errors["refused"] >= 1
    namerd.listen()
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:1"]])
    watch.close()


@pytest.mark.parametrize("fault", ["cut", "empty", "headers", "half_silent"])
def test_silence_and_an_early_end_say_nothing(namerd: Namerd, client: NamerdClient, fault: str) -> None:
    namerd.fault(fault)
    namerd.bind("/svc/web", leaf(ID))
    watch = client.bind(WEB)
    eventually(lambda: namerd.requests["bind watch"] >= (1 if "i" in fault or fault == "headers" else 3))
    assert watch.value == PENDING
    watch.close()


def test_an_address_that_cannot_be_used_is_left_out_said_and_counted(
    namerd: Namerd, client: NamerdClient, caplog: pytest.LogCaptureFixture
) -> None:
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1", "web.example:80"))
    watch = client.bind(WEB)
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:1"]])
    eventually(lambda: client.figures.errors.get("left_out") == 1)
    assert "an address that cannot be used: addrs[1].ip: expected an IP address, found 'web.example'" in caplog.text
    assert not row(client, ID).is_stale
    watch.close()


# -- again and again


def test_a_watch_that_ended_cleanly_is_begun_again_at_once(
    namerd: Namerd, make: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(retry={"baseSeconds": 50, "maxSeconds": 60})
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    namerd.fault("once", "bind", times=1)
    namerd.fault("once", "addr", times=1)
    watch = client.bind(WEB)
    eventually(lambda: namerd.streams["bind watch"] == 1 and namerd.streams["addr watch"] == 1)
    assert client.figures.errors == {"ended": 2}
    assert not any(each.is_stale for each in client.watches())
    watch.close()


def test_a_watch_that_always_ends_cleanly_is_no_busy_loop(namerd: Namerd, make: MakeClient) -> None:
    client = make(retry={"baseSeconds": 0.1, "maxSeconds": 0.4})
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    namerd.fault("once")
    watch = client.bind(WEB)
    eventually(lambda: namerd.requests["bind watch"] >= 4)
    gevent.sleep(0.5)
    assert namerd.requests["bind watch"] <= 8
    assert addresses(watch.value) == [["127.0.0.1:1"]]
    watch.close()


def test_silence_is_taken_for_a_frozen_namerd_and_the_new_watch_s_first_word_counts(
    namerd: Namerd, make: MakeClient
) -> None:
    client = make(readTimeoutSecs=1)
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    eventually(lambda: namerd.streams["addr watch"] == 1)
    namerd.state.addrs[ID] = bound("127.0.0.1:2")  # nobody is told
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:2"]], 2.0)
    assert client.figures.errors == {}
    watch.close()


def test_a_namerd_that_takes_requests_and_says_nothing_is_seen(
    namerd: Namerd, make: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "HEAD_SECS", 0.2)
    client = make(readTimeoutSecs=1)
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    eventually(lambda: addresses(watch.value))
    namerd.fault("silent")
    for name in ("/svc/web", ID):
        eventually(lambda name=name: row(client, name).error == f"{namerd.base_url}: no answer within 0.2 s")
    assert client.figures.errors["timeout"] >= 2
    assert addresses(watch.value) == [["127.0.0.1:1"]]
    namerd.heal()
    namerd.fault("headers")  # good heads, and never a document: nor is that an answer, of a name that was known
    eventually(lambda: client.figures.errors.get("silence", 0) >= 1, 8)
    assert addresses(watch.value) == [["127.0.0.1:1"]]
    watch.close()


@pytest.mark.alone
def test_an_endpoint_that_moved_while_namerd_was_away_is_followed_within_two_backoff_periods(
    namerd: Namerd, make: MakeClient
) -> None:
    client = make(retry={"baseSeconds": 0.1, "maxSeconds": 0.5})
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    eventually(lambda: addresses(watch.value))
    namerd.stop_listening()
    namerd.cut()
    eventually(lambda: client.figures.errors.get("refused", 0) >= 8)  # so that the waits have grown
    namerd.addr(ID, bound("127.0.0.1:2"))
    namerd.listen()
    back_at = monotonic()
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:2"]])
    assert monotonic() - back_at < 2 * 0.5
    watch.close()


def test_trouble_with_namerd_is_logged_once_for_all_names_and_so_is_its_end(
    namerd: Namerd, client: NamerdClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watches = [client.bind(Path(("svc", str(number)))) for number in range(50)]
    eventually(lambda: all(watch.value == NEG_TREE for watch in watches))
    namerd.stop_listening()
    namerd.cut()
    eventually(lambda: client.figures.errors.get("refused", 0) >= 500)
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert lines == [f"{namerd.base_url}: connection refused: what is known is kept"]
    namerd.listen()
    eventually(lambda: not any(each.is_stale for each in client.watches()))
    assert f"{namerd.base_url} answers again" in caplog.text
    for watch in watches:
        watch.close()


def test_an_observer_that_fails_ends_nothing(
    namerd: Namerd, web: Watch[Binding], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Binding) -> None:
        raise RuntimeError("oops")

    web.observe(fails)
    namerd.bind("/svc/web", leaf("/#/other"))
    eventually(lambda: "an observer failed" in caplog.text)
    namerd.bind("/svc/web", leaf(ID))
    eventually(lambda: addresses(web.value) == [["127.0.0.1:1"]])


# -- who is there no more


@pytest.mark.parametrize("fault", [None, "silent", "headers", "half_silent", "huge"])
def test_what_nobody_holds_is_asked_for_no_more_whatever_it_waits_for(
    namerd: Namerd, client: NamerdClient, fault: str | None
) -> None:
    if fault:
        namerd.fault(fault)
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    eventually(lambda: namerd.streams["bind watch"] == 1)
    watch.close()
    watch.close()
    assert list(client.watches()) == []
    eventually(lambda: namerd.connections == 0, 1.0)


def test_a_name_is_held_by_who_observes_its_addresses(
    namerd: Namerd, client: NamerdClient, web: Watch[Binding]
) -> None:
    [name] = leaves(web.value)  # type: ignore[arg-type]
    told: list[Any] = []
    cancel = name.addr.observe(told.append)
    web.close()
    assert [each.name for each in client.watches()] == [ID]
    namerd.addr(ID, bound("127.0.0.1:2"))
    eventually(lambda: told)
    cancel()
    assert list(client.watches()) == []
    eventually(lambda: namerd.connections == 0)


def test_names_asked_for_and_dropped_before_the_loop_turned_are_never_asked_for(
    namerd: Namerd, client: NamerdClient
) -> None:
    for number in range(1000):
        client.bind(Path((str(number),))).close()
    gevent.sleep(0.05)
    assert namerd.accepted == 0


def test_after_the_client_was_closed_nobody_is_told_anything(
    namerd: Namerd, client: NamerdClient, web: Watch[Binding]
) -> None:
    told: list[Any] = []
    web.observe(told.append)
    delegation = client.delegation(WEB)
    client.close()
    client.close()
    namerd.addr(ID, bound("127.0.0.1:2"))
    eventually(lambda: namerd.connections == 0)
    assert told == []
    assert delegation.value.step is Step.PENDING
    assert isinstance(client.bind(WEB).value, Failed)
    assert client.delegation(WEB).value.step is Step.EXCEPTION
    delegation.close()


def test_too_many_names_are_refused_and_counted(
    namerd: Namerd, client: NamerdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_PATHS", 2)
    monkeypatch.setattr(client_module, "MAX_ADDRS", 1)
    namerd.bind("/svc/web", union((1, leaf("/#/a")), (1, leaf("/#/b"))))
    namerd.addr("/#/a", bound("127.0.0.1:1"))
    namerd.addr("/#/b", bound("127.0.0.1:2"))
    watches = [client.bind(WEB), client.bind(Path(("b",)))]
    refused = client.bind(Path(("c",)))
    assert isinstance(refused.value, Failed)
    eventually(lambda: addresses(watches[0].value) == [["127.0.0.1:1"], ["127.0.0.1:2"]])
    assert client.figures.errors == {"limit": 2}
    for watch in (*watches, refused):
        watch.close()


def test_a_name_that_there_was_no_room_to_follow_is_followed_once_there_is(
    namerd: Namerd, client: NamerdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_ADDRS", 0)
    namerd.bind("/svc/web", leaf(ID))
    namerd.addr(ID, bound("127.0.0.1:1"))
    watch = client.bind(WEB)
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:1"]])  # as it was when the tree was told
    monkeypatch.setattr(client_module, "MAX_ADDRS", 1)
    told: list[Binding] = []
    watch.observe(told.append)
    namerd.cut()  # the same tree is told again
    eventually(lambda: told)
    namerd.addr(ID, bound("127.0.0.1:2"))
    eventually(lambda: addresses(watch.value) == [["127.0.0.1:2"]])
    watch.close()


# -- for people


def test_each_path_and_each_id_has_a_row(namerd: Namerd, client: NamerdClient, web: Watch[Binding]) -> None:
    of_path, of_id = client.watches()
    assert (of_path.name, of_path.state, of_path.addresses, of_path.value) == ("/svc/web", "bound", 1, ID)
    assert (of_id.name, of_id.state, of_id.value) == (ID, "bound", Bound((Address("127.0.0.1", 1),)))
    assert of_path.last_good_at is not None
    assert client.figures.last_good_at is not None


def test_how_long_answers_took_is_counted(namerd: Namerd, client: NamerdClient, web: Watch[Binding]) -> None:
    requests = client.figures.requests  # type: ignore[attr-defined]
    eventually(lambda: requests.count == 2)
    delegation = client.delegation(WEB)
    eventually(lambda: requests.count == 3)
    delegation.close()


def test_a_delegation_is_namerd_s_own(namerd: Namerd, client: NamerdClient) -> None:
    document = {"type": "delegate", "path": "/svc/web", "delegate": {"type": "neg", "path": "/#/fs/web"}}
    namerd.state.delegates["default"] = {"/svc/web": document}
    watch = client.delegation(WEB, Dtab.read("/a => /b"))
    assert watch.value.is_pending
    eventually(lambda: not watch.value.is_pending)
    assert [(node.step, str(node.path)) for node in watch.value.walk()] == [
        (Step.DELEGATE, "/svc/web"),
        (Step.NEG, "/#/fs/web"),
    ]
    assert namerd.asked == ["/api/1/delegate/default?path=/svc/web&dtab=/a%3D%3E/b"]
    watch.close()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("status", "answered 500: 'java.lang.Exception: no'"),
        ("garbage", "sent words instead of JSON: '"),
        ("cut", "the connection was closed within an answer"),
        ("empty", "document: expected a delegation, an object with a type, found nothing"),
        ("close", "the connection was closed without an answer"),
    ],
)
def test_why_there_is_no_delegation_is_one(namerd: Namerd, client: NamerdClient, fault: str, words: str) -> None:
    namerd.fault(fault)
    watch = client.delegation(WEB)
    eventually(lambda: not watch.value.is_pending)
    assert watch.value.step is Step.EXCEPTION
    assert words in watch.value.message
    watch.close()


def test_a_delegation_nobody_waits_for_is_not_asked_for_any_more(namerd: Namerd, client: NamerdClient) -> None:
    namerd.fault("silent")
    watch = client.delegation(WEB)
    eventually(lambda: namerd.connections == 1)
    watch.close()
    eventually(lambda: namerd.connections == 0)


def test_delegations_are_bounded(namerd: Namerd, client: NamerdClient) -> None:
    namerd.fault("silent")
    watches = [client.delegation(WEB) for _ in range(client_module.MAX_DELEGATIONS + 1)]
    assert [watch.value.step for watch in watches[-2:]] == [Step.PENDING, Step.EXCEPTION]
    for watch in watches:
        watch.close()


def test_what_is_known_here_of_a_name_is_one_step(namerd: Namerd, client: NamerdClient, web: Watch[Binding]) -> None:
    assert client.delegate(Path(("other",))).step is Step.PENDING
    tree = client.delegate(WEB)
    assert (tree.step, str(tree.path)) == (Step.LEAF, "/svc/web")
    assert tree.bound is not None
    assert str(tree.bound.id) == ID
    namerd.bind("/svc/web", union((1, leaf("/#/a")), (2, leaf("/#/b"))))
    eventually(lambda: client.delegate(WEB).step is Step.UNION)
    assert client.delegate(WEB).weights == (1, 2)
    namerd.bind("/svc/web", {"type": "neg"})
    eventually(lambda: client.delegate(WEB).step is Step.NEG)

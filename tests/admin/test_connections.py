"""Connections are filtered and paged, and a page is the same whatever happens meanwhile."""

import pytest

from linkerd_tcp.admin.connections import MOST, Query, counts, one, place
from linkerd_tcp.book import Book
from linkerd_tcp.envelope import Envelope, PeerCertificate
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.path import Path
from linkerd_tcp.record import Record, ServerName, as_json
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp


def ids(http: Http, arguments: str) -> list[str]:
    return [each["id"] for each in http.get(f"/connections.json?{arguments}").json()["connections"]]


@pytest.fixture
def book(app: FakeApp) -> Book:
    """Seven: 1 to 4 have ended, 2 of them first; 5 to 7 are open."""
    records = [app.book.begin("default", "127.0.0.1:7474", ("10.0.0.1", 1000 + n)) for n in range(7)]
    records[0].path = Path.read("/svc/web")
    records[1].path, records[1].bound = Path.read("/svc/webber"), Path.read("/#/io.l5d.fs/webber")
    records[2].attempt("127.0.0.1:8081", Cause.REFUSED, 0.1)
    records[3].endpoint = "127.0.0.1:8080"
    records[3].source = ("::1", 1003)
    for number in (1, 0, 3, 2):
        records[number].end(Cause.REFUSED if number == 2 else Cause.CLIENT_CLOSED, None)
        app.book.end(records[number])
    return app.book


def test_the_newest_accepted_come_first_open_or_closed(http: Http, book: Book) -> None:
    assert ids(http, "") == [f"0-{number}" for number in (7, 6, 5, 4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("state=open", "765"),
        ("state=closed", "4321"),
        ("cause=refused", "3"),
        ("cause=client_closed&state=open", ""),
        ("source=10.0.0.1:1001", "2"),
        ("source=10.0.0.1", "765321"),
        ("source=::1", "4"),
        ("source=[::1]:1003", "4"),
        ("endpoint=127.0.0.1:8081", "3"),
        ("endpoint=127.0.0.1", "43"),
        ("path=/svc/web", "1"),
        ("path=/svc", "21"),
        ("path=/%23/io.l5d.fs", "2"),
        ("path=", "7654321"),
        ("state=failed", "3"),
        ("state=failed&cause=client_closed", ""),
        ("router=default&state=open", "765"),
        ("router=other", ""),
        ("since=0-5", "76"),
        ("since=0-2&after=0-5", "43"),
        ("since=1-5", "76"),
        ("since=0-ffff", ""),
    ],
)
def test_filters_leave_what_they_name(http: Http, book: Book, arguments: str, expected: str) -> None:
    assert ids(http, arguments) == [f"0-{number}" for number in expected]


def test_pages_follow_one_another_whatever_is_accepted_or_closed_meanwhile(http: Http, book: Book) -> None:
    first = http.get("/connections.json?limit=3").json()
    book.begin("default", "127.0.0.1:7474", ("10.0.0.1", 2000))
    for number in (5, 4):
        if number in book.open:
            book.end(book.open[number])
    second = http.get(f"/connections.json?limit=3&after={first['next']}").json()
    third = http.get(f"/connections.json?limit=3&after={second['next']}").json()
    shown = [each["id"] for page in (first, second, third) for each in page["connections"]]
    assert shown == [f"0-{number}" for number in (7, 6, 5, 4, 3, 2, 1)]
    assert third["next"] is None


def test_a_page_that_holds_the_last_one_has_no_next(http: Http, book: Book) -> None:
    assert http.get("/connections.json?limit=7").json()["next"] is None
    assert http.get("/connections.json?limit=6").json()["next"] == "0-2"


@pytest.mark.parametrize(
    "arguments",
    [
        "state=shut",
        "cause=bad_luck",
        "limit=0",
        "limit=2001",
        "limit=x",
        "limit=1e3",
        "after=7",
        "after=0-",
        "since=7",
        "state=failures",
        "nonsense=1",
    ],
)
def test_arguments_that_mean_nothing_are_refused_in_words(http: Http, arguments: str) -> None:
    answer = http.get(f"/connections.json?{arguments}")
    assert answer.status_code == 400
    key = arguments.split("=")[0]
    assert key in answer.json()["error"]


def test_one_page_is_at_most_two_thousand(app: FakeApp, http: Http) -> None:
    app.remember(100, MOST)
    page = http.get(f"/connections.json?limit={MOST}").json()
    assert len(page["connections"]) == MOST
    assert len(http.get(f"/connections.json?after={page['next']}").json()["connections"]) == 100
    assert len(http.get("/connections.json").json()["connections"]) == 200


def test_an_explanation_of_any_size_is_shown_whole(http: Http, book: Book) -> None:
    tree = {"type": "alt", "alt": [{"type": "neg", "path": f"/{n}"} for n in range(5_000)]}
    book.closed[0].explanation = tree
    shown = http.get("/connections.json?state=closed").json()["connections"]
    assert [each["explanation"] for each in shown if each["explanation"]] == [tree]


def test_they_are_counted_by_cause_whatever_the_limit(book: Book) -> None:
    assert counts(book, Query()) == {"open": 3, "client_closed": 3, "refused": 1}
    assert counts(book, Query(limit=1, state="closed")) == {"client_closed": 3, "refused": 1}
    assert counts(book, Query(source="::1")) == {"client_closed": 1}
    assert counts(book, Query(path="/nowhere")) == {}


def test_one_is_found_by_its_id_open_or_packed_away(book: Book) -> None:
    for number in range(1, 8):
        found = one(book, f"0-{number}")
        assert found is not None
        assert (found.number, found.is_open) == (number, number > 4)
    for nobody in ("0-8", "1-1", "", "nonsense", "0-1.5"):
        assert one(book, nobody) is None


def test_what_a_story_needs_is_in_the_shape(http: Http, app: FakeApp) -> None:
    named = ServerName.of("127.0.0.1:7474", "io.l5d.sni")
    record = app.book.begin("default", named, ("10.0.0.1", 1))
    (shape,) = http.get("/connections.json").json()["connections"]
    assert (shape["identified"], shape["tls"]) == (None, None)
    record.path = Path.read("/svc/web")
    record.identified_at = record.clock + 0.25
    envelope = Envelope(record.source, ("127.0.0.1", 7474), 0.0)
    peer = PeerCertificate("me", ("a.example",), ())
    record.envelope = envelope.with_tls("b.example", "h2", peer, ("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    (shape,) = http.get("/connections.json").json()["connections"]
    assert shape["identified"] == {"at": 0.25, "by": "io.l5d.sni"}
    assert shape["server"] == "127.0.0.1:7474"
    assert shape["tls"] == {
        "version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "serverName": "b.example",
        "alpn": "h2",
        "peer": {"cn": "me", "dns": ["a.example"], "uris": []},
    }
    logged = as_json(record, with_steps=False)
    assert "tls" in logged
    record.envelope = None
    assert as_json(record, with_steps=False).keys() == logged.keys() - {"tls"}


def test_a_record_that_closed_since_it_was_found_is_not_shown_as_open() -> None:
    record = Record(1, "default", "127.0.0.1:7474", ("10.0.0.1", 1))
    query = Query(state="open")
    assert query.matches(record)
    record.duration = 1.0
    assert not query.matches(record)


def test_ids_of_several_workers_are_in_one_order_the_higher_worker_first_where_numbers_are_alike() -> None:
    places = [place(id_) for id_ in ("0-1f", "1-1f", "0-20")]
    assert places == sorted(places) == [(31, 0), (31, 1), (32, 0)]
    after = Query.read({"after": "1-1f"})
    records = {
        (number, worker): Record(number, "default", "127.0.0.1:7474", ("10.0.0.1", 1), worker)
        for number in (30, 31, 32)
        for worker in (0, 1, 2)
    }
    assert [at for at, record in records.items() if after.matches(record)] == [(30, 0), (30, 1), (30, 2), (31, 0)]


@pytest.mark.parametrize("id_", ["", "-", "0-", "-1", "x-1", "0-x", "²-1", "0_1"])
def test_what_is_no_id_is_refused(id_: str) -> None:
    with pytest.raises(ValueError, match=r"id|int"):
        place(id_)

"""/connections and /connections/ID: every view has an address, and no stranger's text is more than text."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest

from linkerd_tcp.dashboard.connections_page import MOST_NEW
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.path import Path
from linkerd_tcp.record import Record
from linkerd_tcp.wire.proxy_protocol import Authority, build_v2, parse
from linkerd_tcp.wire.proxy_protocol_header import Parsed
from linkerd_tcp.workers import gather
from tests.admin.conftest import Http, _hurry, app, endpoints, make_app
from tests.admin.fake import FakeApp
from tests.sockets import eventually
from tests.workers.conftest import front, make_workers, workers
from tests.workers.fake import FakeWorker, Front

__all__ = ["_hurry", "app", "endpoints", "front", "make_app", "make_workers", "workers"]

SERVER = "127.0.0.1:7474"
MARKUP = "<img src=x onerror=alert(1)>"
HOSTILE = f"{MARKUP}\u202e\u0007'\""
HTML = {"Accept": "text/html"}


class Page(HTMLParser):
    """What a test wants of a page: its tags, links, rows of cells, and all its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self.fields: dict[str, str | None] = {}
        self.text = ""
        self._link: str | None = None
        self._in_body = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self._link = given.get("href") if tag == "a" else self._link
        self._in_body = self._in_body or tag == "tbody"
        if tag == "input":
            self.fields[str(given["name"])] = given.get("value")
        if tag == "tr" and self._in_body:
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._link = None if tag == "a" else self._link
        self._in_body = self._in_body and tag != "tbody"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._link is not None and data.strip():
            self.links[data.strip()] = self._link
        if self._in_body and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def http(app: FakeApp) -> Iterator[Http]:
    made = Http(app.url)
    yield made
    made.session.close()


@pytest.fixture
def over_all(front: Front) -> Iterator[Http]:
    made = Http(front.url)
    yield made
    made.session.close()


def begin(app: FakeApp, path: str | None = "/svc/web", source: str = "10.0.0.1") -> Record:
    record = app.book.begin("default", SERVER, (source, 4711))
    record.path = None if path is None else Path.read(path)
    return record


def end(app: FakeApp, record: Record, cause: Cause, detail: str | None = None) -> Record:
    record.end(cause, detail)
    app.book.end(record)
    return record


def connect(record: Record, endpoint: str = "127.0.0.1:8080") -> Record:
    record.bound = Path.read("/#/io.l5d.static/web")
    record.attempt(endpoint, None, 0.001)
    record.endpoint = endpoint
    record.step("connected")
    return record


@pytest.fixture
def some(app: FakeApp) -> list[Record]:
    """Three that failed, two that ended well, and one that is open."""
    made = [end(app, begin(app, f"/svc/{n}"), Cause.NOT_FOUND, "nobody knows it") for n in range(2)]
    refused = begin(app, source="10.0.0.2")
    refused.attempt("127.0.0.1:8081", Cause.REFUSED, 0.0004)
    made.append(end(app, refused, Cause.REFUSED, "127.0.0.1:8081: connection refused"))
    made += [end(app, connect(begin(app)), Cause.CLIENT_CLOSED) for _ in range(2)]
    return [*made, connect(begin(app))]


def page(http: Http, path: str = "/connections", status: int = 200) -> Page:
    answer = http.get(path, headers=HTML)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8"), answer.text
    return Page(answer.text)


def outcomes(found: Page) -> list[str]:
    return [row[0] for row in found.rows]


# -- the table


def test_all_are_shown_the_newest_first(http: Http, some: list[Record]) -> None:
    found = page(http)
    assert outcomes(found) == ["open", "client closed", "client closed", "refused", "not found", "not found"]
    refused = found.rows[3]
    assert refused[2:5] == ["10.0.0.2:4711", "/svc/web", "127.0.0.1:8081"]
    assert refused[-1] == "1 in vain"
    assert "6 of 6" in found.text


@pytest.mark.parametrize(
    ("tab", "number", "expected"),
    [
        ("Open", 1, ["open"]),
        ("Failed", 3, ["refused", "not found", "not found"]),
        ("Closed", 5, ["client closed", "client closed", "refused", "not found", "not found"]),
        ("All", 6, ["open", "client closed", "client closed", "refused", "not found", "not found"]),
    ],
)
def test_each_tab_is_a_link_and_says_how_many(
    http: Http, some: list[Record], tab: str, number: int, expected: list[str]
) -> None:
    start = page(http, "/connections?path=/svc")
    found = page(http, start.links[tab])
    assert outcomes(found) == expected
    assert f"{number} of {number}" in found.text
    assert found.fields["path"] == "/svc", "the filter goes on in another tab"


def test_counts_of_causes_are_links_to_them_and_back(http: Http, some: list[Record]) -> None:
    start = page(http, "/connections?state=failed")
    assert re.search(r"not found\s+2\s+refused\s+1", start.text), "the most frequent first"
    assert "client closed" not in start.text, "which is no failure"
    chosen = page(http, start.links["refused"])
    assert outcomes(chosen) == ["refused"]
    assert outcomes(page(http, chosen.links["not found"])) == ["not found", "not found"]
    assert len(page(http, chosen.links["refused"]).rows) == 3


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ("source=10.0.0.2", 1),
        ("path=/svc/web", 4),
        ("endpoint=127.0.0.1:8081", 1),
        ("cause=not_found", 2),
        ("router=default", 6),
        ("router=other", 0),
        ("source=10.0.0.2&path=&cause=", 1),
    ],
)
def test_the_form_filters_and_keeps_what_was_asked_for(
    http: Http, some: list[Record], arguments: str, number: int
) -> None:
    found = page(http, f"/connections?{arguments}")
    assert len(found.rows) == number
    asked = dict(each.split("=") for each in arguments.split("&"))
    assert {key: found.fields[key] for key in asked if key in found.fields} == {
        key: value for key, value in asked.items() if key in found.fields
    }
    assert ("Clear" in found.links) == bool(asked)
    if not number:
        assert "None like that" in found.text


def test_pages_follow_one_another_by_links(http: Http, some: list[Record]) -> None:
    found = page(http, "/connections?limit=4")
    assert len(found.rows) == 4
    older = page(http, found.links["Older"])
    assert outcomes(older) == ["not found", "not found"]
    assert "Older" not in older.links
    assert outcomes(page(http, older.links["The newest"])) == outcomes(found)


def test_with_nothing_to_show_it_says_so(http: Http, app: FakeApp) -> None:
    assert "None has come yet" in page(http).text
    assert "None is open" in page(http, "/connections?state=open").text
    assert "None has failed" in page(http, "/connections?state=failed").text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("cause=bad_luck", "no such cause 'bad_luck'"),
        ("state=shut", "state is open, closed or failed, not 'shut'"),
        ("limit=none", "limit is a number"),
        ("after=x", "after is the id of a connection"),
        ("colour=red", "unknown parameter 'colour'"),
        (f"cause={MARKUP}", f"no such cause '{MARKUP}'"),
    ],
)
def test_a_wrong_filter_is_said_beside_the_form_that_still_has_the_others(
    http: Http, some: list[Record], arguments: str, words: str
) -> None:
    found = page(http, f"/connections?source=10.0.0.2&{arguments}", 400)
    assert words in found.text
    assert found.fields["source"] == "10.0.0.2"
    assert found.rows == []
    assert "img" not in found.tags


def test_newer_ones_are_counted_in_words_by_the_same_filters(http: Http, app: FakeApp, some: list[Record]) -> None:
    ask = re.search(r'data-ask="([^"]+)"', http.get("/connections?state=failed", headers=HTML).text)
    assert ask is not None
    address = ask[1].replace("&amp;", "&")
    assert http.get(address).json() == {"words": ""}
    end(app, begin(app), Cause.NOT_FOUND)
    connect(begin(app))
    assert http.get(address).json() == {"words": "1 new: show it"}
    end(app, begin(app), Cause.NOT_FOUND)
    assert http.get(address).json() == {"words": "2 new: show them"}
    for _ in range(MOST_NEW):
        end(app, begin(app), Cause.NOT_FOUND)
    assert http.get(address).json() == {"words": f"more than {MOST_NEW} new: show the newest"}
    assert http.get("/connections/newer.json?since=x").status_code == 400


def test_an_empty_table_hears_of_the_first_one(http: Http, app: FakeApp) -> None:
    ask = re.search(r'data-ask="([^"]+)"', http.get("/connections", headers=HTML).text)
    assert ask is not None
    begin(app)
    assert http.get(ask[1].replace("&amp;", "&")).json() == {"words": "1 new: show it"}


# -- the story


def test_a_failed_one_explains_itself_and_leads_on(http: Http, some: list[Record]) -> None:
    address = f"/connections/{some[2].id}"
    assert f'href="{address}"' in http.get("/connections", headers=HTML).text
    found = page(http, address)
    assert "127.0.0.1:8081 actively refused after 0.4 ms: connection refused." in found.text
    assert "Start the server there" in found.text
    assert found.links["Overview"] == "/"
    assert found.links["127.0.0.1:8081"] == "/connections?endpoint=127.0.0.1%3A8081"
    assert len(page(http, found.links["127.0.0.1:8081"]).rows) == 1
    assert len(page(http, found.links["10.0.0.2:4711"]).rows) == 1
    delegator = next(href for href in found.links.values() if href.startswith("/delegator#"))
    assert delegator == "/delegator#router=default&path=/svc/web"
    assert "button" in found.tags


def test_the_story_is_there_as_text_too(http: Http, some: list[Record]) -> None:
    address = f"/connections/{some[2].id}"
    text = http.get(f"{address}.txt")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.text.startswith(f"Connection {some[2].id}: refused\n")
    assert "tried 127.0.0.1:8081: refused after 0.4 ms" in text.text
    assert http.get(address, headers={"Accept": "text/plain"}).text == text.text
    assert http.get(address, headers={"Accept": "text/html,*/*;q=0.8"}).text.startswith("<!doctype html>")


def test_how_it_was_bound_is_told_by_the_entries_of_the_dtab(http: Http, some: list[Record]) -> None:
    text = http.get(f"/connections/{some[-1].id}.txt").text
    assert "bound to /#/io.l5d.static/web (by /svc => /#/io.l5d.static)" in text


def test_what_led_nowhere_is_shown_as_it_is_now_where_no_explanation_was_kept(http: Http, some: list[Record]) -> None:
    found = page(http, f"/connections/{some[0].id}")
    assert re.search(r"Where\s+/svc/0\s+leads now", found.text)
    assert "/#/io.l5d.static/0 (by /svc => /#/io.l5d.static): not found" in found.text
    some[1].explanation = {"type": "neg", "path": "/svc/1"}
    assert re.search(r"Where\s+/svc/1\s+led", page(http, f"/connections/{some[1].id}").text)


def test_an_open_one_can_be_followed_and_closed(http: Http, app: FakeApp, some: list[Record]) -> None:
    client = app.connect()
    (shown,) = http.get("/connections.json?state=open&source=127.0.0.1").json()["connections"]
    address = f"/connections/{shown['id']}"
    assert 'id="close"' in http.get(address, headers=HTML).text
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
    told = http.get(f"{address}.json").json()
    assert (told["ended"], told["head"]["rx"]["value"], told["connection"]["id"]) == (False, 5, shown["id"])
    assert http.post(f"{address}/close").status_code == 200
    eventually(lambda: http.get(f"{address}.json").json()["ended"])
    ended = http.get(f"{address}.json").json()
    assert "Somebody closed it from the admin server" in ended["head"]["verdict"]
    assert ended["lines"][-1]["text"].startswith("ended: closed by admin")
    assert 'id="close"' not in http.get(address, headers=HTML).text
    client.close()


def test_a_read_only_page_closes_nothing(make_app: Callable[[str], FakeApp]) -> None:
    app = make_app(", readOnly: true")
    record = connect(begin(app))
    http = Http(app.url)
    assert 'id="close"' not in http.get(f"/connections/{record.id}", headers=HTML).text
    http.session.close()
    app.book.open.clear()


@pytest.mark.parametrize("id_", ["0-ffffff", "1-1", "nonsense", "0-", MARKUP])
def test_one_that_is_not_remembered_is_a_page_in_words(http: Http, id_: str) -> None:
    found = page(http, f"/connections/{id_}", 404)
    assert id_ in found.text
    assert "3\u202f000 that ended well and 7\u202f000 that failed" in found.text
    assert found.links["All connections"] == "/connections"
    assert "img" not in found.tags
    assert http.get(f"/connections/{id_}.json").status_code == 404
    assert "7\u202f000" in http.get(f"/connections/{id_}.txt").json()["error"]


def test_a_form_that_there_is_not_is_refused(http: Http, some: list[Record]) -> None:
    assert http.get(f"/connections/{some[0].id}.xml").status_code == 404


# -- strangers' texts


def hostile(app: FakeApp) -> Record:
    record = begin(app, None)
    record.path = Path(("svc", HOSTILE))
    record.bound = Path(("#", HOSTILE))
    header = parse(build_v2(("10.0.0.1", 4711), ("10.0.0.2", 1), [Authority(HOSTILE)]))
    assert isinstance(header, Parsed)
    tls = Envelope(record.source, ("127.0.0.1", 1), 0.0, proxy=header)
    record.envelope = tls.with_tls(HOSTILE, HOSTILE, None, ("TLSv1.3", HOSTILE))
    for step in ("PROXY header", "TLS"):
        record.step(step)
    record.attempt("127.0.0.1:1", Cause.OTHER, 0.1)
    record.explanation = {"type": "exception", "path": HOSTILE, "message": HOSTILE}
    return end(app, record, Cause.OTHER, HOSTILE)


def test_strangers_texts_are_shown_as_text_and_move_nothing(http: Http, app: FakeApp) -> None:
    record = hostile(app)
    for path in ("/connections", f"/connections/{record.id}", f"/connections/{record.id}.txt"):
        answer = http.get(path, headers=HTML)
        assert answer.status_code == 200
        assert "\u202e" not in answer.text
        assert "\u0007" not in answer.text
        if path.endswith(".txt"):
            assert MARKUP in answer.text
        else:
            found = Page(answer.text)
            assert "img" not in found.tags
            assert f"{MARKUP}\\u202e\\x07" in found.text
            assert MARKUP not in answer.text


def test_links_to_strangers_names_find_them(http: Http, app: FakeApp) -> None:
    record = hostile(app)
    found = page(http, f"/connections/{record.id}")
    (link,) = {href for href in found.links.values() if "path=%2Fsvc" in href and href.startswith("/connections")}
    assert len(page(http, link).rows) == 1


def test_a_name_that_utf8_cannot_have_breaks_no_page(http: Http, app: FakeApp) -> None:
    record = begin(app, None)
    record.path = Path(("svc", "\udcff" * 300))
    end(app, record, Cause.NOT_FOUND, "\udcff")
    assert len(page(http).rows[0][3]) < 80 * len("\\udcff") + 10
    assert "\\udcff" in page(http, f"/connections/{record.id}").text


# -- several workers


def test_all_workers_are_in_one_table_and_each_story_is_asked_of_its_own(
    over_all: Http, workers: list[FakeWorker]
) -> None:
    for worker in workers:
        end(worker, begin(worker, f"/svc/of-{worker.number}"), Cause.NOT_FOUND)
        end(worker, connect(begin(worker)), Cause.CLIENT_CLOSED)
    found = page(over_all)
    assert sorted(outcomes(found)) == ["client closed", "client closed", "not found", "not found"]
    assert re.search(r"client closed\s+2\s+not found\s+2", found.text)
    assert "4 of 4" in found.text
    for worker in workers:
        (failed,) = worker.book._failed
        story = page(over_all, f"/connections/{failed.id}")
        assert f"No rule of the dtab leads anywhere for /svc/of-{worker.number}" in story.text
        assert f"/svc/of-{worker.number}" in over_all.get(f"/connections/{failed.id}.txt").text
        gone = f"{worker.number}-1"
        assert f"No connection '{gone}'" in page(over_all, f"/connections/{gone}", 404).text
    assert "No connection '7-1'" in page(over_all, "/connections/7-1", 404).text
    page(over_all, "/connections?cause=bad_luck", 400)


def test_a_worker_that_does_not_answer_is_named(
    over_all: Http, workers: list[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = [end(worker, begin(worker), Cause.NOT_FOUND) for worker in workers]
    monkeypatch.setattr(gather, "DEADLINE_SECS", 0.2)
    monkeypatch.setattr(gather, "AGAIN_SECS", 0.2)
    workers[1].stop_answering()
    found = page(over_all)
    assert outcomes(found) == ["not found"]
    assert "the connections of worker 1, which does not answer" in found.text
    answer = over_all.get(f"/connections/{failed[1].id}", headers=HTML)
    assert answer.status_code == 504
    assert "worker 1, whose it is, does not answer" in answer.text
    assert page(over_all, f"/connections/{failed[0].id}").rows == []

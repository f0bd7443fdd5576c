"""The overview stays current: on real sockets, for many who look, and for nobody at no cost."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from time import monotonic
from typing import Any

import gevent
import pytest

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.frame import read_frame
from linkerd_tcp.admin.server import LIMITS
from linkerd_tcp.dashboard.cells import moment
from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.dashboard.live import Live
from linkerd_tcp.dashboard.news import QUIET_SECS, News
from linkerd_tcp.dashboard.trouble import Item
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.dashboard.frames import destination, failed, frame, router
from tests.rig import Endpoint
from tests.sockets import eventually
from tests.workers.fake import Front

WEB = "/#/io.l5d.static/web"
READ = "linkerd_tcp.admin.shown.read_frame"


class Stream:
    """What a browser's EventSource reads."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.sendall(b"GET /overview.events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(self._header_lines())

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(": ")
            yield name.lower(), value

    def _text(self) -> Iterator[bytes]:
        """The chunks' lines."""
        rest = b""
        while length := int(self._file.readline() or b"0", 16):
            rest += self._file.read(length)
            self._file.readline()
            *lines, rest = rest.split(b"\n")
            yield from lines

    def events(self) -> Iterator[tuple[str, Any]]:
        """(type, data) until the end; `retry` is one of them."""
        kind = "message"
        for line in self._text():
            field, _, value = line.decode().partition(": ")
            if field == "event":
                kind = value
            elif field == "retry":
                yield "retry", int(value)
            elif field == "data":
                yield kind, json.loads(value)
                kind = "message"

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def following(address: tuple[str, int]) -> Iterator[Stream]:
    stream = Stream(address)
    try:
        yield stream
    finally:
        stream.close()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When a frame was read."""
    times: list[float] = []

    def counted(app: Controls) -> Frame:
        times.append(monotonic())
        return read_frame(app)

    monkeypatch.setattr(READ, counted)
    return times


# -- the stream


def test_the_first_event_comes_at_once_and_the_next_within_two_seconds(app: FakeApp) -> None:
    with following(app.admin.address) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        events = stream.events()
        began = monotonic()
        assert next(events) == ("retry", 2000)
        kind, first = next(events)
        assert (kind, first["key"]) == ("message", "view")
        assert monotonic() - began < 1
        kind, second = next(events)
        assert second["at"]["value"] > first["at"]["value"]
        assert monotonic() - began < 3


def test_it_ends_with_a_word_when_the_server_stops(app: FakeApp) -> None:
    with following(app.admin.address) as stream:
        events = stream.events()
        next(events), next(events)
        began = monotonic()
        closing = gevent.spawn(app.admin.close)
        assert [kind for kind, _ in events][-1] == "bye"
        closing.get(timeout=5)
        assert monotonic() - began < 1
    eventually(lambda: app.capacity.used == 0)


def test_over_the_bound_it_is_a_503_and_the_page_can_ask_instead(app: FakeApp, http: Http) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.max_followers):
            assert stack.enter_context(following(app.admin.address)).status == 200
        refused = stack.enter_context(following(app.admin.address))
        assert refused.status == 503
        assert refused.headers["content-type"] == "application/json"
        assert http.get("/overview.json").json()["key"] == "view"
        assert http.get("/").status_code == 200
    eventually(lambda: _admits(app))


def _admits(app: FakeApp) -> bool:
    with following(app.admin.address) as stream:
        return stream.status == 200


def test_a_head_of_the_stream_ends(http: Http) -> None:
    answer = http.ask("HEAD", "/overview.events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_who_does_not_read_costs_the_others_nothing(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    large = frame(*(router(destination(failed(lastError="x" * 150)), label=f"{n}" * 100) for n in range(400)))
    monkeypatch.setattr(READ, lambda _: {**large, "at": monotonic()})
    with ExitStack() as stack:
        for _ in range(5):
            stuck = socket.socket()
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(app.admin.address)
            stack.callback(stuck.close)
            stuck.sendall(b"GET /overview.events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream = stack.enter_context(following(app.admin.address))
        events = stream.events()
        next(events)
        times = [(next(events), monotonic())[1] for _ in range(4)]
        assert all(later - earlier < 2 for earlier, later in pairwise(times))


def test_it_is_of_all_workers_together(front: Front) -> None:
    address = ("127.0.0.1", int(front.url.rpartition(":")[2]))
    with following(address) as stream:
        events = stream.events()
        next(events)
        _, view = next(events)
        assert [row["worker"] for row in view["workers"]] == ["0", "1"]


# -- what it costs


def test_one_frame_is_read_for_all_who_look_and_none_for_nobody(app: FakeApp, reads: list[float]) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(following(app.admin.address)) for _ in range(8)]
        started = monotonic()
        for stream in streams:
            events = stream.events()
            next(events), next(events), next(events)
        assert len(reads) <= 3 + (monotonic() - started)
    eventually(lambda: _is_quiet(reads))


def _is_quiet(reads: list[float]) -> bool:
    """Nothing was read for more than one and a half ticks."""
    return monotonic() - reads[-1] > 1.6


def test_who_asks_often_gets_the_same_for_a_second(app: FakeApp, http: Http, reads: list[float]) -> None:
    answers = [http.get("/overview.json").content for _ in range(5)]
    assert len(set(answers)) == len(reads) == 1
    eventually(lambda: http.get("/overview.json").content != answers[0])


def test_many_who_ask_at_once_wait_for_one_frame() -> None:
    made: list[int] = []

    def slow() -> Frame:
        made.append(1)
        gevent.sleep(0.05)
        return frame()

    live = Live(slow)
    asking = [gevent.spawn(live.shot) for _ in range(20)]
    gevent.joinall(asking, raise_error=True)
    assert len(made) == 1


# -- what goes wrong


def test_a_frame_that_cannot_be_read_is_said_in_the_stream_and_does_not_end_it(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [True]

    def sometimes(app: Controls) -> Frame:
        if broken:
            raise ZeroDivisionError("no such luck")
        return read_frame(app)

    monkeypatch.setattr(READ, sometimes)
    with following(app.admin.address) as stream:
        events = stream.events()
        next(events)
        told = [next(events) for _ in range(3)]
        assert {kind for kind, _ in told} == {"trouble"}
        assert "luck" not in told[0][1]["error"]
        assert caplog.text.count("please report this") == 1
        broken.clear()
        assert any(kind == "message" for kind, _ in (next(events) for _ in range(3)))


# -- the same as elsewhere


def fail(app: FakeApp) -> dict[str, Any]:
    """The row of the first endpoint, failed as it would be by connections that are refused."""
    app.connect().close()
    eventually(lambda: not app.book.open)
    (balancer,) = app.routers["default"].balancers()
    endpoint = next(iter(balancer._endpoints))
    endpoint.last_error, endpoint.failures = f"{endpoint.text}: connection refused", 5
    for _ in range(5):
        balancer._fail_fast.failed(endpoint)
    return next(row for row in balancer.endpoints_json() if row["address"] == endpoint.text)


def test_a_failed_endpoint_is_said_as_bindings_json_has_it(app: FakeApp, http: Http, endpoints: list[Endpoint]) -> None:
    fail(app)
    (binding,) = http.get("/bindings.json").json()["routers"][0]["bindings"]
    row = next(each for each in binding["balancers"][0]["endpoints"] if each["state"] == "failed")
    view = http.get("/overview.json").json()
    (item,) = view["attention"]
    assert item["what"]["text"] == f"{row['address']} of {WEB}"
    assert item["since"]["value"] == moment(row["failedSince"])
    assert "after 5 failures in a row: connection refused." in item["why"]
    assert "One connection tries it again in" in item["does"]
    assert item["does"].endswith("Traffic goes to the other endpoint.")
    page = http.get("/").text
    for part in (item["what"]["text"], moment(row["failedSince"]), "connection refused"):
        assert part in page


def test_the_page_is_there_without_its_script_and_follows_the_same_shape(app: FakeApp, http: Http) -> None:
    with app.connect():
        eventually(lambda: http.get("/overview.json").json()["figures"][0]["value"]["value"] == 1)
        page = http.get("/").text
    assert "/svc/web" in page
    assert "2 of 2 available" in page


@pytest.mark.parametrize("over", ["http", "over_workers"])
def test_before_any_connection_the_page_says_where_to_send_one(over: str, request: pytest.FixtureRequest) -> None:
    http: Http = request.getfixturevalue(over)
    page = http.get("/").text
    assert "A destination appears here when the first connection for it arrives." in page
    assert "Nothing needs attention. No connection has come yet." in page


def test_what_may_be_done_is_not_offered_where_nothing_may(make_app: Callable[[str], FakeApp]) -> None:
    app = make_app(", readOnly: true")
    app.connect().close()
    asked = Http(app.url)
    assert 'class="drain"' not in asked.get("/").text
    asked.session.close()


# -- news


def item(key: str) -> Item:
    return Item(0, {"key": key}, f"{key} failed")


def test_news_is_what_has_changed_and_seldom() -> None:
    news = News()
    news.hear([item("a")], 0.0)
    assert news.line == ""
    news.hear([item("a"), item("b")], 1.0)
    assert news.line == "b failed"
    news.hear([item("a"), item("b"), item("c")], 2.0)
    news.hear([item("a"), item("b"), item("c"), item("d")], 3.0)
    assert news.line == "b failed"
    news.hear([item("c"), item("d")], 1.0 + QUIET_SECS)
    assert news.line == "c failed, and 3 more"
    news.hear([], 2.0 + 2 * QUIET_SECS)
    assert news.line == "over: c failed, and 1 more"


def test_what_came_and_went_before_it_was_said_is_not_said() -> None:
    news = News()
    news.hear([], 0.0)
    news.hear([item("a")], 1.0)
    news.hear([item("a"), item("b")], 2.0)
    news.hear([item("a")], 3.0)
    news.hear([item("a")], 10.0)
    assert news.line == "a failed"

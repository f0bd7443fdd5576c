"""/logging: what the loggers say, at which level, who changed that; and nothing of a stranger's becomes markup."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from linkerd_tcp.dashboard.log_rows import MOST_CHARS, Filter, level_rows, line_row, own_rows
from linkerd_tcp.last_lines import LogLine
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.workers.fake import FakeWorker, Front

MARKUP = "<img src=x onerror=alert(1)>\u202e\x1b[2J"


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def line(message: str = "m", level: str = "info", at: float = 1.0, logger: str = "linkerd_tcp.app") -> LogLine:
    return LogLine(at, level, logger, message, "")


def messages(http: Http, arguments: str = "") -> list[str]:
    return [each["message"] for each in http.get(f"/log.json{arguments}").json()["lines"]]


# -- the last lines


def test_the_newest_line_is_first_on_the_page_and_last_in_json(app: FakeApp, http: Http) -> None:
    app.logs.say("first of two")
    app.logs.say("second of two")
    text = Page(http.get("/logging").text).text
    assert text.index("second of two") < text.index("first of two")
    assert messages(http) == ["first of two", "second of two"]


def test_lines_are_chosen_by_level_and_by_text_in_any_of_their_parts(app: FakeApp, http: Http) -> None:
    app.logs.say("all is well", "debug")
    app.logs.say("Nothing is", "error")
    app.logs.say("well, almost", "warning")
    assert messages(http, "?level=warning") == ["Nothing is", "well, almost"]
    assert messages(http, "?text=WELL") == ["all is well", "well, almost"]
    assert messages(http, "?text=well&level=info") == ["well, almost"]
    assert messages(http, "?text=linkerd_tcp.APP&level=error") == ["Nothing is"]
    page = Page(http.get("/logging?level=error&text=nothing").text).text
    assert "1 of 3 remembered lines match" in page
    assert "almost" not in page


def test_only_the_last_are_shown_and_how_many_there_are_is_said(app: FakeApp, http: Http) -> None:
    for number in range(450):
        app.logs.say(f"number-{number}-")
    text = http.get("/logging").text
    assert text.count("number-") == 200
    assert "450 lines are remembered; the last 200 are shown" in text
    answer = http.get("/log.json?limit=3").json()
    assert (len(answer["lines"]), answer["more"]) == (3, 447)


def test_what_is_later_than_a_time_can_be_asked_for(app: FakeApp, http: Http) -> None:
    for at in (10.0, 11.25, 12.0):
        app.logs.say(str(at), at=at)
    assert messages(http, "?after=10.0") == ["11.25", "12.0"]
    assert messages(http, "?after=11.25") == ["12.0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("level=loud", "'loud' is no log level"),
        ("after=noon", "after is a time"),
        ("limit=-1", "from 0 to"),
        ("limit=100000", "from 0 to"),
        ("text=" + "x" * 300, "at most 200 characters"),
    ],
)
@pytest.mark.parametrize("path", ["/log.json", "/logging", "/logging/news.json"])
def test_a_wrong_filter_is_refused_in_words(http: Http, path: str, arguments: str, words: str) -> None:
    answer = http.get(f"{path}?{arguments}")
    assert answer.status_code == 400
    assert words in answer.text


def test_markup_in_a_line_a_logger_or_a_filter_stays_text(app: FakeApp, http: Http) -> None:
    plain = Page(http.get("/logging").text).tags
    app.logs.said.append(line(MARKUP, logger=MARKUP))
    page = Page(http.get("/logging", params={"text": MARKUP[:20]}).text)
    assert "img" not in page.tags
    assert set(page.tags) <= {*plain, "bdi", "time"}
    assert "<img src=x onerror=alert(1)>\\u202e\\x1b[2J" in page.text
    assert "\u202e" not in page.text


def test_a_traceback_is_folded_below_its_first_line() -> None:
    row = line_row(line("failed\nTraceback:\n  File <x>\nZeroDivisionError"), 1.0)
    assert row["message"] == "failed"
    assert row["folded"] == ["failed", "Traceback:", "  File <x>", "ZeroDivisionError"]
    assert line_row(line("short"), 1.0)["folded"] == []
    long = line_row(line("x" * 3000), 1.0)
    assert (len(long["message"]), long["folded"]) == (MOST_CHARS, ["x" * 3000])


def test_a_line_of_another_day_says_which() -> None:
    assert line_row(line(at=3723.5), 80_000.0)["at"]["text"] == "01:02:03.500"
    assert line_row(line(at=3723.5), 90_000.0)["at"]["text"] == "1970-01-01 01:02:03.500"


def test_levels_without_a_word_of_their_own_are_compared_as_numbers() -> None:
    lines = [line("a", "35"), line("b", "15"), line("c", "critical")]
    assert [each.message for each in Filter(level="warning").of(lines)] == ["a", "c"]


def test_an_open_page_is_told_how_many_lines_are_new_but_not_of_its_own_requests(app: FakeApp, http: Http) -> None:
    after = float(re.findall(r'data-after="([0-9.]+)"', http.get("/logging").text)[0])
    assert http.get(f"/logging/news.json?after={after}").json()["refresh"] == "Refresh"
    app.logs.say("x", at=after + 1)
    app.logs.said.append(line("GET /logging/news.json", "debug", after + 2, "linkerd_tcp.web.handler"))
    assert http.get(f"/logging/news.json?after={after}").json()["refresh"] == "Refresh: 1 new line"
    assert http.get(f"/logging/news.json?after={after}&level=error").json()["refresh"] == "Refresh"


# -- the levels


def test_a_logger_is_shown_with_its_level_and_whose_that_is() -> None:
    levels = [
        {"logger": "linkerd_tcp", "level": "info", "from": "linkerd_tcp"},
        {"logger": "linkerd_tcp.app", "level": "info", "from": "linkerd_tcp"},
        {"logger": "linkerd_tcp.server", "level": "debug", "from": "linkerd_tcp.server", "changedAt": 3600.0,
         "changedBy": "127.0.0.9", "endsAt": 7800.0},
        {"logger": "namers", "level": "error", "from": "namers", "changedAt": 60.0, "changedBy": None, "endsAt": None},
    ]  # fmt: skip
    rows = level_rows(levels, 7200.0)
    assert [(row["key"], row["level"], row["from"]) for row in rows] == [
        ("linkerd_tcp", "info", "its own"),
        ("linkerd_tcp.app", "info", "as linkerd_tcp"),
        ("linkerd_tcp.server", "debug", "its own"),
        ("namers", "error", "its own"),
    ]
    changes = [row["changed"] if isinstance(row["changed"], str) else row["changed"]["text"] for row in rows]
    assert changes[:2] == ["no", "no"]
    assert changes[2] == "at 01:00:00 UTC by 127.0.0.9; back in 10 min, at 02:10:00 UTC"
    assert changes[3] == "at 00:01:00 UTC; back at restart"
    assert [row["key"] for row in own_rows(rows)] == ["linkerd_tcp", "linkerd_tcp.server", "namers"]
    assert [row["unchanged"] for row in rows] == ["hidden", "hidden", "", ""]


def test_a_level_is_set_for_a_time_by_the_address_that_asks(app: FakeApp, http: Http) -> None:
    body = {"logger": "linkerd_tcp", "level": "debug"}
    assert http.post("/logging.json", json={**body, "forSecs": 600}).status_code == 200
    assert http.post("/logging.json", data={**body, "forSecs": "2.5"}).status_code == 200
    assert http.post("/logging.json", json=body).status_code == 200
    assert app.logs.set == [("127.0.0.1", 600.0), ("127.0.0.1", 2.5), ("127.0.0.1", None)]


@pytest.mark.parametrize("secs", [0, -1, 86_401, "soon", True, "nan", "inf", [], {"a": 1}])
def test_a_time_that_is_none_or_too_long_is_refused_and_nothing_is_set(app: FakeApp, http: Http, secs: object) -> None:
    fields = {"logger": "linkerd_tcp", "level": "debug", "forSecs": secs}
    answer = http.post("/logging.json", json=fields)
    assert answer.status_code == 400
    assert "forSecs is a number of seconds from 1 to 86400" in answer.json()["error"]
    assert app.logs.level == "info"


def test_read_only_shows_levels_and_says_why_there_are_no_buttons(make_app: Callable[[str], FakeApp]) -> None:
    app = make_app(", readOnly: true")
    http = Http(app.url)
    page = http.get("/logging")
    http.session.close()
    assert "admin.readOnly is set in the configuration" in page.text
    main = page.text[page.text.index("<main") : page.text.index("</main>")]
    assert "<button" not in main.replace("<button>Show</button>", "")
    assert 'id="change"' not in main


# -- several processes


def test_the_lines_of_all_processes_are_one_log(front: Front, workers: list[FakeWorker], over_workers: Http) -> None:
    for number, worker in enumerate(workers):
        worker.logs.worker = str(number)
    workers[1].logs.say("of worker 1", at=11.0)
    workers[0].logs.say("of worker 0", at=10.0)
    workers[0].logs.say("later", at=14.0)
    front.logs.say("of admin", at=12.0)
    front.fleet.logs.say("of supervisor", at=13.0)
    found = over_workers.get("/log.json").json()
    assert "missing" not in found
    assert [(each["worker"], each["message"]) for each in found["lines"]] == [
        ("0", "of worker 0"),
        ("1", "of worker 1"),
        ("admin", "of admin"),
        ("supervisor", "of supervisor"),
        ("0", "later"),
    ]
    assert "worker 1" in Page(over_workers.get("/logging").text).text


def test_whose_lines_are_missing_is_said(
    front: Front, workers: list[FakeWorker], over_workers: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkerd_tcp.workers.gather.DEADLINE_SECS", 0.2)
    workers[1].stop_answering()
    front.fleet.deaf = True
    workers[0].logs.say("of worker 0")
    found = over_workers.get("/log.json").json()
    assert [each["message"] for each in found["lines"]] == ["of worker 0"]
    assert set(found["missing"]) == {"worker 1", "the supervisor"}
    page = Page(over_workers.get("/logging").text).text
    assert "the lines of worker 1: no answer within" in page
    assert "the lines of the supervisor: the supervisor does not answer" in page


def test_a_level_for_a_time_is_told_to_all(workers: list[FakeWorker], over_workers: Http) -> None:
    body = {"logger": "linkerd_tcp", "level": "debug", "forSecs": 60}
    assert over_workers.post("/logging.json", json=body).status_code == 200
    assert [worker.logs.set for worker in workers] == [[("127.0.0.1", 60.0)]] * 2

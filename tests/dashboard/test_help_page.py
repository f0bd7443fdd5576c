"""/help, and the text for a bug report: everything that helps, nothing that is secret."""

from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from linkerd_tcp import __version__
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.dashboard import report as report_module
from linkerd_tcp.dashboard.help_page import DOCUMENTS, PATHS
from linkerd_tcp.dashboard.report import MOST_BYTES, clean
from linkerd_tcp.transition import Reloaded
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.dashboard.test_logging_page import Page
from tests.workers.fake import FakeWorker, Front

ROOT = Path(__file__).parent.parent.parent
HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b[2J"


def report(http: Http) -> str:
    answer = http.get("/help/report.txt")
    assert answer.status_code == 200
    return answer.text


# -- the page


def test_it_says_what_runs_here(http: Http) -> None:
    text = Page(http.get("/help").text).text
    for words in (f"Version {__version__}", "Python 3.", "gevent 2", "Event loop lib", "Workers 1", "State ready"):
        assert words in text, words


def test_every_path_that_it_names_answers(http: Http) -> None:
    links = unescape(http.get("/help").text)
    for each, _ in PATHS:
        path = each.replace("{router}", "default")
        assert f'href="{path}"' in links
        assert http.get(path).status_code == 200, path


def test_every_document_that_it_names_is_there() -> None:
    assert [name for name, _ in DOCUMENTS if not (ROOT / name).is_file()] == []


def test_its_links_within_the_pages_lead_somewhere(http: Http) -> None:
    for path in ("/delegator", "/connections?state=failed"):
        assert f'href="{path}"' in http.get("/help").text
        assert http.get(path).status_code == 200


def test_remarks_are_shown_and_stay_text(app: FakeApp, http: Http) -> None:
    app.ready = (False, [f"namer {HOSTILE} is stale"])
    page = Page(http.get("/help").text)
    assert "img" not in page.tags
    assert "State not ready" in page.text
    assert "namer <img src=x onerror=alert(1)>\\u202e\\x1b[2J is stale" in page.text


# -- the report


def test_the_report_is_a_text_to_keep(http: Http) -> None:
    headers = http.get("/help/report.txt").headers
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Disposition"] == 'attachment; filename="linkerd-tcp-report.txt"'


def test_the_report_has_versions_state_figures_configuration_and_log(app: FakeApp, http: Http) -> None:
    app.connect().close()
    app.ready = (True, ["namer /#/x: stale"])
    app.last_reload = Reloaded(False, 3600.0, ("x.yml:1:1: wrong",))
    app.logs.say("it began\nTraceback: here", "error", at=3600.0)
    text = report(http)
    for words in (
        f"Version: {__version__}",
        "Libraries: gevent ",
        f"Listening: {app.servers[0].label} for default",
        "namer /#/x: stale",
        "last reload or start: refused, 1970-01-01T01:00:00Z",
        "  x.yml:1:1: wrong",
        'destination: bound="/#/io.l5d.static/web"',
        "endpoint: address=",
        "    dtab: |\n      /svc => /#/io.l5d.static ;",
        "1970-01-01T01:00:00Z ERROR linkerd_tcp.app it began\n    Traceback: here\n",
    ):
        assert words in text, words


def test_no_secret_is_in_the_report(app: FakeApp, http: Http, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nhunter2-of-key\n")
    (tmp_path / "cert.pem").write_text("hunter2-of-cert")
    (tmp_path / "password").write_text("hunter2-of-password")
    identity = "{privateKey: key.pem, certs: [cert.pem], passwordFile: password}"
    app.config = parse_config(
        f"""
namers: [{{kind: io.l5d.namerd, baseUrl: "http://me:hunter2@127.0.0.1:9/x", namespace: d}}]
routers:
  - label: default
    servers: [{{port: 0, dstName: /svc/x, tls: {{defaultIdentity: {identity}}}}}]
    interpreter: {{kind: io.l5d.namerd.http, baseUrl: "https://me:hunter2@n:4180", namespace: d}}
""",
        "secret.yml",
        tmp_path,
    )
    app.logs.say("GET http://me:hunter2@127.0.0.1:9/x failed, and so did https://hunter2@n:4180")
    app.ready = (True, ["http://me:hunter2@127.0.0.1:9: refused"])
    token = http.get("/").text.split('name="l5d-token" content="')[1].split('"')[0]
    for path in ("/help/report.txt", "/help", "/configuration", "/configuration.yaml"):
        text = http.get(path).text
        if path == "/help/report.txt":
            assert "hunter2" not in text
            assert token not in text
            assert "GET http://127.0.0.1:9/x failed, and so did https://n:4180" in text
        else:
            assert "hunter2-of" not in text
            assert "me:hunter2" not in text or path == "/help", path
    assert str(tmp_path / "password") in report(http), "the name of a file is no secret"


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("http://u:p@h/x", "http://h/x"),
        ("a tls://u@h b https://x:y@z", "a tls://h b https://z"),
        ("http://u:p@q@h/x", "http://h/x"),
        ("mail me@home", "mail me@home"),
        ("http://h/a@b", "http://h/a@b"),
        ("esc\x1b[2J\u202e", "esc\\x1b[2J\\u202e"),
    ],
)
def test_credentials_in_an_address_and_what_cannot_be_seen_are_left_out(line: str, cleaned: str) -> None:
    assert clean(line) == cleaned


def test_the_report_is_bounded_in_each_part(app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(500):
        app.logs.say(f"line-{number} " + "x\n" * 1500)
    text = report(http)
    assert len(text) < 6 * MOST_BYTES
    assert "(older ones are left out here)" in text
    assert "line-499 " in text
    monkeypatch.setattr(report_module, "MOST_BYTES", 500)
    text = report(http)
    assert text.count("... and more, which is left out here") == 2, "figures and configuration"
    assert len(text) < 6 * 1500


def test_the_last_lines_of_the_log_are_there_and_not_the_first(app: FakeApp, http: Http) -> None:
    for number in range(450):
        app.logs.say(f"number-{number}-")
    text = report(http)
    assert "number-449-" in text
    assert "number-250-" in text
    assert "number-249-" not in text


def test_names_of_strangers_cannot_forge_a_line(app: FakeApp, http: Http) -> None:
    app.logs.say("evil \x1b[2J\r \u2028 \u202e")
    text = report(http)
    assert all(line.isprintable() for line in text.split("\n"))


def test_workers_are_in_one_report(front: Front, workers: list[FakeWorker], over_workers: Http) -> None:
    for number, worker in enumerate(workers):
        worker.connect().close()
        worker.logs.worker = str(number)
        worker.logs.say(f"said by {number}")
    front.fleet.logs.say("said by the supervisor")
    text = report(over_workers)
    for words in ("[worker 0] said by 0", "[worker 1] said by 1", "[supervisor] said by the supervisor", "attempts=2"):
        assert words in text, words
    assert "worker: worker=1" in text


def test_read_only_has_all_of_it(make_app: Callable[[str], FakeApp]) -> None:
    http = Http(make_app(", readOnly: true").url)
    text, page = report(http), http.get("/help").text
    http.session.close()
    assert "read only" in text
    assert 'href="/help/report.txt"' in page

"""/configuration: what is in force, what of it the file says, and reading the file again."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from linkerd_tcp.config.load import effective, parse_config
from linkerd_tcp.errors import ConfigError
from linkerd_tcp.transition import Reloaded
from tests.admin.conftest import Http
from tests.admin.fake import FakeApp
from tests.admin.test_stalls import LONGEST_GAP_SECS, Client, best_gap
from tests.dashboard.test_logging_page import Page
from tests.workers.fake import FakeWorker, Front

HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def main_of(text: str) -> str:
    return text[text.index("<main") : text.index("</main>")]


def test_the_file_where_it_listens_and_every_line_are_on_the_page(app: FakeApp, http: Http) -> None:
    page = Page(main_of(http.get("/configuration").text))
    assert str(Path("test.yml").absolute()) in page.text
    assert "0 s ago" in page.text
    assert "in force as it was read" in page.text
    assert app.servers[0].label in page.text
    for words in (
        "line 2 admin:",
        "line 2 port: 0",
        "default graceSecs: 10.0",
        "- lb.example.com",
        "default tls: null",
    ):
        assert words in page.text, words


def test_only_what_the_file_says_can_be_asked_for(http: Http) -> None:
    page = Page(main_of(http.get("/configuration?only=file").text))
    assert "port: 0" in page.text
    assert "graceSecs" not in page.text
    assert "line 2 port: 0" in page.text
    assert "kind: default" not in page.text


def test_as_yaml_it_is_a_configuration_of_the_same_program(app: FakeApp, http: Http, tmp_path: Path) -> None:
    answer = http.get("/configuration.yaml")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert effective(parse_config(answer.text, "again.yml", tmp_path)) == effective(app.config)


def test_hostile_names_in_the_configuration_stay_text(app: FakeApp, http: Http, tmp_path: Path) -> None:
    plain = set(Page(http.get("/configuration").text).tags)
    text = f"""
namers: [{{kind: io.l5d.static, services: {{"{HOSTILE}": ["127.0.0.1:1"]}}}}]
routers: [{{label: "{HOSTILE}", dtab: "/svc => /#/io.l5d.static;", servers: [{{port: 0, dstName: /svc/x}}]}}]
"""
    app.config = parse_config(text.replace("\u202e", "\\u202e"), f"{HOSTILE}.yml", tmp_path)
    page = Page(http.get("/configuration").text)
    assert set(page.tags) <= plain
    assert "\u202e" not in page.text
    assert "<img src=x onerror=alert(1)>\\u202e.yml" in page.text
    assert 'label: "<img src=x onerror=alert(1)>\\u202e"' in page.text


def test_a_refused_reload_is_said_with_its_errors_until_one_is_good(app: FakeApp, http: Http) -> None:
    error = ConfigError([f"x.yml:1:1: {HOSTILE} is wrong", "x.yml:2:2: so is this"])
    app.last_reload = Reloaded(False, 3600.0, tuple(error.problems))
    page = Page(main_of(http.get("/configuration").text))
    assert "refused at 01:00:00 UTC" in page.text
    assert "everything stays as it was" in page.text
    assert "x.yml:1:1: <img src=x onerror=alert(1)>\\u202e is wrong" in page.text
    assert "x.yml:2:2: so is this" in page.text
    app.last_reload = Reloaded.now()
    assert "refused" not in main_of(http.get("/configuration").text)


def test_read_only_says_why_and_has_no_button_to_reload(make_app: Callable[[str], FakeApp]) -> None:
    http = Http(make_app(", readOnly: true").url)
    page = main_of(http.get("/configuration").text)
    http.session.close()
    assert "admin.readOnly is set in the configuration" in page
    assert 'id="reload"' not in page


def test_workers_have_the_same_without_lines(
    front: Front, workers: list[FakeWorker], over_workers: Http, tmp_path: Path
) -> None:
    for worker in workers:
        worker.config = worker.config.without_places()
    page = Page(main_of(over_workers.get("/configuration").text))
    assert "file port: 0" in page.text
    assert "default graceSecs: 10.0" in page.text
    assert workers[0].servers[0].label in page.text


def test_what_is_too_long_is_cut_and_said(app: FakeApp, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.dashboard.configuration_page.MOST_LINES", 20)
    page = main_of(http.get("/configuration").text)
    assert page.count("<tr") == 20 + 5, "20 lines, the one that says so, two heads and two addresses"
    assert "# and more" in page


@pytest.mark.alone
@pytest.mark.parametrize("path", ["/configuration", "/configuration.yaml", "/config.json"])
def test_ten_thousand_lines_hold_up_nobody(app: FakeApp, tmp_path: Path, path: str) -> None:
    services = "".join(f"\n      s{number}: ['10.0.0.1:80', '10.0.0.2:80']" for number in range(1_200))
    text = (
        f"namers:\n  - kind: io.l5d.static\n    services:{services}\n"
        "routers: [{label: default, servers: [{port: 0, dstName: /svc/x}]}]\n"
    )
    app.config = parse_config(text, "long.yml", tmp_path)
    gc.collect()
    gc.freeze()
    client = Client()
    try:
        size, _ = client.ask(app.url + path)
        assert size > 100_000
        assert best_gap(client, app.url + path) <= LONGEST_GAP_SECS
    finally:
        client.close()
        gc.unfreeze()

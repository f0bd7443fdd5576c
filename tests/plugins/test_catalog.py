"""A namer of another package, installed, in the real process."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gevent.pywsgi import WSGIServer

from tests.plugins.conftest import EXAMPLES, Run
from tests.system.harness import Proxy, until
from tests.system.peers import Backend, Client, backends

CONFIG = """\
admin: {{port: 0}}
namers:
  - kind: com.example.catalog
    url: {url}
    periodSecs: {period}
routers:
  - label: default
    servers: [{{port: 0, dstName: /svc/web}}]
"""


class Source:
    """Serves the catalog, or the `status` that a test wants."""

    def __init__(self) -> None:
        self.catalog: dict[str, Any] = {}
        self.status = "200 OK"
        self.server = WSGIServer(("127.0.0.1", 0), self.answer, log=None)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/catalog.json"

    def answer(self, _environ: Any, start_response: Any) -> list[bytes]:
        start_response(self.status, [])
        return [json.dumps(self.catalog).encode()]


@pytest.fixture
def source(_nothing_left: None) -> Iterator[Source]:
    made = Source()
    yield made
    made.server.stop()


@pytest.fixture
def two(_nothing_left: None) -> Iterator[list[Backend]]:
    with backends(2) as made:
        yield made


def test_it_passes_its_own_tests_and_the_contract_as_an_installed_package(run: Run, tmp_path: Path) -> None:
    for name in ("conftest.py", "test_catalog.py"):
        shutil.copy(EXAMPLES / "catalog" / name, tmp_path)
    done = run("pytest", "-q", "-p", "no:cacheprovider", "test_catalog.py")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_a_mistake_in_its_options_is_said_with_its_place(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "l5d.yml"
    config.write_text(CONFIG.format(url="ftp://127.0.0.1/", period=0))
    done = run("linkerd_tcp", "--check", "l5d.yml")
    assert done.returncode == 2
    url, period = done.stderr.splitlines()
    assert url.startswith("l5d.yml:4:10: namers[0].url: ")
    assert period.startswith("l5d.yml:5:17: namers[0].periodSecs: ")
    config.write_text(CONFIG.format(url="http://127.0.0.1:1/", period=5).replace("period", "perod"))
    done = run("linkerd_tcp", "--check", "l5d.yml")
    assert done.stderr == "l5d.yml:5:5: namers[0].perodSecs: unknown key (did you mean periodSecs?)\n"


def test_the_configurations_of_the_page_pass_their_check(run: Run, tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "plugins.md").read_text()
    namer, others = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for name, config in (("namer.yml", namer), ("others.yml", others)):
        (tmp_path / name).write_text(config)
        done = run("linkerd_tcp", "--check", name)
        assert (done.stdout, done.stderr) == ("ok\n", ""), config


def test_it_is_in_the_schema(run: Run) -> None:
    assert "com.example.catalog" in run("linkerd_tcp", "--schema").stdout


def test_a_name_of_its_is_explained(run: Run, tmp_path: Path, source: Source) -> None:
    source.catalog = {"web": ["127.0.0.1:8081"]}
    (tmp_path / "l5d.yml").write_text(CONFIG.format(url=source.url, period=5))
    assert run("linkerd_tcp", "--check", "l5d.yml").stdout == "ok\n"
    done = run("linkerd_tcp", "--explain", "/svc/web", "l5d.yml")
    assert done.returncode == 0, done.stderr
    assert "bound to /#/com.example.catalog/web\n      127.0.0.1:8081\n" in done.stdout
    assert "com.example.catalog: bound, last good 0 s ago; next attempt in " in done.stdout


def test_connections_follow_the_catalog_and_go_on_without_it(
    environment: dict[str, str], tmp_path: Path, source: Source, two: list[Backend]
) -> None:
    one, other = two
    source.catalog = {"web": [one.address]}
    config = CONFIG.format(url=source.url, period=0.1)
    with Proxy(tmp_path, config, environment=environment) as proxy:
        assert ask(proxy) == one.name
        source.catalog = {"web": [other.address]}
        until("the other one answers", lambda: ask(proxy) == other.name)
        source.status = "503 Away"
        until("/ready says so", lambda: "503" in proxy.get("/ready")[1])
        assert proxy.get("/ready")[0] == 200
        assert "(last good " in proxy.get("/ready")[1]
        assert ask(proxy) == other.name
        assert proxy.metric("l5d_namer_stale_watches", namer="/com.example.catalog") == 1
        ((watch,),) = [namer["watches"] for namer in proxy.get_json("/namers.json")["namers"]]
        assert (watch["state"], watch["value"]) == ("bound", [other.address])
        assert watch["nextAttemptAt"] is None or watch["nextAttemptAt"] > watch["lastGoodAt"]
        source.status, source.catalog = "200 OK", {"web": [one.address]}
        until("it is followed again", lambda: ask(proxy) == one.name)
        until("/ready says so", lambda: proxy.get("/ready")[1] == "ready\n")
        assert proxy.terminate() == 0
    assert one.open == other.open == 0


def ask(proxy: Proxy) -> str:
    with Client(proxy.address) as client:
        return client.ask()

"""What `--explain` says of the namers that it asked: how old what they know is, what they wait for, what failed."""

import re
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest
from gevent import monkey

from linkerd_tcp.cli import run
from linkerd_tcp.net.hosts import HostResolver
from tests.leaks import no_leaks

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

CONFIG = """\
namers:
- {kind: io.l5d.fs, rootDir: disco}
- kind: io.l5d.static
  services: {web: ["127.0.0.1:8080"], away: ["db.example:5432"]}
routers:
- label: default
  dtab: |
    /svc => /#/io.l5d.static ;
    /svc => /#/io.l5d.fs ;
  servers: [{port: 0, dstName: /svc/web}]
"""


@pytest.fixture
def file(tmp_path: FilePath) -> str:
    (tmp_path / "disco").mkdir()
    (tmp_path / "disco" / "good").write_text("127.0.0.1 8080\n")
    (tmp_path / "disco" / "bad").write_text("nonsense\n")
    path = tmp_path / "l5d.yml"
    path.write_text(CONFIG)
    return str(path)


@pytest.fixture
def silent_resolver(no_leaks: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Name servers that do not answer; the program is patient for a moment only."""
    silence = monkey.get_original("_thread", "allocate_lock")()
    silence.acquire()

    def hang(_: str) -> list[str]:
        with silence:
            return []

    monkeypatch.setattr("linkerd_tcp.explain.SETTLE_SECS", 0.3)
    monkeypatch.setattr("linkerd_tcp.explain.ALTERNATIVES_SECS", 0.1)
    monkeypatch.setattr("linkerd_tcp.explain.HostResolver", lambda: HostResolver(query_secs=5, resolve_host=hang))
    yield
    silence.release()


def test_a_leaf_says_what_its_namer_says_of_it(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--explain", "/svc/good", file]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "/svc/good: the first of these that is found",
        "  /#/io.l5d.fs/good  (/svc => /#/io.l5d.fs)",
        "    bound to /#/io.l5d.fs/good",
        "      127.0.0.1:8080",
        "    io.l5d.fs: bound, last good 0 s ago",
        "  /#/io.l5d.static/good  (/svc => /#/io.l5d.static): not found",
        "/svc/good: a new connection would have an address",
    ]


def test_a_name_that_failed_says_when_and_why_and_who_is_waited_for(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--explain", "/svc/bad", file]) == 1
    printed = capsys.readouterr()
    assert re.search(
        r"      failed: \S+bad:1:1: expected `host port`.*\n    io.l5d.fs: failed; last attempt failed 0 s ago\n",
        printed.out,
    )
    problem, waited_for = printed.err.splitlines()
    assert "/svc/bad: the addresses of /#/io.l5d.fs/bad cannot be known: " in problem
    assert "bad:1:1: expected `host port`" in problem
    assert waited_for == "/svc/bad: waiting for io.l5d.fs /bad: failed; last attempt failed 0 s ago"


@pytest.mark.usefixtures("silent_resolver")
def test_a_name_that_is_pending_says_what_it_waits_for(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--explain", "/svc/away/rest", file]) == 1
    printed = capsys.readouterr()
    assert "      addresses not known yet\n    io.l5d.static: pending, last good 0 s ago\n" in printed.out
    assert "the addresses of /#/io.l5d.static/away were not known within 0.3 s" in printed.err
    assert "/svc/away/rest: waiting for hosts db.example: pending\n" in printed.err


@pytest.mark.usefixtures("silent_resolver")
def test_an_alternative_that_is_not_known_keeps_nobody_waiting_long(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FilePath(file)
    path.write_text(CONFIG.replace("/svc => /#/io.l5d.static ;", "/svc => /$/inet/db.example/80 ;"))
    assert run(["--explain", "/svc/good", file]) == 0
    printed = capsys.readouterr()
    assert "addresses not known yet" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    ("namers", "interpreter", "who"),
    [
        ("{kind: io.l5d.namerd, baseUrl: 'http://127.0.0.1:1', namespace: default}", "default", "io.l5d.namerd /web"),
        ("{kind: io.l5d.dns, servers: ['127.0.0.1:1']}", "default", "io.l5d.dns /80/x"),
        ("", "io.l5d.namerd.http, baseUrl: 'http://127.0.0.1:1', namespace: default", "io.l5d.namerd.http /svc/web/x"),
    ],
)
def test_discovery_that_is_away_is_named_with_its_error(
    namers: str, interpreter: str, who: str, tmp_path: FilePath, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "l5d.yml"
    path.write_text(
        f"namers: [{namers}]\nrouters:\n- label: a\n  interpreter: {{kind: {interpreter}}}\n"
        "  servers: [{port: 0, dstName: /svc/web}]\n"
    )
    assert run(["--explain", "/svc/80/x" if "dns" in who else "/svc/web/x", str(path)]) == 1
    printed = capsys.readouterr()
    assert "efused" in printed.out
    assert re.search(r"io\.l5d\.\S+: failed; last attempt failed \d s ago; next attempt in \d s\n", printed.out)
    assert f"waiting for {who}" in printed.err

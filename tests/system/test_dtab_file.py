"""A dtab file that is edited under a running process."""

from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.system.harness import Proxy, run, until
from tests.system.peers import Backend, Held, Visits, backends, visit

CONF = """
admin: {{port: 0}}
accessLog: {{path: access.log, format: json}}
namers:
- kind: io.l5d.static
  services: {{b0: ["{b0}"], b1: ["{b1}"]}}
routers:
- label: default
  interpreter: {{kind: io.l5d.fs, dtabFile: my.dtab{more}}}
  servers: [{{port: 0, dstName: /svc/web}}]
"""


def to(name: str) -> str:
    return f"/svc/web => /#/io.l5d.static/{name} ;\n"


def started(folder: Path, pair: list[Backend], more: str = "") -> Proxy:
    (folder / "my.dtab").write_text(to("b0"))
    return Proxy(folder, CONF.format(b0=pair[0].address, b1=pair[1].address, more=more))


@pytest.mark.alone
def test_an_edited_dtab_is_followed_within_200_ms_and_cuts_nothing(tmp_path: Path) -> None:
    with backends(2) as pair, started(tmp_path, pair) as proxy:
        assert set(visit(proxy.address, 5)) == {"b0"}
        with Held(proxy.address, 10) as held:
            for name in ("b1", "b0") * 5:
                (tmp_path / "my.dtab").write_text(to(name))
                gevent.sleep(0.2)  # the promise itself
                assert set(visit(proxy.address)) == {name}
            before = held.answers
            until("those that were open go on", lambda: held.answers > before + 20)
        assert set(held.names) == {"b0"}


def test_a_bad_edit_keeps_the_last_good_entries_is_shown_and_is_recovered_from(tmp_path: Path) -> None:
    file = tmp_path / "my.dtab"
    with backends(2) as pair, started(tmp_path, pair) as proxy, Visits(proxy.address, 50) as visits:

        def shown() -> str:
            return proxy.get("/ready")[1]

        def row() -> dict[str, Any]:
            namers = proxy.get_json("/namers.json")["namers"]
            [found] = [namer for namer in namers if namer["prefix"] == "/io.l5d.fs/default"]
            [watch] = found["watches"]
            return watch

        assert (row()["name"], row()["error"]) == ("my.dtab", None)
        for spoil, words in (
            (lambda: file.write_text(to("b1") + "/svc/web => %\n"), "my.dtab:2:13: not a dtab"),
            (file.unlink, "it is not there any more"),
            (lambda: file.write_text(""), "it is empty"),
            (lambda: file.write_bytes(b"\xff"), "my.dtab:1:1: not UTF-8"),
        ):
            spoil()
            until("it is shown", lambda words=words: words in shown())
            assert words in row()["error"]
            assert proxy.get("/ready")[0] == 200
            made = visits.made
            until("connections go on", lambda made=made: visits.made > made + 10)
            assert set(visit(proxy.address, 5)) == {"b0"}
        assert proxy.metric("l5d_namer_errors_total", namer="/io.l5d.fs/default", cause="invalid") >= 3
        assert proxy.metric("l5d_namer_errors_total", namer="/io.l5d.fs/default", cause="missing") == 1
        assert "the last good entries are kept" in proxy.log
        file.write_text(to("b1"))
        until("it is followed again", lambda: set(visit(proxy.address)) == {"b1"}, secs=2)
        until("connections go there", lambda: "b1" in visits.names)
        until("and nothing is said of it any more", lambda: "my.dtab" not in shown())
    assert set(visits.names) == {"b0", "b1"}


def test_the_router_s_own_entries_win_over_the_file_s(tmp_path: Path) -> None:
    with backends(2) as pair:
        (tmp_path / "my.dtab").write_text(to("b0"))
        conf = CONF.format(b0=pair[0].address, b1=pair[1].address, more="")
        with Proxy(tmp_path, conf.replace("  servers", "  dtab: /svc/web => /#/io.l5d.static/b1\n  servers")) as proxy:
            assert set(visit(proxy.address, 5)) == {"b1"}


def test_a_reload_keeps_what_is_followed_and_refuses_a_bad_file(tmp_path: Path) -> None:
    with backends(2) as pair, started(tmp_path, pair) as proxy:
        assert set(visit(proxy.address)) == {"b0"}
        assert proxy.post("/reload")[0] == 200
        (tmp_path / "my.dtab").write_text("/svc => ")
        status, text = proxy.post("/reload")
        assert status == 422
        assert "my.dtab:1:9: not a dtab" in text
        assert set(visit(proxy.address, 5)) == {"b0"}
        (tmp_path / "my.dtab").write_text(to("b1"))
        until("followed after a reload, too", lambda: set(visit(proxy.address)) == {"b1"}, secs=2)


def test_a_bad_or_missing_file_at_start_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(CONF.format(b0="127.0.0.1:1", b1="127.0.0.1:2", more=""))
    for arguments in (["--check", "config.yml"], ["config.yml"]):
        (tmp_path / "my.dtab").unlink(missing_ok=True)
        ended = run(tmp_path, *arguments)
        assert ended.returncode == 2
        assert f"config.yml:9:44: routers[0].interpreter.dtabFile: file not there: {tmp_path}/my.dtab" in ended.stderr
        (tmp_path / "my.dtab").write_text("# two\n/svc => /a | ;\n")
        ended = run(tmp_path, *arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert f"{tmp_path}/my.dtab:2:14: not a dtab: expected" in ended.stderr
    (tmp_path / "my.dtab").write_text(to("b0"))
    assert run(tmp_path, "--check", "config.yml").stdout == "ok\n"
    ended = run(tmp_path, "--explain", "/svc/web", "config.yml")
    assert ended.returncode == 0
    assert "bound to /#/io.l5d.static/b0" in ended.stdout


def test_transformers_change_where_connections_go(tmp_path: Path) -> None:
    with backends(2) as pair:
        more = f", transformers: [{{kind: io.l5d.localhost}}, {{kind: io.l5d.port, port: {pair[1].port}}}]"
        with started(tmp_path, pair, more) as proxy:
            assert set(visit(proxy.address, 5)) == {"b1"}
            assert (
                f"/%/io.l5d.port/{pair[1].port}/%/io.l5d.localhost/#/io.l5d.static/b0" in proxy.get("/bindings.json")[1]
            )
            tree = proxy.get_json("/delegator.json?path=/svc/web")
            assert '"transformation"' in str(tree).replace("'", '"')

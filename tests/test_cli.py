"""Arguments in, exit status out; what is printed is what an operator needs."""

import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path as FilePath
from types import SimpleNamespace

import pytest

from linkerd_tcp import __version__
from linkerd_tcp.cli import OK, WRONG, _handle_signals, _load_again, run
from linkerd_tcp.errors import ConfigError

GOOD = """\
namers:
- kind: io.l5d.static
  services: {web: ["127.0.0.1:8080"], none: [], idle: [{host: 127.0.0.1, port: 1, weight: 0}]}
routers:
- label: default
  dtab: |
    /svc => /#/io.l5d.static ;
    /svc/canary => 0.9 * /svc/web & 0.1 * /svc/none ;
    /svc/back => /svc/missing | /svc/web ;
  servers: [{port: 0, dstName: /svc/web}]
"""


@pytest.fixture
def file(tmp_path: FilePath) -> str:
    path = tmp_path / "l5d.yml"
    path.write_text(GOOD)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which configuration file?"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--check", "--schema", "x"], "not allowed with argument"),
        (["--backends", "8083-8081", "x"], "is no range of ports"),
        (["--backends", "web", "x"], "is no range of ports"),
        (["--demo", "x"], "say it alone"),
        (["--demo", "--backends", "8081"], "say it alone"),
        (["--demo", "--check", "x"], "not allowed with argument"),
    ],
)
def test_wrong_usage_is_status_2_with_a_reason(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == WRONG
    assert words in capsys.readouterr().err


def test_the_second_signal_stops_at_once_and_a_stop_asked_for_by_admin_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    handlers: dict[int, Callable[[], None]] = {}
    app = SimpleNamespace(
        stopping=True,
        shutdown=lambda: done.append("shutdown"),
        abort=lambda: done.append("abort"),
        reload=list,
        reopen_logs=list,
    )
    monkeypatch.setattr("linkerd_tcp.cli.gevent.signal_handler", handlers.__setitem__)
    _handle_signals(app)  # type: ignore[arg-type]
    handlers[signal.SIGTERM]()
    assert done == ["shutdown"]
    handlers[signal.SIGINT]()
    assert done[1] == "abort"


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["-V"])
    assert ended.value.code == OK
    assert capsys.readouterr().out == f"linkerd-tcp {__version__}\n"


def test_the_schema_is_json_and_knows_the_top_level_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--schema"]) == OK
    schema = json.loads(capsys.readouterr().out)
    assert {"admin", "workers", "bufferSizeBytes", "accessLog", "namers", "routers"} <= set(schema["properties"])


def test_a_good_file_is_ok(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--check", file]) == OK
    assert capsys.readouterr().out == "ok\n"


def test_standard_input_is_read_as_a_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Bytes(io.TextIOWrapper):
        pass

    monkeypatch.setattr(sys, "stdin", Bytes(io.BytesIO(GOOD.encode())))
    assert run(["--check", "-"]) == OK
    assert capsys.readouterr().out == "ok\n"


def test_standard_input_cannot_be_read_again() -> None:
    with pytest.raises(ConfigError, match="cannot be read a second time"):
        _load_again("-")


def test_every_mistake_is_printed_at_once_with_its_place(
    tmp_path: FilePath, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(GOOD.replace("dstName", "dstNam").replace("label: default", "label: 7"))
    assert run(["--check", str(path)]) == WRONG
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"{path}:5:") and "routers[0].label" in line for line in lines)
    assert any("did you mean dstName?" in line for line in lines)


def test_a_broken_endpoint_file_is_found_by_check(tmp_path: FilePath, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "disco").mkdir()
    (tmp_path / "disco" / "web").write_text("127.0.0.1 8080\n127.0.0.1 eighty\n")
    path = tmp_path / "l5d.yml"
    path.write_text(
        "namers: [{kind: io.l5d.fs, rootDir: disco}]\nrouters: [{label: r, servers: [{port: 0, dstName: /svc/web}]}]\n"
    )
    assert run(["--check", str(path)]) == WRONG
    assert "web:2:" in capsys.readouterr().err


def test_check_says_what_is_probably_a_mistake_and_what_is_not_there(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FilePath(file)
    path.write_text(GOOD.replace("/svc/missing", "/#/io.l5d.fs/web"))
    assert run(["--check", file]) == OK
    assert "/#/io.l5d.fs/web leads to no namer of this file" in capsys.readouterr().err
    path.write_text(GOOD + "accessLog: {path: not/there/access.log}\n")
    assert run(["--check", file]) == WRONG
    assert "accessLog.path: its folder is not there: " in capsys.readouterr().err


def test_keys_and_certificates_that_cannot_be_used_are_found_with_their_place(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FilePath(file)
    (path.parent / "broken.pem").write_text("nothing of use\n")
    identity = "{defaultIdentity: {privateKey: broken.pem, certs: [broken.pem]}}"
    client = "  client: {tls: {dnsName: web.example, trustCerts: [broken.pem]}}\n"
    admin = f"admin: {{tls: {identity}}}\n"
    path.write_text(GOOD.replace("dstName: /svc/web", f"dstName: /svc/web, tls: {identity}") + client + admin)
    assert run(["--check", file]) == WRONG
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"{path}:12:") and "admin.tls" in line for line in lines)
    assert any(line.startswith(f"{path}:10:") and "routers[0].servers[0].tls" in line for line in lines)
    assert any(line.startswith(f"{path}:11:") and "routers[0].client" in line for line in lines)
    assert all("broken.pem" in line for line in lines)


def test_what_is_not_built_yet_is_named(tmp_path: FilePath, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "l5d.yml"
    path.write_text(
        "routers:\n- label: r\n  client: {loadBalancer: {kind: ewma}}\n  servers: [{port: 0, dstName: /svc/web}]\n"
    )
    assert run([str(path)]) == WRONG
    error = capsys.readouterr().err
    assert f"{path}:3:" in error
    assert "ewma" in error
    assert "not built yet" in error


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("/svc/web", 0, "127.0.0.1:8080"),
        ("/svc/back", 0, "127.0.0.1:8080"),
        ("/$/inet/127.1/80", 0, "127.0.0.1:80"),
        ("/svc/none", 1, "has no endpoints"),
        ("/svc/idle", 1, "weight 0"),
        ("/svc/canary", 1, "/#/io.l5d.static/none has no endpoints"),
        ("/svc/unknown", 1, "not found"),
        ("/nothing", 1, "not found"),
    ],
)
def test_explain_ends_in_the_status_that_a_connection_would_have(
    file: str, name: str, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--explain", name, file]) == status
    printed = capsys.readouterr()
    assert words in printed.out + printed.err


def test_explain_wants_a_path_and_a_router_that_is_there(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--explain", "web", file]) == WRONG
    assert "--explain" in capsys.readouterr().err
    assert run(["--explain", "/svc/web", "--router", "other", file]) == WRONG
    assert "there is no such router; the file has default" in capsys.readouterr().err

import io
import sys
from pathlib import Path

import pytest

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import (
    effective,
    load_config,
    missing_files,
    not_built,
    parse_config,
    restart_only_changes,
    warnings,
)
from linkerd_tcp.errors import ConfigError

MINIMAL = "routers: [{label: default, servers: [{port: 7474, dstName: /svc/web}]}]"


def read(text: str, folder: Path | None = None) -> AppConfig:
    return parse_config(text, "f", folder or Path.cwd())


def problems(text: str, folder: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(text, folder)
    return raised.value.problems


def test_file_names_are_of_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "disco").mkdir()
    file = tmp_path / "etc" / "l5d.yml"
    file.write_text(f"namers: [{{kind: io.l5d.fs, rootDir: disco}}]\naccessLog: {{path: access.log}}\n{MINIMAL}")
    monkeypatch.chdir(tmp_path)
    config = load_config("etc/l5d.yml")
    assert config.namers[0].root_dir == tmp_path / "etc" / "disco"
    assert config.access_log is not None
    assert config.access_log.path == str(tmp_path / "etc" / "access.log")


def test_standard_input_is_read_for_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disco").mkdir()
    monkeypatch.chdir(tmp_path)
    text = f"namers: [{{kind: io.l5d.fs, rootDir: disco}}]\n{MINIMAL}"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert load_config("-").namers[0].root_dir == tmp_path / "disco"


def test_errors_on_standard_input_are_of_the_file_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x: 1\n" + MINIMAL.encode())))
    with pytest.raises(ConfigError) as raised:
        load_config("-")
    assert raised.value.problems[0].startswith("-:1:1: x: unknown key")


@pytest.mark.parametrize(
    ("path", "reason"), [("nothere.yml", "No such file"), (".", "directory"), ("a\0b", "null byte")]
)
def test_a_file_that_cannot_be_read_is_an_error_that_says_why(
    path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert len(raised.value.problems) == 1
    assert "cannot be read" in raised.value.problems[0]
    assert reason in raised.value.problems[0]


def test_a_root_dir_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = f"namers: [{{kind: io.l5d.fs, rootDir: file}}]\n{MINIMAL}"
    assert problems(text, tmp_path) == [f"f:1:37: namers[0].rootDir: {tmp_path / 'file'} is not a folder"]


def test_files_that_are_there_are_not_missing(tmp_path: Path) -> None:
    text = MINIMAL.replace("dstName", "tls: {defaultIdentity: {privateKey: key, certs: [cert, folder]}}, dstName")
    (tmp_path / "key").write_text("")
    (tmp_path / "folder").mkdir()
    certs = "routers[0].servers[0].tls.defaultIdentity.certs"
    assert missing_files(read(text, tmp_path)) == [
        f"f:1:100: {certs}[0]: file not there: {tmp_path / 'cert'}",
        f"f:1:106: {certs}[1]: file not there: {tmp_path / 'folder'}",
    ]


def test_a_server_where_admin_listens_by_default_is_a_conflict() -> None:
    place = "f:1:45: routers[0].servers[0].port"
    words = "127.0.0.1:9989 is taken by admin (whose port is 9989 unless it says another)"
    assert problems(MINIMAL.replace("7474", "9989")) == [f"{place}: {words}"]


def test_conflicts_and_errors_of_single_keys_are_told_together() -> None:
    text = "routers:\n- {label: a, servers: [{port: 1, dstName: /a}]}\n- {label: a, servers: [{prot: 1, dstName: /a}]}"
    assert problems(text) == [
        'f:3:11: routers[1].label: "a" is the label of routers[0] already',
        "f:3:25: routers[1].servers[0].prot: unknown key (did you mean port?)",
    ]


TLS = "tls: {defaultIdentity: {privateKey: k, certs: [c]}"


def test_admin_speaks_no_other_protocol_than_its_own() -> None:
    assert problems(f"admin: {{{TLS}, alpnProtocols: [h2, http/1.1]}}}}\n{MINIMAL}") == [
        "f:1:77: admin.tls.alpnProtocols[0]: admin speaks http/1.1 only, which need not be said"
    ]
    assert read(f"admin: {{{TLS}, alpnProtocols: [http/1.1]}}}}\n{MINIMAL}").admin.scheme == "https"
    assert read(MINIMAL).admin.scheme == "http"


@pytest.mark.parametrize(
    ("admin", "is_warned_of"),
    [
        ("ip: 0.0.0.0", True),
        ("ip: '::'", True),
        ("ip: 10.0.0.1", True),
        ("ip: 127.0.0.2", False),
        ("ip: '::1'", False),
        ("ip: 0.0.0.0, readOnly: true", False),
        (f"ip: 0.0.0.0, {TLS}}}", False),
    ],
)
def test_an_admin_port_that_anybody_may_reach_and_use_is_warned_of(admin: str, is_warned_of: bool) -> None:
    found = warnings(read(f"admin: {{{admin}}}\n{MINIMAL}"))
    assert bool(found) == is_warned_of
    assert all("admin.ip" in line and "admin.readOnly" in line and "clientAuth" in line for line in found)


@pytest.mark.parametrize("workers", ["2", "auto"])
def test_more_than_one_process_is_built(workers: str) -> None:
    assert not_built(read(f"workers: {workers}\n{MINIMAL}")) == []


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ("", "", []),
        ("workers: 1", "workers: 2", ["workers"]),
        ("bufferSizeBytes: 4096", "bufferSizeBytes: 8192", ["bufferSizeBytes"]),
        ("admin: {port: 1, ip: 127.0.0.2}", "admin: {graceSecs: 3}", ["admin.ip", "admin.port"]),
        ("admin: {graceSecs: 1}", "admin: {graceSecs: 3}", []),
        ("", "admin: {tls: {defaultIdentity: {privateKey: k, certs: [c]}}}", ["admin.tls"]),
        ("", "namerd: {storage: {kind: io.l5d.inMemory}}", ["namerd.ip", "namerd.port"]),
    ],
)
def test_changes_that_need_a_restart_are_named(before: str, after: str, keys: list[str]) -> None:
    assert restart_only_changes(read(f"{before}\n{MINIMAL}"), read(f"{after}\n{MINIMAL}")) == keys


def test_the_effective_configuration_leaves_secrets_out(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    text = MINIMAL.replace(
        "label: default",
        "label: default, interpreter: {kind: io.l5d.namerd.http, baseUrl: 'http://me:hunter2@namerd:4180/x'}",
    ).replace("dstName", "tls: {defaultIdentity: {privateKey: k, certs: [c], passwordFile: password}}, dstName")
    shown = effective(read(text, tmp_path))["routers"][0]
    assert shown["interpreter"]["baseUrl"] == "http://namerd:4180/x"
    assert shown["servers"][0]["tls"]["defaultIdentity"]["passwordFile"] == str(tmp_path / "password")
    assert "hunter2" not in str(shown)


def test_the_example_file_is_valid_and_complete() -> None:
    root = Path(__file__).parent.parent.parent
    config = load_config(str(root / "example-standalone.yml"))
    assert not_built(config) == missing_files(config) == []
    router = config.routers[0]
    assert (router.label, str(router.servers[0].dst_name), router.servers[0].port) == ("default", "/svc/default", 7474)
    assert config.admin.port == 9989
    assert config.namers[0].root_dir == root / "disco"


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("identifier: {kind: io.l5d.sni}", []),
        ("identifier: {kind: io.l5d.localAddress}", []),
        ("identifier: {kind: io.l5d.alpn}", []),
        ("identifier: {kind: io.l5d.alpn}, tls: {alpnProtocols: [h2], defaultIdentity: ID}", []),
        (
            "identifier: {kind: io.l5d.alpn}, tls: {defaultIdentity: ID}",
            ["no protocol is ever agreed on: TLS ends here, and tls.alpnProtocols is empty"],
        ),
        (
            "identifier: {kind: io.l5d.clientCert}",
            ["no certificate is ever seen: TLS does not end here (tls is needed, with clientAuth)"],
        ),
        (
            "identifier: {kind: io.l5d.clientCert}, tls: {defaultIdentity: ID, clientAuth: {mode: none}}",
            ["no certificate is ever asked for: tls.clientAuth is needed, its mode optional or required"],
        ),
        (
            (
                "identifier: {kind: io.l5d.clientCert}, "
                "tls: {defaultIdentity: ID, clientAuth: {mode: optional, trustCerts: [c]}}"
            ),
            [],
        ),
        ("identifier: {kind: io.l5d.proxyAuthority}", ["no PROXY header is ever read: proxyProtocol is needed"]),
        ("identifier: {kind: io.l5d.proxyAuthority}, proxyProtocol: {trusted: [10.0.0.0/8]}", []),
    ],
)
def test_an_identifier_that_can_never_find_a_name_is_warned_of(server: str, told: list[str]) -> None:
    text = MINIMAL.replace("dstName: /svc/web", server.replace("ID", "{privateKey: k, certs: [c]}"))
    place = "f:1:51: routers[0].servers[0].identifier"
    assert warnings(read(text)) == [f"{place}: {words}" for words in told]

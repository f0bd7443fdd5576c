"""The command line, and everything that can be wrong at the start."""

import json
import re
import socket
from pathlib import Path

import pytest
import yaml

from tests.system.harness import Proxy, config, free_port, run, until
from tests.system.peers import Backend, visit


def _write(folder: Path, conf: object) -> str:
    (folder / "disco").mkdir(exist_ok=True)
    (folder / "config.yml").write_text(conf if isinstance(conf, str) else yaml.safe_dump(conf, sort_keys=False))
    return "config.yml"


@pytest.mark.parametrize("key", ["server", "admin"])
def test_a_taken_port_ends_it_with_1_and_names_port_and_key(tmp_path: Path, key: str) -> None:
    with Backend("taken") as taken:
        server = {"port": taken.port} if key == "server" else {}
        admin = {"port": taken.port} if key == "admin" else {}
        done = run(tmp_path, _write(tmp_path, config(["127.0.0.1:9"], server=server, admin=admin)))
    assert done.returncode == 1
    assert f"127.0.0.1:{taken.port}" in done.stderr
    assert ("routers[0].servers[0].port" if key == "server" else "admin.port") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_held_with_reuse_port_by_another_is_taken_too(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run(tmp_path, _write(tmp_path, config(["127.0.0.1:9"], server={"port": port})))
    assert done.returncode == 1
    assert str(port) in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "config.yml"),
        ("routers: [", "config.yml:"),
        ("", "routers"),
        ("routers: []\n", "routers"),
        ("routers:\n- servers:\n  - {prot: 1, dstName: /svc/a}\n", "config.yml:3:6: routers[0].servers[0].prot"),
        ("routers:\n- servers:\n  - {port: 1, port: 2}\n", "port"),
        ("routers:\n- servers:\n  - {port: 22:22, dstName: /svc/a}\n", "config.yml:3:"),
        ("\x00", "config.yml"),
    ],
)
def test_a_configuration_that_cannot_be_read_ends_it_with_2(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        _write(tmp_path, text)
    for arguments in (["config.yml"], ["--check", "config.yml"]):
        done = run(tmp_path, *arguments)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_a_folder_or_an_unreadable_byte_as_configuration_ends_it_with_2(tmp_path: Path) -> None:
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00\x81")
    for name in (".", "binary.yml"):
        done = run(tmp_path, name)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["--nonsense"], ["a.yml", "b.yml"], ["--explain"], ["--backends", "x", "a.yml"]]
)
def test_wrong_usage_ends_it_with_2(tmp_path: Path, arguments: list[str]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr.lower()


def test_check_prints_ok_and_opens_nothing(tmp_path: Path) -> None:
    with Backend("taken") as taken:  # a taken port is no error of the file
        done = run(tmp_path, "--check", _write(tmp_path, config(["127.0.0.1:9"], server={"port": taken.port})))
    assert (done.returncode, done.stdout.strip().splitlines()[-1:]) == (0, ["ok"]), done.stderr


def test_check_reports_every_error_and_those_of_endpoint_files(tmp_path: Path) -> None:
    name = _write(tmp_path, config(server={"prot": 1}, client={"maxAttemps": 3}))
    done = run(tmp_path, "--check", name)
    assert done.returncode == 2
    assert "prot" in done.stderr + done.stdout
    assert "maxAttempts" in done.stderr + done.stdout
    name = _write(tmp_path, config())
    (tmp_path / "disco/default.yml").write_text("- {host: a, prot: 1}\n")
    done = run(tmp_path, "--check", name)
    assert done.returncode == 2
    assert "default.yml" in done.stderr + done.stdout


def test_explain_prints_the_steps_down_to_addresses(tmp_path: Path) -> None:
    name = _write(tmp_path, config())
    (tmp_path / "disco/default.yml").write_text("- 127.0.0.1:8080\n")
    found = run(tmp_path, "--explain", "/svc/default", name)
    assert found.returncode == 0, found.stderr
    for words in ("/svc/default", "/#/io.l5d.fs/default", "127.0.0.1:8080"):
        assert words in found.stdout
    missing = run(tmp_path, "--explain", "/svc/nobody", name)
    assert missing.returncode == 1, missing.stdout
    assert "/#/io.l5d.fs/nobody" in missing.stdout


def test_schema_is_a_json_schema(tmp_path: Path) -> None:
    done = run(tmp_path, "--schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert "routers" in schema["properties"]


def test_version_and_help(tmp_path: Path) -> None:
    assert re.search(r"\d+\.\d+", run(tmp_path, "--version").stdout)
    assert "--explain" in run(tmp_path, "--help").stdout


def test_a_configuration_from_standard_input_is_served(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address]), stdin=True) as proxy:
        assert set(visit(proxy.address, 3)) == {"b"}
        assert proxy.terminate() == 0


def test_json_is_a_configuration_too(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, json.dumps(config([backend.address]))) as proxy:
        assert set(visit(proxy.address, 3)) == {"b"}


def test_backends_answer_with_their_own_names(tmp_path: Path) -> None:
    first = free_port(2)
    hosts = [f"127.0.0.1:{port}" for port in (first, first + 1)]
    with Proxy(tmp_path, config(hosts), "--backends", f"{first}-{first + 1}") as proxy:
        answers = set()

        def both() -> bool:
            with socket.create_connection(proxy.address, timeout=5) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while piece := sock.recv(4096):
                    answer += piece
            assert answer.startswith(b"HTTP/1."), answer
            answers.add(answer.partition(b"\r\n\r\n")[2])
            return len(answers) == 2

        until("both answer, each with its name", both)


def test_the_soft_limit_of_open_files_is_raised_at_the_start(tmp_path: Path) -> None:
    limited = ["/bin/sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh"]
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address]), wrapper=limited) as proxy:
        limits = Path(f"/proc/{proxy.pid}/limits").read_text()
        found = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits)
        assert found
        assert found[1] == found[2]

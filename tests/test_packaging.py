"""What is installed is what is in the tree, and the files around the code agree with it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import linkerd_tcp
from linkerd_tcp.config.load import load_config
from tests.programs import missing, program

ROOT = Path(__file__).resolve().parent.parent
SETUP_FILES = ["setup.py", "pyproject.toml", "README.md", "LICENSE"]
DATA = {"py.typed", "templates", "static"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation would copy, built from nothing but what the Dockerfile copies, warnings being errors."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SETUP_FILES:
        shutil.copy(ROOT / name, tree)
    for package in ("linkerd_tcp", "namers"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-W", "error", "setup.py", "-q", "build", "--build-lib", "out"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # is warned of
    done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return tree / "out"


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name}


@pytest.mark.parametrize("package", ["linkerd_tcp", "namers"])
def test_every_module_template_and_static_file_is_installed(built: Path, package: str) -> None:
    assert files(built / package) == files(ROOT / package)


def test_the_version_is_said_once() -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == linkerd_tcp.__version__


def test_the_command_is_a_function_that_is_there() -> None:
    target = re.search(r"linkerd-tcp = ([\w.]+):(\w+)", (ROOT / "setup.py").read_text())
    assert target is not None
    assert callable(getattr(import_module(target[1]), target[2]))


def test_what_is_imported_is_what_setup_asks_for() -> None:
    text = (ROOT / "setup.py").read_text()
    required = set(re.findall(r'^        "([a-z-]+)>=', text, re.MULTILINE))
    distributions = {"yaml": "pyyaml", "prometheus_client": "prometheus-client", "dns": "dnspython"}
    inner = {
        "linkerd_tcp",
        "namers",
        "greenlet",
        "pydantic_core",
        "werkzeug",
        "urllib3",
    }  # the last four come with what asks for them
    testing = ROOT / "linkerd_tcp/testing"
    used: dict[bool, set[str]] = {False: set(), True: set()}
    for package in ("linkerd_tcp", "namers"):
        for path in (ROOT / package).rglob("*.py"):
            names = set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))
            used[testing in path.parents] |= names - sys.stdlib_module_names - inner
    assert {distributions.get(name, name) for name in used[False]} <= required
    (extra,) = re.findall(r'^        "testing": \[(.*)\]', text, re.MULTILINE)
    assert used[True] - used[False] == set(re.findall(r'"([a-z]+)>=', extra))


def test_the_image_is_built_from_files_that_are_there_and_not_ignored() -> None:
    copies = [shlex.split(line)[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line[:5] == "COPY "]
    sources = {source for copy in copies if not copy[0].startswith("--") for source in copy}
    assert {*SETUP_FILES, "linkerd_tcp", "namers", "contrib/docker.yml"} <= sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    assert [source for source in sources if f"!{source}" not in ignore] == []


def test_the_image_runs_its_own_file_on_every_address_with_admin_read_only() -> None:
    config = yaml.safe_load((ROOT / "contrib/docker.yml").read_text())
    assert config["admin"] == {"ip": "0.0.0.0", "port": 9989, "readOnly": True}
    assert [server["ip"] for router in config["routers"] for server in router["servers"]] == ["0.0.0.0"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "COPY contrib/docker.yml /etc/linkerd-tcp/linkerd-tcp.yml" in dockerfile
    assert 'CMD ["/etc/linkerd-tcp/linkerd-tcp.yml"]' in dockerfile
    assert "USER 10001" in dockerfile


@pytest.mark.parametrize("path", ["contrib/docker.yml", "example-standalone.yml"])
def test_the_files_that_come_along_are_valid(path: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / path, tmp_path / "config.yml")
    shutil.copytree(ROOT / "disco", tmp_path / "disco")
    assert load_config(str(tmp_path / "config.yml")).routers


def test_the_systemd_unit_is_sound(tmp_path: Path) -> None:
    """Its command is put where the test may write; nothing else is changed."""
    analyze = program("systemd-analyze")
    command = tmp_path / "linkerd-tcp"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / "linkerd-tcp.service"
    text = (ROOT / "contrib/linkerd-tcp.service").read_text()
    assert text.count("/opt/linkerd-tcp/bin/linkerd-tcp ") == 2
    unit.write_text(text.replace("/opt/linkerd-tcp/bin/linkerd-tcp ", f"{command} "))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_waits_longer_for_the_end_than_the_default_grace() -> None:
    unit = (ROOT / "contrib/linkerd-tcp.service").read_text()
    waits = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert waits is not None
    assert int(waits[1]) > 10


@pytest.mark.parametrize("script", [".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run([program("bash"), "-n", str(ROOT / script)], check=True, timeout=20)


@pytest.mark.parametrize(("variable", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_program_is_a_skip_by_name_and_a_failure_where_all_must_be_there(
    monkeypatch: pytest.MonkeyPatch, variable: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("LINKERD_TCP_TEST_ALL", variable)
    with pytest.raises(outcome, match="needs no-such-program"):
        program("no-such-program")
    with pytest.raises(outcome, match="needs IPv6"):
        missing("IPv6")

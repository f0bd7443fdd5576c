"""Programs that are missing, and what a process with its children costs."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import machines
from benchmarks.processes import Failed, running, wait_until_answers
from linkerd_tcp.testing.waiting import eventually

FORKS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
end = time.process_time() + 0.3
while time.process_time() < end: pass
time.sleep(600)
"""


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Programs that are not there; what apt-get is asked for comes to be there."""
    missing = ["wrk", "h2load"]
    monkeypatch.setattr(machines, "_path_of", lambda name: None if name in missing else f"/usr/bin/{name}")
    monkeypatch.setattr(machines, "_has_stream", lambda: True)
    return missing


def test_what_is_missing_is_said_with_the_command_that_installs_it(
    without: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines.os, "geteuid", lambda: 1000)
    with pytest.raises(machines.Missing, match=r"as root: apt-get install wrk nghttp2-client$"):
        machines.require_programs()


@pytest.mark.parametrize("works", [True, False])
def test_root_on_debian_gets_it_installed_and_told(
    without: list[str], works: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        ran.append(command)
        if works and "install" in command:
            without.clear()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(machines.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machines.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(machines.subprocess, "run", run)
    monkeypatch.setattr(machines, "POLICY", tmp_path / "policy-rc.d")
    if works:
        machines.require_programs()
    else:
        with pytest.raises(machines.Missing, match="wrk nghttp2-client: installed, and still not found"):
            machines.require_programs()
    assert [command[1] for command in ran] == ["update", "install"]
    assert ran[1][-2:] == ["wrk", "nghttp2-client"]
    assert "installing wrk, nghttp2-client with apt-get" in capsys.readouterr().err
    assert not machines.POLICY.exists()


def test_nothing_is_installed_when_nothing_is_missing(without: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    without.clear()
    monkeypatch.setattr(machines.subprocess, "run", lambda *_, **__: pytest.fail("something was run"))
    machines.require_programs()


def test_what_a_program_says_first_is_its_version_and_one_that_is_missing_says_nothing() -> None:
    assert machines.said_by(sys.executable, "--version").startswith("Python 3.")
    assert machines.said_by("no-such-program") == ""


def test_a_tree_is_a_process_with_its_children_and_all_are_gone_at_the_end(tmp_path: Path) -> None:
    with running([sys.executable, "-c", FORKS], tmp_path, "forks") as tree:
        eventually(lambda: (tmp_path / "forks.log").read_text().endswith("\n"))
        child = psutil.Process(int((tmp_path / "forks.log").read_text()))
        eventually(lambda: tree.cpu_secs() >= 0.3)
        assert tree.rss_mib() > child.memory_info().rss / (1 << 20)
        assert tree.threads() == 2
        assert tree.descriptors() >= 6
    assert tree.process.poll() is not None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_cpu_is_user_and_system_time() -> None:
    """The same as the system's own count, which is in ticks of 10 ms."""
    from benchmarks.processes import _cpu_secs

    me = psutil.Process()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert _cpu_secs(me.pid) == pytest.approx(sum(me.cpu_times()[:2]), abs=0.05)


def test_a_process_that_ends_instead_of_serving_fails_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('fine'); sys.exit('/etc/secret/x.yml:3: workers: no')"
    with running([sys.executable, "-c", code], tmp_path, "ends") as tree, pytest.raises(Failed) as failed:
        wait_until_answers(tree, 1, tmp_path / "ends.log")
    assert str(failed.value) == "x.yml:3: workers: no"

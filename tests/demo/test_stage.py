"""The process beside the program: started, told where to connect, and ended whatever happens."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from linkerd_tcp.demo import stage
from linkerd_tcp.demo.stage import Stage
from linkerd_tcp.errors import StartError
from linkerd_tcp.testing import eventually
from tests.leaks import no_leaks
from tests.rig import Endpoint

assert no_leaks
ADMIN = "http://127.0.0.1:9989/"


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    pass


def pid_of(running: Stage) -> int:
    assert running._process is not None
    return running._process.pid


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_has_a_configuration_and_clients_and_takes_all_with_it() -> None:
    shop, lost = Endpoint(), Endpoint()
    with Stage() as running:
        pid, folder = pid_of(running), running.folder
        assert Path(running.path).read_text().startswith("# What `linkerd-tcp --demo` runs")
        running.begin([("127.0.0.1", shop.port), ("127.0.0.1", lost.port)], ADMIN)
        eventually(lambda: shop.accepts > 10)
    assert not folder.exists()
    assert not is_there(pid)
    shop.close()
    lost.close()


def test_what_is_said_names_every_address_and_file_and_fits_a_terminal() -> None:
    with Stage() as running:
        said = running.begin([("127.0.0.1", 1), ("127.0.0.1", 1)], ADMIN)
        named = set(re.findall(r"127\.0\.0\.1:(\d+)", said))
        assert {str(port) for port in running._ports} | {"9989", "1"} == named
        files = [Path(found) for found in re.findall(rf"{re.escape(str(running.folder))}/[\w./]*\w", said)]
        assert len(files) == 3
        assert [file for file in files if not file.exists()] == []
    assert [line for line in said.splitlines() if len(line) > 110] == []
    assert "{" not in said


def test_one_that_was_killed_leaves_no_folder_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with Stage() as running:
        folder = running.folder
        os.kill(pid_of(running), signal.SIGKILL)
        eventually(lambda: "backends and clients have ended" in caplog.text)
        running.begin([("127.0.0.1", 1), ("127.0.0.1", 1)], ADMIN)
    assert not folder.exists()


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "END_SECS", 0.1)
    with Stage() as running:
        pid, folder = pid_of(running), running.folder
        os.kill(pid, signal.SIGSTOP)
    assert not is_there(pid)
    assert not folder.exists()


def test_what_it_could_not_do_is_a_start_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr(stage.sys, "executable", "/bin/false")
    with pytest.raises(StartError, match=r"^--demo: the process of the backends did not start$"), Stage():
        pass


def test_it_ends_when_the_program_is_killed() -> None:
    program = (
        "from gevent import monkey; monkey.patch_all(queue=False)\n"
        "from linkerd_tcp.demo.stage import Stage\n"
        "import os, signal\n"
        "running = Stage().__enter__()\n"
        "print(running._process.pid, running.folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    pid, folder = done.stdout.split()
    eventually(lambda: not Path(folder).exists())
    eventually(lambda: not is_there(int(pid)) or Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z")

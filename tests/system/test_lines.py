"""The access log and the terminal: full, stopped, rotated. Lines may be lost; connections and time may not."""

import contextlib
import os
import pty
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import Proxy, config, until
from tests.system.peers import Backend, Held, Visits, visit


def _dropped(proxy: Proxy) -> float:
    return proxy.metric("l5d_log_dropped_lines_total", log="access_log")


def test_a_full_disk_under_the_access_log_costs_only_counted_lines(tmp_path: Path) -> None:
    conf = config(accessLog={"path": "/dev/full", "format": "json"})
    with Backend("b") as backend, Proxy(tmp_path, conf, wait=False) as proxy:
        proxy.endpoints("default.yml", [backend.address])
        proxy.wait_until_serving()
        with Held(proxy.address, 3), Visits(proxy.address, 200) as visits:
            until("lost lines are counted", lambda: _dropped(proxy) >= 200)
        assert max(visits.seconds) < 1
        until("each lost line is counted", lambda: _dropped(proxy) == visits.made + 3)
        assert "/dev/full" in proxy.log
        assert "No space left" in proxy.log
        # Said when it begins, not for each line.
        assert proxy.log.count("/dev/full") <= 3
        assert proxy.terminate() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_lines_are_written_again_once_the_disk_has_room(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=64k none {small} && exec "$@"', "sh"]
    conf = config(accessLog={"path": str(small / "access.log"), "format": "json"})
    with Backend("b") as backend, Proxy(tmp_path, conf, wrapper=mount, wait=False) as proxy:
        proxy.endpoints("default.yml", [backend.address])
        proxy.wait_until_serving()
        inside = Path(f"/proc/{proxy.pid}/root{small}/access.log")
        with Visits(proxy.address, 300):
            until("lost lines are counted", lambda: _dropped(proxy) > 50)
        kept = inside.read_bytes()
        os.truncate(inside, 0)

        def written() -> bool:
            visit(proxy.address)
            return inside.read_bytes().count(b"\n") > 3

        until("lines are written again", written)
        # A line cut by the full disk is ended before the next one.
        lines = inside.read_bytes().splitlines()
        assert all(line.startswith(b"{") and line.endswith(b"}") for line in lines[1:]), lines[:3]
        assert len(kept) <= 65536


@contextlib.contextmanager
def _terminal(kind: str) -> Iterator[tuple[int, int]]:
    """(what a reader would read, what the program writes to); both closed at the end."""
    ends = pty.openpty() if kind == "pty" else os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["pipe", "pty"])
def test_a_stopped_terminal_costs_no_latency(tmp_path: Path, kind: str) -> None:
    conf = config(accessLog={"path": "-", "format": "json"})
    debug = {"LINKERD_TCP_LOG": "debug"}
    with (
        _terminal(kind) as (reader, writer),
        Backend("b") as backend,
        Proxy(tmp_path, conf, output=writer, environment=debug, wait=False) as proxy,
    ):
        proxy.endpoints("default.yml", [backend.address])
        while b"admin on" not in proxy.log_path.read_bytes() if proxy.log_path.exists() else True:
            with proxy.log_path.open("ab") as log:
                log.write(os.read(reader, 65536).replace(b"\r\n", b"\n"))
        proxy.wait_until_serving()
        # From here on nobody reads: a pipe takes 64 KiB, a terminal 4.
        with Held(proxy.address, 3), Visits(proxy.address, 200) as visits:
            until("more than fits has been said", lambda: visits.made > 1000)
        assert max(visits.seconds) < 1
        assert proxy.get("/ready")[0] == 200
        assert proxy.terminate() == 0


def test_usr1_opens_the_access_log_anew_after_rotation(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address])) as proxy:
        visit(proxy.address, 5)
        proxy.closed(5)
        shutil.move(tmp_path / "access.log", tmp_path / "access.log.1")
        proxy.signal(signal.SIGUSR1)
        until("there is a new one", (tmp_path / "access.log").exists)
        visit(proxy.address, 7)
        assert len(proxy.closed(7)) == 7
        assert len(proxy.access_log("access.log.1")) == 5


def test_a_text_access_log_has_a_line_for_each_connection(tmp_path: Path) -> None:
    conf = config(accessLog={"path": "access.log", "format": "text"})
    with Backend("b") as backend, Proxy(tmp_path, conf, wait=False) as proxy:
        proxy.endpoints("default.yml", [backend.address])
        proxy.wait_until_serving()
        visit(proxy.address, 3)
        path = tmp_path / "access.log"
        until("three lines", lambda: path.exists() and path.read_text().count("\n") == 3)
        for line in path.read_text().splitlines():
            for words in (backend.address, "/svc/default", "client_closed"):
                assert words in line

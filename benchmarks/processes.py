"""A process with its children: started, stopped, and what they cost in cpu, memory and descriptors."""

import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from benchmarks.machines import ROOT
from benchmarks.model import MIB

START_SECS: Final = 30.0
STOP_SECS: Final = 5.0


class Failed(Exception):
    """A program did not do what a round needs. The message is shown as the reason of the row."""


class Tree:
    """A process and all that descend from it, as they are when asked."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self._root = psutil.Process(process.pid)

    def _members(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_secs(self) -> float:
        """User and system time until now, of those that live."""
        return sum(_cpu_secs(each.pid) for each in self._members())

    def rss_mib(self) -> float:
        """Resident memory. What processes share is counted in each."""
        return float(sum(each.memory_info().rss for each in self._members())) / MIB

    def descriptors(self) -> int:
        return sum(each.num_fds() for each in self._members())

    def threads(self) -> int:
        return sum(each.num_threads() for each in self._members())


def _cpu_secs(pid: int) -> float:
    """Of Linux's cpu clock of a process: user and system time as the scheduler counted them, to the nanosecond.

    /proc/PID/stat has the same in ticks of 10 ms, which is too coarse for a round that uses 300 ms.
    """
    with suppress(OSError):  # it has just ended
        return time.clock_gettime((~pid << 3) | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)
    return 0.0


@contextmanager
def running(command: list[str], folder: Path, name: str) -> Iterator[Tree]:
    """A process until the end of the block; what it prints is in `folder`/`name`.log."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    try:
        yield Tree(process)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It and its children are gone after this."""
    children = []
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(STOP_SECS)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, STOP_SECS)


def wait_until_answers(tree: Tree, port: int, log: Path) -> None:
    """Until HTTP on the port answers 200; Failed with the end of its log when that does not come."""
    deadline = time.monotonic() + START_SECS
    while not _answers(port):
        if tree.process.poll() is not None or time.monotonic() > deadline:
            raise Failed(_last_words(log) or "it does not answer")
        time.sleep(0.02)


def first_byte(tree: Tree, port: int, log: Path) -> float:
    """When (time.monotonic) the first byte of an answer came, asked for from now on as often as it takes."""
    deadline = time.monotonic() + START_SECS
    while True:
        with socket.socket() as sock, suppress(ConnectionError):
            sock.settimeout(START_SECS)
            sock.connect(("127.0.0.1", port))
            sock.sendall(REQUEST)
            if sock.recv(1):
                return time.monotonic()
        if tree.process.poll() is not None or time.monotonic() > deadline:
            raise Failed(_last_words(log) or "it does not answer")
        time.sleep(0.001)


REQUEST: Final = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


def _answers(port: int) -> bool:
    with socket.socket() as sock, suppress(OSError):
        sock.settimeout(2)
        sock.connect(("127.0.0.1", port))
        sock.sendall(REQUEST)
        return sock.recv(12) == b"HTTP/1.1 200"
    return False


def _last_words(log: Path) -> str:
    """The last line of a log, without the time and with folders taken out."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return re.sub(r"/\S+/", "", lines[-1])[:300] if lines else ""


def free_port() -> int:
    """A loopback port below those that outgoing connections are given, as a real server's is."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port

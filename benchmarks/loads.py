"""Load: wrk, h2load, curl, and the generators of clients.py. What they print comes back as figures, or Failed."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks import parsing
from benchmarks.machines import ROOT, find
from benchmarks.processes import Failed

CONNECTIONS: Final = 50
SPARE_SECS: Final = 60.0
"""What a generator gets beyond what it was told to run."""


def wrk(url: str, seconds: int, *, new_connections: bool = False) -> dict[str, float]:
    """As many requests as it takes over CONNECTIONS connections; or a new one for each request."""
    extra = ["-H", "Connection: close"] if new_connections else []
    command = [find("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency", *extra, url]
    return _parsed(parsing.wrk, _output(command, seconds))


def h2load(url: str, seconds: int, rate: int, connections: int) -> dict[str, float]:
    """`rate` requests a second in all, evenly over so many connections of HTTP/1.1, after a second to warm up."""
    with tempfile.NamedTemporaryFile(prefix="h2load-", suffix=".log") as log:
        load = ["--h1", f"-c{connections}", f"--rps={rate / connections:g}", f"-D{seconds}", "--warm-up-time=1"]
        said = _output([find("h2load"), *load, f"--log-file={log.name}", url], seconds)
        lines = Path(log.name).read_text().splitlines()
    return _parsed(parsing.h2load, said, lines, seconds)


def curl(url: str, times: int) -> None:
    """So many downloads, one after the other over one connection."""
    command = [find("curl"), "--silent", "--fail", "--insecure", "--no-buffer"]
    _output([*command, *["--output", os.devnull, url] * times], 0)


def client(name: str, *arguments: int, seconds: float = 0) -> dict[str, Any]:
    """One of clients.py, run to its end."""
    result: dict[str, Any] = json.loads(_output(_client(name, *arguments), seconds, f"the client `{name}`"))
    return result


class Background:
    """One of clients.py that runs until `end`, which gives what it prints then."""

    def __init__(self, name: str, *arguments: int) -> None:
        self._name = name
        self._process = subprocess.Popen(
            _client(name, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
        )

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise Failed(f"the client `{self._name}` did not get ready")

    def end(self) -> dict[str, Any]:
        said, _ = self._process.communicate(timeout=SPARE_SECS)
        if self._process.returncode:
            raise Failed(f"the client `{self._name}` failed")
        result: dict[str, Any] = json.loads(said)
        return result

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def background(name: str, *arguments: int) -> Iterator[Background]:
    """It is gone at the end of the block, whatever happens."""
    process = Background(name, *arguments)
    try:
        yield process
    finally:
        process.kill()


@contextmanager
def held(port: int, count: int) -> Iterator[None]:
    """So many idle connections, each used once. Failed if one of them is closed before the end of the block."""
    with background("hold", port, count) as holder:
        holder.wait_until_ready()
        yield
        if (still := holder.end()["open"]) != count:
            raise Failed(f"{count - still} of {count} idle connections were closed")


@contextmanager
def scraped(url: str | None) -> Iterator[None]:
    """Statistics read once a second, as a monitoring system does."""
    stop = threading.Event()

    def scrape() -> None:
        while url and not stop.wait(1.0):
            with suppress(OSError):
                urllib.request.urlopen(url, timeout=5).read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(6)


def _client(name: str, *arguments: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.clients", name, *map(str, arguments)]


def _parsed(parse: Any, *arguments: Any) -> dict[str, float]:
    try:
        figures: dict[str, float] = parse(*arguments)
    except parsing.ParseError as error:
        raise Failed(str(error)) from error
    return figures


def _output(command: list[str], seconds: float, name: str = "") -> str:
    name = name or Path(command[0]).name
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + SPARE_SECS, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{name} did not end within {seconds + SPARE_SECS:g} s") from None
    if done.returncode:
        raise Failed(f"{name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout

"""The real process under test: `python -m linkerd_tcp FILE`, seen only through its ports, files and signals."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import yaml
from prometheus_client.parser import text_string_to_metric_families

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE_SECS = 20.0
LOWEST_EPHEMERAL = 32_768
SERVING = re.compile(r"serving (\S+) on (\S+):(\d+)")
ADMIN = re.compile(r"admin\b.*?\b((?:\d+\.){3}\d+):(\d+)")


def until(what: str, condition: Callable[[], T], secs: float = DEADLINE_SECS) -> T:
    """The first true value of `condition`, looked at every few milliseconds; AssertionError after `secs`."""
    deadline = time.monotonic() + secs
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {secs} s: {what} (last: {value!r})"
        time.sleep(0.005)


def free_port(number: int = 1) -> int:
    """The first of `number` loopback ports in a row that nobody uses, and no outgoing connection will be given."""
    while True:
        first = random.randrange(20_000, LOWEST_EPHEMERAL - number)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + number):
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", port))
            return first


def static(services: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The `namers` of a configuration that names its endpoints itself."""
    return [{"kind": "io.l5d.static", "services": {name: list(items) for name, items in services.items()}}]


def config(
    endpoints: Sequence[Any] | None = None,
    *,
    server: Mapping[str, Any] | None = None,
    servers: Sequence[Mapping[str, Any]] | None = None,
    client: Mapping[str, Any] | None = None,
    admin: Mapping[str, Any] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """A whole configuration: /svc/default is `endpoints`, or where there are none the file disco/default.yml."""
    fs = [{"kind": "io.l5d.fs", "rootDir": "disco"}]
    return {
        "admin": {"port": 0, **(admin or {})},
        "accessLog": {"path": "access.log", "format": "json"},
        "namers": fs if endpoints is None else static({"default": endpoints}),
        "routers": [
            {
                "label": "default",
                "servers": list(servers or [{"port": 0, "dstName": "/svc/default", **(server or {})}]),
                **({"client": dict(client)} if client else {}),
            }
        ],
        **top,
    }


class Proxy:
    """A running proxy, from `with` to its end. Everything it writes is under `folder`, which is also where it runs.

    `conf` is a mapping or the file's text. `descriptors` is its limit of open files, `output` where its stdout
    and stderr go when not to a file, `wrapper` a command that runs the given command line.
    """

    def __init__(
        self,
        folder: Path,
        conf: Mapping[str, Any] | str,
        *args: str,
        environment: Mapping[str, str] | None = None,
        descriptors: int | None = None,
        stdin: bool = False,
        output: int | None = None,
        wrapper: Sequence[str] = (),
        wait: bool = True,
    ) -> None:
        self.folder = folder
        self.path = folder / "config.yml"
        self.log_path = folder / "log"
        self._wait = wait
        self._output = output
        self._environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})}
        (folder / "disco").mkdir(exist_ok=True)
        self.write(conf)
        command = [*wrapper, sys.executable, "-m", "linkerd_tcp", *args, "-" if stdin else str(self.path)]
        if descriptors is not None:
            command = ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command]
        self._command = command
        self._stdin = stdin
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.process = self._start()
        try:
            if self._wait:
                self.wait_until_serving()
        except BaseException:
            self._end()
            self._show()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._end()
        if kind is not None:
            self._show()
        elif self._output is None:
            assert "Traceback" not in self.log, self.log[-8000:]

    def _start(self) -> subprocess.Popen[bytes]:
        log: IO[bytes] | int = self._output if self._output is not None else self.log_path.open("wb")
        stdin: IO[bytes] | int = self.path.open("rb") if self._stdin else subprocess.DEVNULL
        try:
            return subprocess.Popen(
                self._command, cwd=self.folder, env=self._environment, stdin=stdin, stdout=log, stderr=log
            )
        finally:
            for opened in (log, stdin):
                if not isinstance(opened, int):
                    opened.close()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def _show(self) -> None:
        print(f"--- log of the proxy, status {self.process.returncode}\n{self.log[-8000:]}")

    # What it said

    @property
    def log(self) -> str:
        """All it has written to its terminal."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_until_serving(self) -> None:
        """Until its listeners and admin are named and /ready says 200; AssertionError if it ends before."""
        wanted = self.path.read_text().count("dstName")
        until("the lines of the listeners", lambda: self._ended() or len(SERVING.findall(self.log)) >= wanted)
        until("the admin line", lambda: self._ended() or ADMIN.search(self.log))
        until("ready", lambda: self.get("/ready")[0] == 200)

    def _ended(self) -> bool:
        status = self.process.poll()
        assert status is None, f"ended with {status}: {self.log[-4000:]}"
        return False

    @property
    def pid(self) -> int:
        return self.process.pid

    def port(self, label: str = "default", index: int = 0) -> int:
        """The port of a router's listener, in the order of the start-up lines."""
        ports = [int(port) for name, _, port in SERVING.findall(self.log) if name == label]
        return ports[index]

    @property
    def address(self) -> tuple[str, int]:
        """Where the first listener is."""
        return ("127.0.0.1", self.port())

    # Admin

    @property
    def admin_url(self) -> str:
        found = ADMIN.search(self.log)
        assert found, self.log
        return f"http://{found[1]}:{found[2]}"

    def request(self, method: str, path: str, body: bytes | None = None, secs: float = 10) -> tuple[int, str]:
        """Status and text of an admin answer; errors of HTTP are answers too."""
        request = urllib.request.Request(self.admin_url + path, data=body, method=method)
        if body:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=secs) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def get(self, path: str) -> tuple[int, str]:
        return self.request("GET", path)

    def post(self, path: str, body: Any = None) -> tuple[int, str]:
        return self.request("POST", path, b"" if body is None else json.dumps(body).encode())

    def get_json(self, path: str) -> Any:
        status, text = self.get(path)
        assert status == 200, (path, status, text[:2000])
        return json.loads(text)

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of /metrics by name and labels."""
        status, text = self.get("/metrics")
        assert status == 200, text[:2000]
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that have all these labels; 0 where there is none."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.metrics().items() if found == name and wanted <= has)

    def endpoint_states(self) -> dict[str, dict[str, Any]]:
        """Every endpoint of every balancer of /bindings.json, by address."""
        return {
            endpoint["address"]: endpoint
            for router in self.get_json("/bindings.json")["routers"]
            for binding in router["bindings"]
            for balancer in binding["balancers"]
            for endpoint in balancer["endpoints"]
        }

    # Files

    def write(self, conf: Mapping[str, Any] | str) -> None:
        """The configuration file, put there whole; it is read at start and at a reload."""
        text = conf if isinstance(conf, str) else yaml.safe_dump(dict(conf), sort_keys=False)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    def endpoints(self, name: str, text: str | Sequence[str]) -> Path:
        """Write disco/NAME (text, or a list of `host:port` as YAML) whole; the path that was written."""
        path = self.folder / "disco" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text if isinstance(text, str) else yaml.safe_dump(list(text)))
        fresh.replace(path)
        return path

    def access_log(self, name: str = "access.log") -> list[dict[str, Any]]:
        """Every whole line of the access log."""
        path = self.folder / name
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def closed(self, number: int, secs: float = DEADLINE_SECS) -> list[dict[str, Any]]:
        """The access log once it has at least `number` lines."""
        until(f"{number} lines in the access log", lambda: self._log_lines() >= number, secs)
        return self.access_log()

    def _log_lines(self) -> int:
        path = self.folder / "access.log"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    # Its end

    def start_again(self) -> None:
        """Another process with the same file, after the first has ended; its log begins anew."""
        self.process = self._start()
        self.wait_until_serving()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terminate(self, secs: float = DEADLINE_SECS) -> int:
        """TERM; its exit status."""
        self.signal(signal.SIGTERM)
        return self.exit_status(secs)

    def exit_status(self, secs: float = DEADLINE_SECS) -> int:
        """Its exit status, awaited."""
        return self.process.wait(secs)


def run(folder: Path, *args: str, text: str = "", secs: float = 20) -> subprocess.CompletedProcess[str]:
    """The program run to its end with `text` as its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "linkerd_tcp", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        input=text,
        capture_output=True,
        text=True,
        timeout=secs,
        check=False,
    )

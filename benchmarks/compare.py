"""This proxy beside HAProxy (one thread) in the same run: cpu per request and per new connection, plain and where TLS
ends at the proxy (ECDSA P-256), and a fixed rate.

Everything runs on loopback: an nginx backend (one worker), the load generator, and one proxy under load at a time, in
interleaved rounds, so that what disturbs the machine disturbs all of them. "cpu" is user and system time of the
proxy's process (and its children) over the round, divided by the requests that were answered: steadier than rates,
which share the cores with the generator and the backend. Both proxies have their timeouts on; this proxy's /metrics
and an HAProxy statistics page are read once a second.

    python benchmarks/compare.py [--rounds N] [--seconds S] [--rate-seconds S] [--json FILE]

Needs nginx, haproxy, wrk, h2load, curl and openssl on the machine. Prints a Markdown table.
"""

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from _report import HAPROXY, OURS, Round, find, surroundings, table

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE / "templates"
CONNECTIONS = 50
RATE_CONNECTIONS = 100
RATE_PER_CONNECTION = 200
BULK_MIB = 512
START_SECS = 15.0
DIRECT = "direct"


@dataclass(frozen=True)
class Target:
    """What load is sent to. `pid` is None for the backend itself, whose cpu is not asked for."""

    name: str
    port: int
    tls_port: int
    pid: int | None
    statistics_url: str | None


# Processes


def free_port() -> int:
    """A loopback port below those that outgoing connections are given, as a real server's is."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def running(command: list[str], folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process from when `url` answers 200 until it is killed; RuntimeError with its log when that never comes."""
    log_path = folder / f"{Path(command[0]).name}-{len(list(folder.iterdir()))}.log"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    try:
        deadline = time.monotonic() + START_SECS
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer on {url}: {log_path.read_text()[-2000:]}")
            time.sleep(0.02)
        yield process
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait(10)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def filled(name: str, folder: Path, **values: object) -> Path:
    """A configuration made from a template, in `folder`, which a template may name."""
    path = folder / name
    path.write_text((TEMPLATES / name).read_text().format(folder=folder, **values))
    return path


def make_identity(folder: Path) -> None:
    """identity.pem: a key and its certificate in one file, as HAProxy wants them."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([find("openssl"), *words.split(), *files], check=True, capture_output=True)
    both = (folder / "key.pem").read_text() + (folder / "cert.pem").read_text()
    (folder / "identity.pem").write_text(both)


@contextmanager
def targets(folder: Path) -> Iterator[dict[str, Target]]:
    """The backend, this proxy and HAProxy, all running."""
    with ExitStack() as stack:
        backend = free_port()
        url = f"http://127.0.0.1:{backend}/"
        user = "user root;" if os.geteuid() == 0 else ""
        conf = filled("nginx.conf", folder, port=backend, user=user)
        stack.enter_context(running([find("nginx"), "-p", str(folder), "-c", str(conf), "-e", "stderr"], folder, url))

        make_identity(folder)
        (folder / "bulk").write_bytes(b"")
        os.truncate(folder / "bulk", BULK_MIB << 20)
        port, tls_port, admin = free_port(), free_port(), free_port()
        conf = filled("linkerd-tcp.yml", folder, port=port, tls_port=tls_port, admin=admin, backend=backend)
        command = [sys.executable, "-m", "linkerd_tcp", str(conf)]
        ours = stack.enter_context(running(command, folder, f"http://127.0.0.1:{admin}/ready"))

        h_port, h_tls_port, h_admin = free_port(), free_port(), free_port()
        conf = filled("haproxy.cfg", folder, port=h_port, tls_port=h_tls_port, admin=h_admin, backend=backend)
        h_url = f"http://127.0.0.1:{h_admin}/stats;csv"
        theirs = stack.enter_context(running([find("haproxy"), "-db", "-f", str(conf)], folder, h_url))
        yield {
            OURS: Target(OURS, port, tls_port, ours.pid, f"http://127.0.0.1:{admin}/metrics"),
            HAPROXY: Target(HAPROXY, h_port, h_tls_port, theirs.pid, h_url),
            DIRECT: Target(DIRECT, backend, 0, None, None),
        }


@contextmanager
def scraped(target: Target) -> Iterator[None]:
    """Its statistics read once a second, as a monitoring system does."""
    stop = threading.Event()

    def scrape() -> None:
        while target.statistics_url and not stop.wait(1.0):
            with suppress(OSError):
                urllib.request.urlopen(target.statistics_url, timeout=5).read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(6)


def cpu_secs(pid: int | None) -> float:
    """User and system time of a process and its living children, in seconds."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


# Rounds


def keep_alive(target: Target, seconds: int) -> Round:
    """As many requests as it takes over connections that stay open."""
    return _wrk("keep-alive", target, seconds, [], _plain(target))


def new_connections(target: Target, seconds: int) -> Round:
    """A new connection for each request."""
    return _wrk("new connection", target, seconds, ["-H", "Connection: close"], _plain(target))


def tls_keep_alive(target: Target, seconds: int) -> Round:
    """Requests over TLS connections that stay open."""
    return _wrk("TLS keep-alive", target, seconds, [], _secure(target))


def tls_handshakes(target: Target, seconds: int) -> Round:
    """A new TLS connection, with its whole handshake, for each request."""
    return _wrk("TLS handshake", target, seconds, ["-H", "Connection: close"], _secure(target))


def tls_bulk(target: Target, seconds: int) -> Round:
    """One download of BULK_MIB over TLS; a "request" is a MiB."""
    before, began = cpu_secs(target.pid), time.monotonic()
    _load([find("curl"), "-sfk", "-o", os.devnull, f"{_secure(target)}bulk"], target, seconds + 60)
    took, used = time.monotonic() - began, cpu_secs(target.pid) - before
    return Round("TLS bulk (MiB)", target.name, BULK_MIB, 0, BULK_MIB / took, used / BULK_MIB * 1e6)


def _plain(target: Target) -> str:
    return f"http://127.0.0.1:{target.port}/"


def _secure(target: Target) -> str:
    return f"https://127.0.0.1:{target.tls_port}/"


def _wrk(kind: str, target: Target, seconds: int, extra: list[str], url: str) -> Round:
    command = [find("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency", *extra]
    before = cpu_secs(target.pid)
    said = _load([*command, url], target, seconds)
    used = cpu_secs(target.pid) - before
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    if found is None or int(found[1]) == 0:
        raise RuntimeError(f"wrk measured nothing: {said}")
    requests = int(found[1])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed = sum(int(number) for number in errors.groups()) if errors else 0
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Round(
        kind,
        target.name,
        requests,
        failed + (int(other[1]) if other else 0),
        requests / float(found[2]),
        used / requests * 1e6 if target.pid else None,
        _milliseconds(said, "50%"),
        _milliseconds(said, "99%"),
    )


def _milliseconds(said: str, percentile: str) -> float | None:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)\b", said)
    return None if found is None else float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def fixed_rate(target: Target, seconds: int) -> Round:
    """20 000 requests a second over 100 connections; percentiles from h2load's own log of every request."""
    with tempfile.NamedTemporaryFile(prefix="h2load-", suffix=".log") as log:
        command = [find("h2load"), "--h1", f"-c{RATE_CONNECTIONS}", f"--rps={RATE_PER_CONNECTION}", f"-D{seconds}"]
        before = cpu_secs(target.pid)
        said = _load([*command, f"--log-file={log.name}", f"http://127.0.0.1:{target.port}/"], target, seconds)
        used = cpu_secs(target.pid) - before
        micros = sorted(int(line.split()[2]) for line in Path(log.name).read_text().splitlines())
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    if found is None or not micros:
        raise RuntimeError(f"h2load measured nothing: {said}")
    succeeded, *bad = (int(number) for number in found.groups())
    return Round(
        "20 000/s",
        target.name,
        succeeded,
        sum(bad),
        succeeded / seconds,
        used / succeeded * 1e6 if target.pid else None,
        micros[len(micros) // 2] / 1000,
        micros[len(micros) * 99 // 100] / 1000,
    )


def _load(command: list[str], target: Target, seconds: int) -> str:
    """What the generator printed. It is given half a minute more than it was told to run."""
    with scraped(target):
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def measure(options: argparse.Namespace, found: dict[str, Target]) -> list[Round]:
    """Every round, interleaved; a warm-up of each comes first and is forgotten."""
    rounds: list[Round] = []
    kinds: list[Callable[[Target, int], Round]] = [
        keep_alive,
        new_connections,
        tls_keep_alive,
        tls_handshakes,
        tls_bulk,
    ]
    for kind in kinds if options.rounds else ():
        for target in (found[OURS], found[HAPROXY]):
            kind(target, 1)
    for number in range(options.rounds):
        for kind in kinds:
            # Who goes first takes turns too.
            for name in (OURS, HAPROXY) if number % 2 == 0 else (HAPROXY, OURS):
                rounds.append(kind(found[name], options.seconds))
                print(f"  {rounds[-1]}", file=sys.stderr)
    for name in (DIRECT, HAPROXY, OURS) if options.rate_seconds else ():
        rounds.append(fixed_rate(found[name], options.rate_seconds))
        print(f"  {rounds[-1]}", file=sys.stderr)
    return rounds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of each kind and proxy (default 5; 0 = none)")
    parser.add_argument("--seconds", type=int, default=5, help="a round lasts (default 5)")
    parser.add_argument("--rate-seconds", type=int, default=60, help="the fixed rate lasts (default 60; 0 = none)")
    parser.add_argument("--json", type=Path, help="write every round here")
    options = parser.parse_args()
    about = surroundings()
    with tempfile.TemporaryDirectory(prefix="linkerd-tcp-bench-") as folder, targets(Path(folder)) as found:
        rounds = measure(options, found)
    print(table(rounds, about))
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rounds": [asdict(each) for each in rounds]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

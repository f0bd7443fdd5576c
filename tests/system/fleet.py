"""What a test sees of a proxy with several workers: their processes, what each says, where the listeners are."""

import contextlib
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.system.harness import Proxy, until


def rows(proxy: Proxy) -> list[dict[str, Any]]:
    """/workers.json."""
    found: list[dict[str, Any]] = proxy.get_json("/workers.json")
    return found


def pids(proxy: Proxy) -> list[int]:
    """Of the workers, by number."""
    return [int(row["pid"]) for row in rows(proxy)]


def serving(proxy: Proxy, number: int, not_pid: int, secs: float = 20) -> int:
    """The process of that worker, once it serves and is another one."""

    def other() -> int:
        row = rows(proxy)[number]
        return int(row["pid"]) if row["state"] == "serving" and row["pid"] != not_pid else 0

    return until(f"another process serves as worker {number}", other, secs)


def children(pid: int) -> list[int]:
    """The processes that `pid` has forked and that live."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            state, parent = Path(f"/proc/{int(name)}/stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(name))
    return sorted(found)


def admin_pid(proxy: Proxy) -> int:
    (found,) = set(children(proxy.pid)) - set(pids(proxy))
    return found


def lives(pid: int) -> bool:
    """Also while it waits to be reaped it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listening(port: int) -> bool:
    """Whether anybody listens on that loopback port; looked at without a connection, which would be served."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def ask_itself(proxy: Proxy, worker: int, path: str) -> Any:
    """What a worker's own admin app says, on its UNIX socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(rows(proxy)[worker]["address"])
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head, answer
    return json.loads(body)


def metrics_of(proxy: Proxy, worker: int, name: str) -> dict[str, float]:
    """By `srv`, what one worker says."""
    status, text = proxy.get(f"/metrics?worker={worker}")
    assert status == 200, text[:2000]
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {sample.labels["srv"]: sample.value for sample in samples}


def by_worker(proxy: Proxy) -> Counter[str]:
    """Connections in the access log, by the worker whose they were."""
    return Counter(line["id"].partition("-")[0] for line in proxy.access_log())


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """That process does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

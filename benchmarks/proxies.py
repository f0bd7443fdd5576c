"""The contestants and their configurations: templates filled in, processes started, addresses to send load to."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.loads import held
from benchmarks.machines import find, nginx_stream_module
from benchmarks.model import MIB, Contestant, Family, Options
from benchmarks.processes import Tree, first_byte, free_port, running, wait_until_answers

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
BULK_FILE_MIB: Final = 512
OWN_DESCRIPTORS: Final = 500
"""Of a proxy's limit, so many are not for connections."""

OURS_SECURE: Final = """\
      - port: {tls_port}
        dstName: /svc/bench
        tls: {{defaultIdentity: {{privateKey: identity.pem, certs: [identity.pem]}}}}"""
HAPROXY_SECURE: Final = """\
frontend secure
    bind 127.0.0.1:{tls_port} backlog 4096 ssl crt {folder}/identity.pem
    default_backend out"""


@dataclass(frozen=True)
class Target:
    """A contestant that runs. `tree` is None for the backend itself, whose costs are not asked for."""

    contestant: Contestant
    port: int
    upload_port: int
    tls_port: int
    tree: Tree | None
    statistics_url: str | None
    first_byte_secs: float = 0.0
    """From its start to the first byte that came through it; only of one that was started for a measurement."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}/"


@dataclass(frozen=True)
class House:
    """What all contestants share: a folder, the backend (nginx, one worker), a sink for uploads."""

    folder: Path
    backend: int
    sink: int
    limit: int
    """Descriptors that a process may have."""


@contextmanager
def house(folder: Path, limit: int) -> Iterator[House]:
    """The backend and the sink, running."""
    here = House(folder, free_port(), free_port(), limit)
    _make_identity(folder)
    (folder / "bulk").touch()
    os.truncate(folder / "bulk", BULK_FILE_MIB * MIB)
    conf = _filled("backend.conf", here, "backend.conf", port=here.backend, user=_user(), connections=limit - 200)
    command = [find("nginx"), "-p", str(folder), "-c", str(conf), "-e", "stderr"]
    with ExitStack() as stack:
        backend = stack.enter_context(running(command, folder, "backend"))
        wait_until_answers(backend, here.backend, folder / "backend.log")
        command = [sys.executable, "-m", "benchmarks.clients", "sink", str(here.sink)]
        stack.enter_context(running(command, folder, "sink"))
        yield here


@contextmanager
def started(contestant: Contestant, here: House, options: Options) -> Iterator[Target]:
    """The contestant from when it serves; Failed with its last words when it does not."""
    if contestant.family is Family.DIRECT:
        yield Target(contestant, here.backend, here.sink, 0, None, None)
        return
    ports = dict(zip(("port", "upload_port", "tls_port", "admin"), (free_port() for _ in range(4)), strict=True))
    command, statistics = _COMMANDS[contestant.family](contestant, here, ports)
    log = here.folder / f"{contestant.name}.log"
    began = time.monotonic()
    with running(command, here.folder, contestant.name) as tree:
        took = first_byte(tree, ports["port"], log) - began
        wait_until_answers(tree, ports["port"], log)
        target = Target(contestant, ports["port"], ports["upload_port"], ports["tls_port"], tree, statistics, took)
        with ExitStack() as stack:
            if contestant.holds_idle:
                stack.enter_context(held(target.port, options.idle))
            yield target


def _ours(contestant: Contestant, here: House, ports: dict[str, int]) -> tuple[list[str], str]:
    conf = _filled(
        "linkerd-tcp.yml",
        here,
        f"{contestant.name}.yml",
        workers=contestant.workers,
        endpoints=", ".join(f'"{address}"' for address in _endpoints(contestant, here)),
        secure=OURS_SECURE.format(**ports) if contestant.tls else "",
        **ports,
    )
    return [sys.executable, "-m", "linkerd_tcp", str(conf)], f"http://127.0.0.1:{ports['admin']}/metrics"


def _haproxy(contestant: Contestant, here: House, ports: dict[str, int]) -> tuple[list[str], str]:
    conf = _filled(
        "haproxy.cfg",
        here,
        f"{contestant.name}.cfg",
        workers=contestant.workers,
        secure=HAPROXY_SECURE.format(folder=here.folder, **ports) if contestant.tls else "",
        options="    option splice-request\n    option splice-response" if contestant.splice else "",
        servers="\n".join(f"    server b{i} {address}" for i, address in enumerate(_endpoints(contestant, here))),
        connections=(here.limit - OWN_DESCRIPTORS) // (4 if contestant.splice else 2),  # pipes want descriptors, too
        **ports,
    )
    return [find("haproxy"), "-db", "-f", str(conf)], f"http://127.0.0.1:{ports['admin']}/stats;csv"


def _nginx(contestant: Contestant, here: House, ports: dict[str, int]) -> tuple[list[str], None]:
    module = nginx_stream_module()
    conf = _filled(
        "nginx-stream.conf",
        here,
        f"{contestant.name}.conf",
        load_module=f"load_module {module};" if module else "",
        name=contestant.name,
        user=_user(),
        connections=here.limit - OWN_DESCRIPTORS,
        **ports,
    )
    return [find("nginx"), "-p", str(here.folder), "-c", str(conf), "-e", "stderr"], None


_COMMANDS: Final = {Family.OURS: _ours, Family.HAPROXY: _haproxy, Family.NGINX: _nginx}


def _endpoints(contestant: Contestant, here: House) -> Iterator[str]:
    """As many addresses of the one backend: all of 127/8 is this machine."""
    for number in range(contestant.endpoints):
        yield f"127.0.{number // 250}.{number % 250 + 1}:{here.backend}"


def _filled(template: str, here: House, name: str, /, **values: object) -> Path:
    """A configuration made from a template, in the folder of this run, which a template may name."""
    path = here.folder / name
    values = {"folder": here.folder, "backend": here.backend, "sink": here.sink, "limit": here.limit, **values}
    path.write_text((TEMPLATES / template).read_text().format(**values))
    return path


def _user() -> str:
    """nginx as root drops to a user that could not read the folder of this run."""
    return "user root;" if os.geteuid() == 0 else ""


def _make_identity(folder: Path) -> None:
    """identity.pem: a P-256 key and its certificate in one file, as HAProxy wants them."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([find("openssl"), *words.split(), *files], check=True, capture_output=True)
    both = (folder / "key.pem").read_text() + (folder / "cert.pem").read_text()
    (folder / "identity.pem").write_text(both)

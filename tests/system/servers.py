"""Real servers from the distribution's packages, each a process of this test's own, ended with it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.programs import program
from tests.system.harness import free_port, until

POSTGRES_USER = "postgres"


def accepts(port: int) -> bool:
    """Whether somebody listens on that loopback port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: Sequence[str | Path], folder: Path, port: int, *, stop: signal.Signals = signal.SIGKILL
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process in a group of its own, from when it listens on `port` until it is stopped with `stop`."""
    log_path = folder / f"{Path(command[0]).name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(f"{command[0]} listens", lambda: process.poll() is not None or accepts(port), secs=30)
        assert process.poll() is None, log_path.read_text()
        yield process
    finally:
        end_group(process, stop)


def end_group(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process and its group, and wait until it has gone; killed where it does not go."""
    for number in (how, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        return
    process.wait(10)


# nginx

NGINX = """\
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid nginx.pid; error_log stderr error;
{user}
events {{ worker_connections 16000; }}
http {{
  access_log off; sendfile on; tcp_nopush off; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
{servers}
}}
"""
NGINX_SERVER = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096; root files;
    location = / {{ return 200 "{name}\\n"; }}
    location / {{ dav_methods PUT; }}
  }}
"""


@contextmanager
def nginx(folder: Path, names: Sequence[str] = ("nginx",)) -> Iterator[list[int]]:
    """One nginx with a listener for each name: / answers with the name, anything else is files/, which PUT writes."""
    binary = program("nginx")
    prefix = folder / "nginx"
    for sub in ("temp", "files"):
        (prefix / sub).mkdir(parents=True)
    ports = [free_port() for _ in names]
    servers = "".join(NGINX_SERVER.format(port=port, name=name) for port, name in zip(ports, names, strict=True))
    # Its worker would give up root and then could not read this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (prefix / "nginx.conf").write_text(NGINX.format(servers=servers, user=user))
    with running([binary, "-p", prefix, "-c", prefix / "nginx.conf", "-e", "stderr"], folder, ports[-1]):
        yield ports


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A redis-server that keeps nothing; its port."""
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running([program("redis-server"), *arguments], folder, port):
        yield port


# PostgreSQL


def postgres_program(name: str) -> Path:
    """A server program of PostgreSQL, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else Path(program(name))


def _as_postgres(command: Sequence[str | Path]) -> list[str | Path]:
    """PostgreSQL refuses to run as root."""
    return ["runuser", "-u", POSTGRES_USER, "--", *command] if os.geteuid() == 0 else list(command)


class Cluster:
    """A freshly made data folder; `run` starts a server on a copy of it, so that several hold the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(POSTGRES_USER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        initdb = [postgres_program("initdb"), "-D", self.data, "-U", POSTGRES_USER, "-A", "trust", "-N", "--no-locale"]
        subprocess.run(
            [str(part) for part in _as_postgres(initdb)], check=True, capture_output=True, timeout=60, cwd=folder
        )

    def install(self, source: Path, name: str, data: Path | None = None) -> str:
        """A copy of `source` in the data folder, readable by the server alone; its path, for a setting."""
        target = (data or self.data) / name
        target.write_bytes(source.read_bytes())
        target.chmod(0o600)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(POSTGRES_USER)
            os.chown(target, owner.pw_uid, owner.pw_gid)
        return str(target)

    @contextmanager
    def run(self, data: Path | None = None, **more: object) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """A server on `data` (or the first folder), with `more` settings: its port and process."""
        data = data or self.data
        port = free_port()
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 60,
            "shared_buffers": "32MB",
            **more,
        }
        command: list[str | Path] = [postgres_program("postgres"), "-D", data]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        # INT is its fast and clean stop: the data can be copied afterwards, and no shared memory is left behind.
        with running(_as_postgres(command), self.folder, port, stop=signal.SIGINT) as process:
            until("PostgreSQL answers", lambda: is_up(port), secs=30)
            segment = (data / "postmaster.pid").read_text().split()[-2]
            try:
                yield port, process
            finally:
                if process.poll() is not None:  # killed: it left its shared memory behind
                    subprocess.run(["ipcrm", "-m", segment], check=False, capture_output=True)

    def copy(self, number: int) -> Path:
        """A copy of the data folder of a stopped server."""
        target = self.folder / f"data{number}"
        shutil.copytree(self.data, target)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(POSTGRES_USER)
            for path in [target, *target.rglob("*")]:
                os.chown(path, owner.pw_uid, owner.pw_gid)
        (target / "postmaster.pid").unlink(missing_ok=True)
        return target


def is_up(port: int) -> bool:
    """Whether a PostgreSQL on that port answers queries."""
    return psql(port, "-c", "select 1", check=False).returncode == 0


def psql(port: int, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """psql against a loopback port, with errors as failures."""
    command = [program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *postgres_at(port), *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=60)


def postgres_at(port: int) -> list[str]:
    """The options with which PostgreSQL's clients are told where the server is."""
    return ["-h", "127.0.0.1", "-p", str(port), "-U", POSTGRES_USER, "postgres"]  # -d is debug to pgbench 15

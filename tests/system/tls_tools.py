"""openssl and curl as clients, nginx and HAProxy before and behind the proxy: what several tests ask of them."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.programs import program
from tests.system.harness import free_port
from tests.system.servers import running

CLIENT_SECS = 10


def identity(key: Path, cert: Path, **more: str) -> dict[str, Any]:
    """An identity of a configuration file."""
    return {"privateKey": str(key), "certs": [str(cert)], **more}


def openssl(*arguments: object, text: str = "") -> str:
    """What that openssl command prints; CalledProcessError if it fails."""
    command = [program("openssl"), *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=CLIENT_SECS).stdout


class Handshake:
    """One handshake of `openssl s_client`, which then leaves: what it printed, picked apart."""

    def __init__(self, port: int, *arguments: object) -> None:
        command = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *map(str, arguments)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=CLIENT_SECS
        )
        self.said = done.stdout + done.stderr
        self.succeeded = done.returncode == 0

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self.said, re.MULTILINE)
        return found[1].strip() if found else ""

    @property
    def version(self) -> str:
        return self._found(r"^(?:New|Reused), (TLS\S+), Cipher is (?!\(NONE\))")

    @property
    def resumed(self) -> bool:
        return bool(re.search(r"^Reused, ", self.said, re.MULTILINE))

    @property
    def common_name(self) -> str:
        """Of the certificate that was shown."""
        return self._found(r"^subject=.*CN = (\S+)")

    @property
    def verified(self) -> bool:
        # openssl prints the same where no certificate was shown at all.
        return bool(self.common_name) and "Verify return code: 0 (ok)" in self.said

    @property
    def alpn(self) -> str:
        return self._found(r"^ALPN protocol: (\S+)")


def curl(*arguments: object) -> subprocess.CompletedProcess[str]:
    """curl to its end; its status says what went wrong (35 handshake, 52 no answer, 56 connection, 60 certificate)."""
    command = [program("curl"), "-sS", "--max-time", str(CLIENT_SECS), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * CLIENT_SECS)


def at(port: int, ca: Path) -> list[object]:
    """Options with which curl goes to that loopback port whatever the name in the URL, and trusts `ca`."""
    return ["--connect-to", f"::127.0.0.1:{port}", "--cacert", ca]


NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error; {user} {modules}
events {{ worker_connections 1000; }}
{body}
"""


@contextmanager
def nginx_with(folder: Path, body: str, port: int) -> Iterator[Path]:
    """nginx with `body` as its http or stream block, listening on `port`; the folder of its files."""
    prefix = folder / f"nginx-{port}"
    prefix.mkdir(parents=True)
    # Debian loads it by a file that is not read here.
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    modules = f"load_module {module};" if "stream {" in body and module.exists() else ""
    user = "user root;" if os.geteuid() == 0 else ""
    (prefix / "nginx.conf").write_text(NGINX.format(folder=prefix, user=user, modules=modules, body=body))
    command = [program("nginx"), "-p", prefix, "-c", prefix / "nginx.conf", "-e", "stderr"]
    with running(command, prefix, port):
        yield prefix


@contextmanager
def https_endpoints(folder: Path, identities: Mapping[str, tuple[Path, Path]]) -> Iterator[dict[str, int]]:
    """One nginx that ends TLS itself: a port for each name, whose answer is `NAME SNI`."""
    ports = {name: free_port() for name in identities}
    protocols = "ssl_protocols TLSv1.2 TLSv1.3;"
    servers = "".join(
        f"server {{ listen 127.0.0.1:{ports[name]} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key};"
        f' location / {{ return 200 "{name} $ssl_server_name"; }} }}\n'
        for name, (key, cert) in identities.items()
    )
    with nginx_with(folder, f"http {{ access_log off; {protocols} {servers} }}", ports[next(reversed(ports))]):
        yield ports


HAPROXY = """\
defaults
  mode {mode}
  timeout connect 5s
  timeout client 10s
  timeout server 10s
{body}
"""


@contextmanager
def haproxy(folder: Path, body: str, port: int, mode: str = "tcp") -> Iterator[None]:
    """HAProxy with these sections, listening on `port`."""
    prefix = folder / f"haproxy-{port}"
    prefix.mkdir()
    file = prefix / "haproxy.cfg"
    file.write_text(HAPROXY.format(mode=mode, body=body))
    with running([program("haproxy"), "-db", "-f", file], prefix, port):
        yield

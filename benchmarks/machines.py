"""The programs that take part, found or installed; and machine, versions, commit, without which numbers say nothing."""

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "curl": "curl",
    "openssl": "openssl",
}
"""Program -> its package on Debian and Ubuntu."""
STREAM_PACKAGE: Final = "libnginx-mod-stream"
POLICY: Final = Path("/usr/sbin/policy-rc.d")
SYSCTLS: Final = ("net/core/somaxconn", "net/ipv4/ip_local_port_range", "net/ipv4/tcp_max_syn_backlog")


class Missing(Exception):
    """A program is not there, and cannot be installed here; the message says what to do."""


def find(name: str) -> str:
    """The path of a program, also where only root's PATH has it; Missing otherwise."""
    path = _path_of(name)
    if path is None:
        raise Missing(f"{name} is not installed; on Debian: apt-get install {PACKAGES.get(name, name)}")
    return path


def _path_of(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def require_programs() -> None:
    """Everything is there after this: installed, where this runs as root on Debian, which is said. Raises Missing."""
    if sys.platform != "linux":
        raise Missing(
            "the benchmark needs Linux: it reads cpu clocks and memory of other processes as Linux shows them"
        )
    packages = _missing_packages()
    if not packages:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"some programs are not installed; on Debian, as root: apt-get install {' '.join(packages)}")
    print(f"installing {', '.join(packages)} with apt-get", file=sys.stderr)
    with _services_stay_down():
        for each in (["apt-get", "update", "--quiet=2"], command):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            if subprocess.run(each, env=environment, stdout=sys.stderr, check=False).returncode:
                raise Missing(f"`{' '.join(each)}` failed; see above")
    if still := _missing_packages():
        raise Missing(f"{' '.join(still)}: installed, and still not found")


def _missing_packages() -> list[str]:
    packages = [package for program, package in PACKAGES.items() if _path_of(program) is None]
    if "nginx" in packages or not _has_stream():
        packages.append(STREAM_PACKAGE)
    return packages


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Debian starts a service when it installs it; these would only take ports and cpu."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def nginx_stream_module() -> str | None:
    """Path of the module to load for `stream`; None where it is compiled in."""
    said = subprocess.run([find("nginx"), "-V"], capture_output=True, text=True, check=False).stderr
    if re.search(r"--with-stream(?=\s|$)", said):
        return None
    folder = re.search(r"--modules-path=(\S+)", said)
    return str(Path(folder[1] if folder else "/usr/lib/nginx/modules") / "ngx_stream_module.so")


def _has_stream() -> bool:
    module = nginx_stream_module()
    return module is None or Path(module).exists()


def raise_descriptor_limit() -> int:
    """As many descriptors as this process, and all it starts, may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = 1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


# About this machine


def surroundings() -> dict[str, str]:
    """Name -> value, of this commit, this machine and these versions."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    dirty = " (with changes)" if said_by("git", "status", "--porcelain", "--untracked-files=no") else ""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    sysctls = (f"{name.rpartition('/')[2]} {_sysctl(name)}" for name in SYSCTLS)
    return {
        "commit": (said_by("git", "rev-parse", "--short=12", "HEAD") or "unknown (not in a git tree)") + dirty,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} cpus, {found[1] if found else platform.processor()}, {pages:.0f} GiB",
        "system": f"{platform.platform()}; {', '.join(sysctls)}; {limit} descriptors",
        "versions": ", ".join(_versions()),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    code = "import gevent, linkerd_tcp; print('gevent', gevent.__version__ + ', linkerd-tcp', linkerd_tcp.__version__)"
    yield said_by(sys.executable, "-c", code)
    for program, argument in (
        ("haproxy", "-v"),
        ("nginx", "-v"),
        ("wrk", "-v"),
        ("h2load", "--version"),
        ("openssl", "version"),
    ):
        yield re.sub(
            r" (Copyright|\d{4}/|- https?:).*| \[epoll\].*|nginx version: | \(Library.*",
            "",
            said_by(find(program), argument),
        )


def _sysctl(name: str) -> str:
    path = Path("/proc/sys") / name
    return "-".join(path.read_text().split()) if path.exists() else "unknown"


def said_by(*command: str) -> str:
    """The first line that a program prints, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    except FileNotFoundError:
        return ""
    return ((done.stdout + done.stderr).strip().splitlines() or [""])[0]

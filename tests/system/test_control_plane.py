"""linkerd-tcp as the control plane of other linkerd-tcp's: a `namerd:` section, and proxies that ask it."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.server import StreamServer

from tests.system.harness import Proxy, config, free_port, until
from tests.system.peers import Client, Held, Visits, backends, visit
from tests.tls_files import Authority

DEEP = bool(os.environ.get("LINKERD_TCP_TEST_DEEP"))
LOAD_SECS = 60.0 if DEEP else 3.0
README = Path(__file__).resolve().parents[1] / "config" / "corpus" / "valid" / "linkerd-tcp-readme.yml"
README_PORTS = (7474, 7575, 9989, 4180)
AWAY = Path("/usr/local/etc/openssl/cert.pem")
"""The one file of the example that is not beside it."""


def split(old: float, new: float) -> str:
    return f"/svc/web => {old} * /#/io.l5d.fs/old & {new} * /#/io.l5d.fs/new;"


def control(port: int, storage: dict[str, Any]) -> dict[str, Any]:
    """A control plane whose names are the files of its folder disco."""
    return config(namerd={"port": port, "storage": storage})


def in_memory(**namespaces: str) -> dict[str, Any]:
    return {"kind": "io.l5d.inMemory", "namespaces": namespaces}


def data_plane(port: int, **interpreter: Any) -> dict[str, Any]:
    """A proxy whose /svc/web is bound by the control plane at `port`."""
    kind = {"kind": "io.l5d.namerd.http", "baseUrl": f"http://127.0.0.1:{port}", "namespace": "default"}
    servers = [{"port": 0, "dstName": "/svc/web"}]
    router = {"label": "default", "interpreter": {**kind, "watch": True, **interpreter}, "servers": servers}
    return config([], routers=[router])


def started(stack: ExitStack, tmp_path: Path, name: str, conf: Any, **files: Sequence[str]) -> Proxy:
    """A proxy in a folder of its own, with these endpoint files."""
    folder = tmp_path / name
    folder.mkdir()
    proxy = Proxy(folder, conf)
    for file, endpoints in files.items():
        proxy.endpoints(f"{file}.yml", endpoints)
    return stack.enter_context(proxy)


def asked(method: str, url: str, text: str = "", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one request to the API."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, text.encode() or None, {"Content-Type": "application/dtab", **named})
    request.method = method
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def share(names: Counter[str], name: str) -> float:
    return names[name] / names.total()


def test_two_planes_follow_a_dtab_from_90_10_to_0_100_under_load_and_fail_no_connection(tmp_path: Path) -> None:
    port = free_port()
    dtab = f"http://127.0.0.1:{port}/api/1/dtabs/default"
    with ExitStack() as stack:
        old, new = stack.enter_context(backends(2))
        storage = in_memory(default=split(0.9, 0.1))
        started(stack, tmp_path, "control", control(port, storage), old=[old.address], new=[new.address])
        planes = [started(stack, tmp_path, name, data_plane(port)) for name in ("one", "two")]
        for plane in planes:
            visit(plane.address)
        with ExitStack() as load:
            every = [load.enter_context(Visits(plane.address, 250)) for plane in planes]
            held = [load.enter_context(Held(plane.address, 10)) for plane in planes]
            gevent.sleep(LOAD_SECS)
            for visits in every:
                assert visits.names.total() > 200
                assert 0.05 < share(visits.names, "b1") < 0.15, visits.names
            status, headers, text = asked("GET", dtab, Accept="application/dtab")
            assert status == 200
            assert "0.9" in text
            assert asked("PUT", dtab, split(0.0, 1.0), If_Match="yolo")[0] == 412
            assert asked("PUT", dtab, split(0.0, 1.0), If_Match=headers["ETag"])[0] == 204
            began = time.monotonic()
            for plane in planes:
                until("only the new one", lambda plane=plane: set(visit(plane.address, 20)) == {"b1"}, 1.0)
            print(f"both followed within {time.monotonic() - began:.3f} s")
            for visits in every:
                visits.names.clear()
            gevent.sleep(LOAD_SECS / 2)
            for visits in every:
                assert set(visits.names) <= {"b0", "b1"}
                assert share(visits.names, "b1") > 0.95, (
                    visits.names
                )  # those under way at the change were counted later
            assert asked("PUT", dtab, split(1.0, 0.0), If_Match=headers["ETag"])[0] == 412
        assert all(each.answers > 10 for each in held)
        for plane in planes:
            assert plane.metric("l5d_srv_failures_total") == 0


def test_namespaces_are_apart(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        old, new = stack.enter_context(backends(2))
        storage = in_memory(default="/svc/web => /#/io.l5d.fs/old", other="/svc/web => /#/io.l5d.fs/new")
        started(stack, tmp_path, "control", control(port, storage), old=[old.address], new=[new.address])
        one = started(stack, tmp_path, "one", data_plane(port))
        two = started(stack, tmp_path, "two", data_plane(port, namespace="other"))
        assert set(visit(one.address, 10)) == {"b0"}
        assert set(visit(two.address, 10)) == {"b1"}
        base = f"http://127.0.0.1:{port}/api/1/dtabs"
        assert asked("PUT", f"{base}/default", "/svc/web => /#/io.l5d.fs/new")[0] == 204
        until("the first follows its own", lambda: set(visit(one.address, 5)) == {"b1"})
        assert set(visit(two.address, 10)) == {"b1"}


def test_a_plane_says_for_each_name_what_the_control_plane_says(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        old, new = stack.enter_context(backends(2))
        storage = in_memory(default=split(0.5, 0.5))
        started(stack, tmp_path, "control", control(port, storage), old=[old.address], new=[new.address])
        plane = started(stack, tmp_path, "one", data_plane(port))
        visit(plane.address)
        assert set(plane.endpoint_states()) == {old.address, new.address}
        explained = subprocess.run(
            [*plane._command[:3], "--explain", "/svc/web", str(plane.path)],
            cwd=plane.folder, env=plane._environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert explained.returncode == 0, explained.stdout + explained.stderr
        for backend in (old, new):
            assert backend.address in explained.stdout


def test_a_web_page_cannot_write_a_dtab(tmp_path: Path) -> None:
    port = free_port()
    dtab = f"http://127.0.0.1:{port}/api/1/dtabs/default"
    with ExitStack() as stack:
        started(stack, tmp_path, "control", control(port, in_memory(default=split(0.9, 0.1))))
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
            assert asked("PUT", dtab, split(0, 1), **headers)[0] == 403
            assert asked("DELETE", dtab, **headers)[0] == 403
        assert "0.9" in asked("GET", dtab)[2]


# linkerd-tcp's own example


def _free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _put_files(folder: Path, authority: Authority) -> None:
    """The key, the certificates and the authority where the example names them, seen from its folder."""
    key, cert = authority.sign("proxy.test")
    shutil.copy(key, folder / "private.pem")
    shutil.copy(cert, folder / "cert.pem")
    chain = folder.parent / "eg-ca" / "ca" / "intermediate" / "certs"
    chain.mkdir(parents=True)
    shutil.copy(authority.cert, chain / "ca-chain.cert.pem")


def _elsewhere(authority: Authority) -> list[str]:
    """A command that runs a program which sees the authority at AWAY, or nothing where that cannot be had."""
    script = 'mount -t tmpfs none "$1" && mkdir -p "$2" && cp "$3" "$4" && shift 4 && exec "$@"'
    names = [str(AWAY.parents[1]), str(AWAY.parent), str(authority.cert), str(AWAY)]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *names]
    try:
        done = subprocess.run([*command, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return []
    return command if done.returncode == 0 else []


def _ask_over_tls(port: int, authority: Authority) -> bytes:
    context = ssl.create_default_context(cafile=str(authority.cert))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="proxy.test") as sock,
    ):
        sock.sendall(b"hello\n")
        return b"".join(iter(lambda: sock.recv(100), b""))


def test_the_example_of_linkerd_tcp_runs_unchanged(tmp_path: Path) -> None:
    taken = [port for port in README_PORTS if not _free(port)]
    if taken:
        pytest.skip(f"the example's ports are taken: {taken}")
    authority = Authority(tmp_path / "ca")
    folder = tmp_path / "example"
    folder.mkdir()
    _put_files(folder, authority)
    key, cert = authority.sign("www.google.com")
    wrapper = _elsewhere(authority)
    text = README.read_text()
    if not wrapper:
        text = text.replace(str(AWAY), str(authority.cert))  # that file alone: nothing else may be written there

    def answer(sock: Any, _: object) -> None:
        with sock:
            sock.sendall(b"google " + sock.recv(100))

    with ExitStack() as stack:
        [backend] = stack.enter_context(backends(1))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        google = StreamServer(("127.0.0.1", 0), answer, ssl_context=context)
        google.start()
        stack.callback(google.stop, 0)
        disco = {"default": [backend.address], "google": [f"127.0.0.1:{google.server_port}"]}
        storage = in_memory(default="/svc => /#/io.l5d.fs;")
        namerd = control(4180, storage)
        started(stack, tmp_path, "control", namerd, **disco)
        with Proxy(folder, text, wrapper=wrapper) as proxy:
            assert proxy.port(index=0) == 7474
            with Visits(("127.0.0.1", 7474), 200) as visits:
                gevent.sleep(1.0)
            assert set(visits.names) == {"b0"}
            assert _ask_over_tls(7575, authority) == b"google hello\n"
            assert proxy.metric("l5d_srv_failures_total") == 0, proxy.get("/connections.json?state=closed&limit=2")
            assert re.search(r"^l5d_", proxy.get("/metrics")[1], re.MULTILINE)
            assert proxy.post("/shutdown")[0] == 200
            assert proxy.exit_status() == 0
            with pytest.raises(ConnectionRefusedError):
                Client(("127.0.0.1", 7474)).close()

"""Browsers that misbehave cost the admin server little and the data path nothing; the real process, on real sockets."""

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from linkerd_tcp.admin.server import LIMITS
from tests.programs import program
from tests.sockets import read_all
from tests.system.harness import ADMIN, Proxy, config, static, until
from tests.system.peers import Backend, Client, visit
from tests.tls_files import Authority

HOST = b"Host: localhost\r\n\r\n"
STUCK_SECS = 45.0
"""The write that makes no headway, and what comes before it."""

GROWTH_BYTES = 24 * 1024 * 1024


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend("b0") as made:
        yield made


def admin(proxy: Proxy) -> tuple[str, int]:
    found = ADMIN.search(proxy.log)
    assert found is not None
    return found[1], int(found[2])


def deaf(address: tuple[str, int], requests: bytes) -> socket.socket:
    """A client that asks and never reads; little fits on its side."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10)
    sock.connect(address)
    sock.sendall(requests)
    return sock


def descriptors(proxy: Proxy) -> int:
    return len(os.listdir(f"/proc/{proxy.pid}/fd"))


def quiet_descriptors(proxy: Proxy) -> int:
    """With what has just ended out of the way."""
    found = []
    for _ in range(20):
        found.append(descriptors(proxy))
        gevent.sleep(0.05)
    return min(found)


def resident_bytes(proxy: Proxy) -> int:
    return int(Path(f"/proc/{proxy.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def latencies(proxy: Proxy, enough: Callable[[], bool]) -> list[float]:
    """Of lines on an open connection and of whole connections, in seconds, until `enough`."""
    found = []
    with Client(proxy.address) as client:
        while not enough():
            for ask in (client.ask, lambda: visit(proxy.address)):
                began = time.monotonic()
                ask()
                found.append(time.monotonic() - began)
            gevent.sleep(0.01)
    return found


def after(secs: float) -> Callable[[], bool]:
    until_ = time.monotonic() + secs
    return lambda: time.monotonic() > until_


def compare(with_: list[float], without: list[float]) -> None:
    """In the middle and for the slowest twentieth; another process may have had the processor meanwhile."""
    for share in (50, 95):
        slow, usual = (statistics.quantiles(found, n=100)[share - 1] for found in (with_, without))
        assert slow < 4 * usual + 0.02, (share, slow, usual)


@pytest.mark.alone
def test_browsers_that_never_read_slow_down_no_connection_and_are_ended(tmp_path: Path, backend: Backend) -> None:
    many = [f"127.0.0.1:{port}" for port in range(10_000, 10_200)]
    conf = config(namers=static({"default": [backend.address], "many": many}))
    conf["routers"].append(
        {"label": "other", "servers": [{"port": 0, "dstName": "/svc/many", "connectTimeoutMs": 200}]}
    )
    with Proxy(tmp_path, conf) as proxy:
        for _ in range(1500):
            visit(proxy.address)
        with contextlib.suppress(OSError, AssertionError):
            visit(("127.0.0.1", proxy.port("other")))  # so that there are two hundred endpoints to show
        address = admin(proxy)
        for path in ("/", "/metrics", "/connections", "/connections.json?limit=2000"):
            assert proxy.get(path)[0] == 200
        usual, memory, open_ = latencies(proxy, after(5)), resident_bytes(proxy), quiet_descriptors(proxy)
        stuck = [
            deaf(address, (f"GET {path} HTTP/1.1\r\n".encode() + HOST) * times)
            for path, times in (
                ("/overview.events", 1),
                ("/metrics", 300),
                ("/connections", 100),
                ("/connections.json?limit=2000", 20),
            )
            for _ in range(4)
        ]
        try:
            until("all are accepted", lambda: descriptors(proxy) >= open_ + len(stuck))
            largest = 0
            give_up = after(STUCK_SECS)

            def all_ended() -> bool:
                nonlocal largest
                largest = max(largest, resident_bytes(proxy))
                return descriptors(proxy) <= open_ + 2 or give_up()  # the two ends of what is measured

            measured = latencies(proxy, all_ended)
            assert not give_up(), f"{descriptors(proxy)} descriptors, {open_} before"
            compare(measured, usual)
            assert largest - memory < GROWTH_BYTES, (memory, largest)
        finally:
            for sock in stuck:
                sock.close()
        assert "please report this" not in proxy.log


def test_beyond_its_streams_everything_else_is_answered(tmp_path: Path, backend: Backend) -> None:
    with Proxy(tmp_path, config([backend.address])) as proxy, contextlib.ExitStack() as stack:
        streams = []
        for _ in range(40):
            streams.append(stack.enter_context(socket.create_connection(admin(proxy), timeout=10)))
            streams[-1].sendall(b"GET /overview.events HTTP/1.1\r\n" + HOST)
        first = [stream.recv(4096)[:12] for stream in streams]
        assert first.count(b"HTTP/1.1 200") == LIMITS.max_followers
        assert first.count(b"HTTP/1.1 503") == 40 - LIMITS.max_followers
        for path in (
            "/",
            "/overview.json",
            "/ping",
            "/metrics",
            "/connections",
            "/connections.json",
            "/static/page.css",
        ):
            assert proxy.get(path)[0] == 200, path
        streams[0].close()

        def one_more() -> bool:
            with socket.create_connection(admin(proxy), timeout=10) as stream:
                stream.sendall(b"GET /overview.events HTTP/1.1\r\n" + HOST)
                return stream.recv(4096).startswith(b"HTTP/1.1 200")

        if first[0] == b"HTTP/1.1 200":
            until("a stream that has ended makes room", one_more)


@pytest.mark.alone
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_waits_for_no_stream(tmp_path: Path, backend: Backend, workers: int) -> None:
    conf = config([backend.address], admin={"graceSecs": 1}, workers=workers)
    with Proxy(tmp_path, conf) as proxy, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(socket.create_connection(admin(proxy), timeout=10)) for _ in range(8)]
        for stream in streams:
            stream.sendall(b"GET /overview.events HTTP/1.1\r\n" + HOST)
        for stream in streams:
            assert stream.recv(12) == b"HTTP/1.1 200"
        stack.enter_context(contextlib.closing(deaf(admin(proxy), b"GET /overview.events HTTP/1.1\r\n" + HOST)))
        began = time.monotonic()
        assert proxy.terminate() == 0
        assert time.monotonic() - began < 2
        assert all(b"event: bye" in read_all(stream) for stream in streams)


# Over TLS


class Secure(Proxy):
    """With a certificate for 127.0.0.1 on the admin port; asked by curl."""

    def __init__(self, folder: Path, ca: Authority, *, workers: int = 1, mode: str = "none", **more: object) -> None:
        self.ca = ca
        tls = {
            "defaultIdentity": {"privateKey": "admin.key", "certs": ["admin.pem"]},
            "clientAuth": {"mode": mode, "trustCerts": [str(ca.cert)]},
        }
        self.put(folder, *ca.sign("admin", "IP:127.0.0.1"))
        super().__init__(folder, config(admin={"tls": tls}, workers=workers, **more))  # type: ignore[arg-type]

    @staticmethod
    def put(folder: Path, key: Path, cert: Path) -> None:
        """Replace both files."""
        for made, kind in ((key, "key"), (cert, "pem")):
            fresh = folder / "fresh"
            fresh.write_bytes(made.read_bytes())
            fresh.replace(folder / f"admin.{kind}")

    def curl(self, path: str, *more: object) -> "subprocess.CompletedProcess[str]":
        ip, port = admin(self)
        words = [
            program("curl"),
            "-sS",
            "--max-time",
            "10",
            "--cacert",
            self.ca.cert,
            *more,
            f"https://{ip}:{port}{path}",
        ]
        return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)

    def get(self, path: str) -> tuple[int, str]:
        """With the certificate that may be asked for."""
        caller = self.ca.folder / "caller"
        answer = self.curl(path, "--cert", f"{caller}.pem", "--key", f"{caller}.key", "-w", "\n%{http_code}")
        text, _, status = answer.stdout.rpartition("\n")
        return int(status or 0), text

    @property
    def serial(self) -> str:
        """Of the certificate that is shown."""
        words = [program("openssl"), "s_client", "-connect", "{}:{}".format(*admin(self))]
        shown = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
        return subprocess.run(
            [program("openssl"), "x509", "-noout", "-serial"], input=shown.stdout, capture_output=True, check=True
        ).stdout.decode()


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path / "ca")
    authority.sign("caller")
    return authority


@pytest.mark.parametrize("workers", [1, 2])
def test_admin_speaks_tls_and_takes_up_renewed_files(
    tmp_path: Path, ca: Authority, backend: Backend, workers: int
) -> None:
    conf = {"endpoints": [backend.address]}
    with Secure(tmp_path, ca, workers=workers, mode="required", **conf) as proxy:
        assert "admin on https://127.0.0.1:" in proxy.log
        assert (proxy.curl("/ping").returncode != 0, proxy.curl("/ping").stdout) == (True, "")
        until(
            "the refusal is in the log",
            lambda: "it showed no certificate, and clientAuth.mode is required" in proxy.log,
        )
        name = 'l5d_tls_certificate_not_after_timestamp_seconds{identity="admin:*"}'
        assert name in proxy.get("/metrics")[1]
        before = proxy.serial
        (tmp_path / "admin.pem").write_text("nothing of use")
        until("the bad file is named", lambda: "the renewed certificate is not used" in proxy.log)
        assert "admin.pem" in proxy.log
        assert proxy.serial == before
        Secure.put(tmp_path, *ca.sign("admin", "IP:127.0.0.1", file="again"))
        until("the renewed certificate is shown", lambda: proxy.serial != before)
        proxy.signal(signal.SIGHUP)
        until("it is reloaded", lambda: "reloaded" in proxy.log)
        assert proxy.get("/ready")[0] == 200


def test_a_change_of_admin_tls_needs_a_restart(tmp_path: Path, ca: Authority, backend: Backend) -> None:
    with Secure(tmp_path, ca, endpoints=[backend.address]) as proxy:
        proxy.write(proxy.path.read_text().replace("mode: none", "mode: required"))
        answer = proxy.curl("/reload", "-X", "POST")
        assert "admin.tls" in answer.stdout
        assert proxy.curl("/ping").stdout == "pong"


def test_streams_over_tls_end_with_their_readers_and_with_the_program(
    tmp_path: Path, ca: Authority, backend: Backend
) -> None:
    with Secure(tmp_path, ca, endpoints=[backend.address]) as proxy:
        before = quiet_descriptors(proxy)
        command = [
            program("curl"),
            "-sSN",
            "--cacert",
            str(ca.cert),
            "https://{}:{}/overview.events".format(*admin(proxy)),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as short:
            assert short.stdout is not None
            assert short.stdout.readline().startswith(b"retry:")
            short.kill()
        until("its connection has ended", lambda: descriptors(proxy) <= before)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as long:
            assert long.stdout is not None
            assert long.stdout.readline().startswith(b"retry:")
            assert proxy.terminate(5) == 0
            said, errors = long.communicate(timeout=5)
        # An end that TLS had not announced would be curl's error 56.
        assert (long.returncode, errors) == (0, b"")
        assert b"event: bye" in said


@pytest.mark.alone
def test_slow_handshakes_keep_nobody_out(tmp_path: Path, ca: Authority, backend: Backend) -> None:
    with Secure(tmp_path, ca, endpoints=[backend.address]) as proxy, contextlib.ExitStack() as stack:
        before = latencies(proxy, after(2))
        slow = [
            stack.enter_context(socket.create_connection(admin(proxy), timeout=10))
            for _ in range(LIMITS.max_connections + 50)
        ]

        def drip() -> None:
            for byte in b"\x16\x03\x01\x02\x00" + bytes(1000):
                for sock in slow:
                    with contextlib.suppress(OSError):
                        sock.send(bytes([byte]))
                gevent.sleep(0.1)

        dripping = gevent.spawn(drip)
        try:
            compare(latencies(proxy, after(2)), before)
            began = time.monotonic()
            assert proxy.curl("/ping").stdout == "pong"
            assert time.monotonic() - began < 3
            for sock in slow:  # those that made room, and those whose ten seconds are over
                sock.settimeout(15)
                with contextlib.suppress(ConnectionError):
                    assert sock.recv(1) == b""
        finally:
            dripping.kill()

"""TLS passes through and its server name decides: nginx and redis-server end it, curl and redis-cli ask."""

import contextlib
import os
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from gevent.pool import Pool

from tests.programs import program
from tests.system.harness import Proxy, config, free_port, static, until
from tests.system.peers import Backend, Client
from tests.system.servers import running
from tests.system.tls_tools import Handshake, at, curl, https_endpoints, identity
from tests.tls_files import Authority

SNI = {"kind": "io.l5d.sni", "prefix": "/svc"}
NAMES = ("one.example", "two.example")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs what the endpoints show; the proxy knows nothing of it."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    for name in (*NAMES, "other.example"):
        authority.sign(name)
    return authority


def files(ca: Authority, name: str) -> tuple[Path, Path]:
    return ca.folder / f"{name}.key", ca.folder / f"{name}.pem"


def by_name(services: dict[str, list[str]], server: dict[str, Any] | None = None, **identifier: Any) -> dict[str, Any]:
    """A configuration whose one server sends each server name to the service of that name."""
    servers = [{"port": 0, "identifier": {**SNI, **identifier}, **(server or {})}]
    return config(servers=servers, namers=static(services))


# Names


def test_each_name_reaches_its_endpoint_encrypted_from_end_to_end(tmp_path: Path, ca: Authority) -> None:
    with https_endpoints(tmp_path, {name: files(ca, name) for name in NAMES}) as ports:
        services = {name: [f"127.0.0.1:{port}"] for name, port in ports.items()}
        with Proxy(tmp_path, by_name(services)) as proxy:
            for asked, name in {"one.example": NAMES[0], "two.example": NAMES[1], "ONE.Example": NAMES[0]}.items():
                for version in ("--http1.1", "--http2"):
                    # curl trusts only the endpoints' authority, and the certificate must be of that very name.
                    done = curl(*at(proxy.port(), ca.cert), version, f"https://{asked}/")
                    assert (done.returncode, done.stdout) == (0, f"{name} {name}"), done.stderr
            for flag in ("-tls1_2", "-tls1_3"):
                done = Handshake(proxy.port(), flag, "-servername", "two.example", "-CAfile", ca.cert)
                assert (done.common_name, done.verified) == ("two.example", True), done.said
            lines = proxy.closed(8)
            assert {(line["path"], line["endpoint"]) for line in lines} == {
                (f"/svc/{name}", f"127.0.0.1:{port}") for name, port in ports.items()
            }
            assert proxy.metric("l5d_srv_tls_failures_total") == 0


def test_a_name_that_appears_in_the_endpoint_files_is_served_at_once(tmp_path: Path, ca: Authority) -> None:
    conf = config(servers=[{"port": 0, "identifier": SNI}])
    with https_endpoints(tmp_path, {NAMES[0]: files(ca, NAMES[0])}) as ports, Proxy(tmp_path, conf) as proxy:
        options = [*at(proxy.port(), ca.cert), "https://one.example/"]
        assert curl(*options).returncode == 35
        assert proxy.closed(1)[0]["cause"] == "not_found"
        proxy.endpoints("one.example.yml", [f"127.0.0.1:{ports['one.example']}"])
        done = until("it is served", lambda: (done := curl(*options)).returncode == 0 and done.stdout, 2)
        assert done == "one.example one.example"


def test_a_wildcard_in_the_dtab_takes_every_name(tmp_path: Path, ca: Authority) -> None:
    with https_endpoints(tmp_path, {"other.example": files(ca, "other.example")}) as ports:
        made = by_name({"all": [f"127.0.0.1:{ports['other.example']}"]})
        made["routers"][0]["dtab"] = "/svc/* => /#/io.l5d.static/all;"
        with Proxy(tmp_path, made) as proxy:
            for name in ("a.example", "b.example"):
                done = curl(*at(proxy.port(), ca.cert), "--insecure", f"https://{name}/")
                assert (done.returncode, done.stdout) == (0, f"other.example {name}"), done.stderr


def test_what_names_nothing_goes_to_the_default_or_is_closed_as_identify(tmp_path: Path, ca: Authority) -> None:
    nothing = (["-noservername"], ["-servername", "bad name"], ["-servername", "a..b"], ["-servername", "../x"])
    with https_endpoints(tmp_path, {"other.example": files(ca, "other.example")}) as ports:
        services = {"other": [f"127.0.0.1:{ports['other.example']}"]}
        servers = [{"port": 0, "identifier": each} for each in ({**SNI, "default": "/svc/other"}, SNI)]
        with Proxy(tmp_path, config(servers=servers, namers=static(services))) as proxy:
            with_default, without = proxy.port(), proxy.port(index=1)
            for arguments in nothing:
                done = Handshake(with_default, *arguments, "-CAfile", ca.cert)
                assert done.common_name == "other.example", done.said
            for arguments in nothing:
                refused = Handshake(without, *arguments)
                assert not refused.common_name, refused.said
            assert not Handshake(with_default, "-servername", "nobody.example").common_name  # a name, and not bound
            lines = proxy.closed(9)
            causes = [line["cause"] for line in lines if line["server"].endswith(f":{without}")]
            assert causes == ["identify"] * 4, lines
            assert [line["path"] for line in lines if line["cause"] == "not_found"] == ["/svc/nobody.example"]
            assert proxy.metric("l5d_srv_failures_total", cause="identify") == 4


def test_what_is_no_tls_goes_to_the_default_untouched(tmp_path: Path) -> None:
    with Backend("plain") as backend:
        conf = by_name({"plain": [backend.address]}, default="/svc/plain")
        with Proxy(tmp_path, conf) as proxy, Client(proxy.address) as client:
            assert client.ask() == "plain"


def test_a_server_that_speaks_first_is_reached_when_the_client_has_been_silent_for_long_enough(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(10)
        services = {"greeter": [f"127.0.0.1:{listener.getsockname()[1]}"]}
        servers = [
            {"port": 0, "identifier": each, "detectTimeoutMs": 200}
            for each in ({**SNI, "default": "/svc/greeter"}, SNI)
        ]
        with Proxy(tmp_path, config(servers=servers, namers=static(services))) as proxy:
            with socket.create_connection(proxy.address, timeout=5) as silent:
                endpoint, _ = listener.accept()
                with endpoint:
                    endpoint.sendall(b"220 ready\r\n")
                    assert silent.recv(100) == b"220 ready\r\n"
                    silent.sendall(b"EHLO\r\n")
                    assert endpoint.recv(100) == b"EHLO\r\n"
            with socket.create_connection(("127.0.0.1", proxy.port(index=1)), timeout=5) as refused:
                assert refused.recv(1) == b""
            assert sorted(line["cause"] for line in proxy.closed(2))[1] == "identify"


# Hellos


def test_long_hellos_are_read_up_to_16_kib(tmp_path: Path, ca: Authority) -> None:
    name = NAMES[0]
    with https_endpoints(tmp_path, {name: files(ca, name)}) as ports:
        conf = by_name({name: [f"127.0.0.1:{ports[name]}"]})
        with Proxy(tmp_path, conf) as proxy:
            # Each protocol is 31 bytes of the hello: 1.6, 3.7, 12.4 and 18.6 kB.
            for number in (50, 120, 400, 600):
                protocols = ",".join(["http/1.1", *(f"{index:030}" for index in range(number))])
                done = Handshake(proxy.port(), "-servername", name, "-alpn", protocols, "-CAfile", ca.cert)
                assert done.verified == (number < 600), done.said
            assert [line["endpoint"] is not None for line in proxy.closed(4)] == [True, True, True, False]
            assert proxy.metric("l5d_srv_failures_total", cause="identify") == 1


def test_a_hello_that_drips_in_is_joined_and_costs_its_endpoint_nothing_until_it_is_whole(tmp_path: Path) -> None:
    whole = hello(NAMES[0])
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(10)
        conf = by_name({NAMES[0]: [f"127.0.0.1:{listener.getsockname()[1]}"]})
        with Proxy(tmp_path, conf) as proxy, socket.create_connection(proxy.address, timeout=5) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for index in range(len(whole)):
                assert not proxy_has_connected(listener)
                client.sendall(whole[index : index + 1])
            endpoint, _ = listener.accept()
            with endpoint, endpoint.makefile("rb") as stream:
                assert stream.read(len(whole)) == whole


def test_hellos_that_stop_in_the_middle_cost_no_time_of_the_processor_and_end_at_the_limit(tmp_path: Path) -> None:
    server = {"port": 0, "identifier": SNI, "detectTimeoutMs": 1500}
    first = hello(NAMES[0])[:100]
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(Proxy(tmp_path, config(servers=[server])))
        halves = [stack.enter_context(socket.create_connection(proxy.address, timeout=10)) for _ in range(200)]
        for half in halves:
            half.sendall(first)
        until("they are all accepted", lambda: proxy.metric("l5d_srv_active") == 200)
        before = cpu_secs(proxy.pid)
        for half in halves[:100]:  # with FIN below the mark that the kernel wakes at
            half.shutdown(socket.SHUT_WR)
        lines = proxy.closed(200)
        # 1.5 s in which a loop that spins would take all of it; 200 ends and the looks at the access log are in it.
        assert cpu_secs(proxy.pid) - before < 0.5
        assert {line["cause"] for line in lines} == {"identify"}
        told = Counter("before it ended" in line["detail"] for line in lines)
        assert told == {True: 100, False: 100}, lines[0]
        assert max(line["ageSecs"] for line in lines) < 5


def cpu_secs(pid: int) -> float:
    """What the process has taken of processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proxy_has_connected(listener: socket.socket) -> bool:
    """Whether somebody waits in its queue."""
    secs = listener.gettimeout()
    listener.settimeout(0)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    finally:
        listener.settimeout(secs)
    return True


def hello(name: str) -> bytes:
    """The ClientHello of this Python's own TLS for that name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake with nobody")


# Redis


@contextmanager
def redis_with_tls(folder: Path, ca: Authority, name: str) -> Iterator[int]:
    """A redis-server that speaks only TLS; its port."""
    port = free_port()
    key, cert = files(ca, name)
    folder.mkdir()
    arguments = [
        *("--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
        *("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca.cert, "--tls-auth-clients", "no"),
    ]
    with running([program("redis-server"), *map(str, arguments)], folder, port):
        yield port


def test_redis_cli_reaches_each_redis_by_its_sni(tmp_path: Path, ca: Authority) -> None:
    cli = program("redis-cli")
    with redis_with_tls(tmp_path / "1", ca, NAMES[0]) as first, redis_with_tls(tmp_path / "2", ca, NAMES[1]) as second:
        services = {NAMES[0]: [f"127.0.0.1:{first}"], NAMES[1]: [f"127.0.0.1:{second}"]}
        with Proxy(tmp_path, by_name(services)) as proxy:

            def redis(name: str, *command: str) -> str:
                options = ["-h", "127.0.0.1", "-p", str(proxy.port()), "--tls", "--sni", name, "--cacert", str(ca.cert)]
                done = subprocess.run([cli, *options, *command], capture_output=True, text=True, check=True, timeout=10)
                return done.stdout.strip()

            for name in NAMES:
                assert redis(name, "set", "name", name) == "OK"
            assert [redis(name, "get", "name") for name in NAMES] == list(NAMES)
            assert {line["path"] for line in proxy.closed(4)} == {f"/svc/{name}" for name in NAMES}


# Hostile names


def hostile(proxy: Proxy, number: int) -> list[dict[str, Any]]:
    """That many connections, each with a ClientHello for a name of its own: their lines in the access log."""
    before = len(proxy.access_log())
    template = hello("x" * 20 + ".evil.example")

    def one(index: int) -> None:
        with socket.create_connection(proxy.address, timeout=15) as sock:
            sock.sendall(template.replace(b"x" * 20, b"%020d" % index))
            # It is reset where nobody took what it sent.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass

    pool = Pool(50)
    for _ in pool.imap_unordered(one, range(number)):
        pass
    return proxy.closed(before + number)[before:]


def remembered(proxy: Proxy) -> dict[str, int]:
    """How many series, bindings and watches there are."""
    return {
        "series": proxy.get("/metrics")[1].count("\n"),
        "bindings": len(proxy.get_json("/bindings.json")["routers"][0]["bindings"]),
        "watches": sum(len(namer["watches"]) for namer in proxy.get_json("/namers.json")["namers"]),
    }


def test_ten_thousand_names_that_are_not_there_leave_nothing_behind(tmp_path: Path) -> None:
    with Proxy(tmp_path, config(servers=[{"port": 0, "identifier": SNI}])) as proxy:
        assert {line["cause"] for line in hostile(proxy, 10)} == {"not_found"}
        series = remembered(proxy)["series"]
        assert {line["cause"] for line in hostile(proxy, 10_000)} == {"not_found"}
        # No moment of it had more: the cache of negative answers is bounded, and goes within its second.
        assert remembered(proxy)["watches"] <= 1000
        until("it is as before", lambda: remembered(proxy) == {"series": series, "bindings": 0, "watches": 0}, 5)


def test_two_thousand_names_of_one_service_share_its_series_and_a_bounded_cache(tmp_path: Path) -> None:
    with Backend("b") as backend:
        made = by_name({"all": [backend.address]})
        made["routers"][0] |= {"dtab": "/svc/* => /#/io.l5d.static/all;", "bindingCache": {"paths": 20}}
        with Proxy(tmp_path, made) as proxy:
            assert {line["bound"] for line in hostile(proxy, 40)} == {"/#/io.l5d.static/all"}
            series = remembered(proxy)["series"]
            assert {line["bound"] for line in hostile(proxy, 2_000)} == {"/#/io.l5d.static/all"}
            after = remembered(proxy)
            assert after["series"] == series
            assert after["bindings"] <= 20
            assert len(proxy.endpoint_states()) == 1


def test_names_asked_of_a_terminated_tls_make_no_series(tmp_path: Path, ca: Authority) -> None:
    server = {"port": 0, "identifier": SNI, "tls": {"defaultIdentity": identity(*files(ca, NAMES[0]))}}
    with Proxy(tmp_path, config(servers=[server])) as proxy:
        Handshake(proxy.port(), "-servername", "first.evil.example")
        proxy.closed(1)
        series = remembered(proxy)["series"]
        for index in range(20):
            Handshake(proxy.port(), "-servername", f"{index}.evil.example")
        assert {line["cause"] for line in proxy.closed(21)} == {"not_found"}
        until("it is as before", lambda: remembered(proxy) == {"series": series, "bindings": 0, "watches": 0}, 5)

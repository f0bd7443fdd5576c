"""HAProxy, nginx and curl say who is calling, and are told: every combination of sender and receiver."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import Proxy, config, free_port, run, static, until
from tests.system.peers import Backend, Client
from tests.system.servers import nginx
from tests.system.tls_tools import at, curl, haproxy, nginx_with
from tests.tls_files import Authority

CLIENT = "127.0.0.5"
"""Where curl comes from: another address than the proxies' own, 127.0.0.1."""
REFUSED = (52, 55, 56)
"""curl's words for a connection that is closed or reset before its answer, which of them is a race."""
TRUSTED = {"trusted": ["127.0.0.1/32"]}


def get(url: str, *options: object) -> tuple[str, str]:
    """What curl got from CLIENT, and the address and port that it had."""
    mark = "\n%{local_ip}:%{local_port}"
    done = curl("--interface", CLIENT, "--noproxy", "*", "-w", mark, *options, url)
    assert done.returncode == 0, done.stderr
    body, _, source = done.stdout.rpartition("\n")
    assert source.startswith(f"{CLIENT}:"), source
    return body.strip(), source


# In


@pytest.mark.parametrize(("option", "version"), [("send-proxy", 1), ("send-proxy-v2", 2)])
def test_behind_haproxy_the_source_is_the_clients(tmp_path: Path, option: str, version: int) -> None:
    front = free_port()
    with nginx(tmp_path) as [port]:
        conf = config([f"127.0.0.1:{port}"], server={"proxyProtocol": TRUSTED})
        with Proxy(tmp_path, conf) as proxy:
            body = f"listen front\n  bind 127.0.0.1:{front}\n  server us 127.0.0.1:{proxy.port()} {option}\n"
            with haproxy(tmp_path, body, front):
                got, source = get(f"http://127.0.0.1:{front}/")
                assert got == "nginx"
                line = the_line_of(proxy, source)
                assert line["proxyHeader"] == {"version": version, "command": "proxy"}
                assert (line["cause"], line["endpoint"]) == ("client_closed", f"127.0.0.1:{port}")


def the_line_of(proxy: Proxy, source: str) -> dict[str, Any]:
    """The access log's line of the connection from `source`, awaited."""
    [line] = until(f"a line of {source}", lambda: [line for line in proxy.access_log() if line["source"] == source])
    return line


def test_behind_nginx_the_source_is_the_clients(tmp_path: Path) -> None:
    front = free_port()
    with (
        Backend("b") as backend,
        Proxy(tmp_path, config([backend.address], server={"proxyProtocol": TRUSTED})) as proxy,
    ):
        server = f"listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{proxy.port()}; proxy_protocol on;"
        with nginx_with(tmp_path, f"stream {{ server {{ {server} }} }}", front), socket.socket() as sock:
            sock.settimeout(10)
            sock.bind((CLIENT, 0))
            sock.connect(("127.0.0.1", front))
            source = "{}:{}".format(*sock.getsockname())
            sock.sendall(b"line\n")
            assert sock.recv(100) == b"b line\n"
            until("it is told while it is open", lambda: source in proxy.get("/connections.json?state=open")[1])
        assert the_line_of(proxy, source)["proxyHeader"] == {"version": 1, "command": "proxy"}


def test_behind_haproxy_an_ipv6_client_is_one(tmp_path: Path) -> None:
    front = free_port()
    with nginx(tmp_path) as [port]:
        conf = config([f"127.0.0.1:{port}"], server={"proxyProtocol": TRUSTED})
        with Proxy(tmp_path, conf) as proxy:
            sections = "".join(
                f"listen v{version}\n  bind 127.0.0.1:{front + version}\n  bind [::1]:{front + version}\n"
                f"  server us 127.0.0.1:{proxy.port()} {option}\n"
                for version, option in ((0, "send-proxy"), (1, "send-proxy-v2"))
            )
            with haproxy(tmp_path, sections, front + 1):
                for port in (front, front + 1):
                    done = curl("-w", "%{local_ip} %{local_port}", f"http://[::1]:{port}/")
                    assert done.returncode == 0, done.stderr
                    ip, number = done.stdout.split()[1:]
                    assert the_line_of(proxy, f"[{ip}]:{number}")["cause"] == "client_closed"


def test_curl_says_itself_who_it_is(tmp_path: Path) -> None:
    with nginx(tmp_path) as [port]:
        conf = config([f"127.0.0.1:{port}"], server={"proxyProtocol": {"trusted": [f"{CLIENT}/32"]}})
        with Proxy(tmp_path, conf) as proxy:
            got, source = get(f"http://127.0.0.1:{proxy.port()}/", "--haproxy-protocol")
            assert got == "nginx"
            assert the_line_of(proxy, source)["proxyHeader"] == {"version": 1, "command": "proxy"}


def test_the_header_stands_before_tls_that_ends_here(tmp_path: Path) -> None:
    ca = Authority(tmp_path / "ca")
    key, cert = ca.sign("www.example.com")
    server = {
        "proxyProtocol": {"trusted": [f"{CLIENT}/32"]},
        "tls": {"defaultIdentity": {"privateKey": str(key), "certs": [str(cert)]}},
    }
    with nginx(tmp_path) as [port], Proxy(tmp_path, config([f"127.0.0.1:{port}"], server=server)) as proxy:
        got, source = get("https://www.example.com/", *at(proxy.port(), ca.cert), "--haproxy-protocol")
        assert got == "nginx"
        assert the_line_of(proxy, source)["proxyHeader"] == {"version": 1, "command": "proxy"}


@pytest.mark.parametrize(("option", "version"), [("send-proxy", 1), ("send-proxy-v2", 2)])
def test_a_client_of_haproxys_unix_socket_has_the_connections_own_address(
    tmp_path: Path, option: str, version: int
) -> None:
    front = free_port()
    with nginx(tmp_path) as [port]:
        conf = config([f"127.0.0.1:{port}"], server={"proxyProtocol": TRUSTED})
        with Proxy(tmp_path, conf) as proxy:
            # The port only tells that it listens, and says nothing to us.
            binds = f"listen front\n  bind unix@{tmp_path}/sock\n  server us 127.0.0.1:{proxy.port()} {option}\n"
            with haproxy(tmp_path, f"{binds}listen port\n  bind 127.0.0.1:{front}\n  server us 127.0.0.1:1\n", front):
                done = curl("--unix-socket", tmp_path / "sock", "http://any/")
            assert (done.returncode, done.stdout) == (0, "nginx\n"), done.stderr
            [line] = proxy.closed(1)
            assert line["source"].startswith("127.0.0.1:"), line
            assert line["proxyHeader"]["version"] == version


def test_haproxys_checks_keep_their_own_address(tmp_path: Path) -> None:
    front = free_port()
    with (
        Backend("b") as backend,
        Proxy(tmp_path, config([backend.address], server={"proxyProtocol": TRUSTED})) as proxy,
    ):
        checks = "check inter 50ms rise 1 check-send-proxy send-proxy-v2"
        body = f"listen front\n  bind 127.0.0.1:{front}\n  server us 127.0.0.1:{proxy.port()} {checks}\n"
        with haproxy(tmp_path, body, front):
            lines = proxy.closed(3)
            until("HAProxy has it up", lambda: _answers(front))
        checks_of = [line for line in lines if (line["proxyHeader"] or {}).get("command") == "local"]
        assert len(checks_of) >= 2, lines
        assert {line["source"].split(":")[0] for line in checks_of} == {"127.0.0.1"}


def _answers(port: int) -> bool:
    with Client(("127.0.0.1", port)) as client:
        return client.ask() == "b"


def test_what_haproxy_knows_of_the_clients_tls_is_told_and_its_authority_routes(tmp_path: Path) -> None:
    ca, front = Authority(tmp_path / "ca"), free_port()
    key, cert = ca.sign("www.example.com")
    client_key, client_cert = ca.sign("caller")
    (tmp_path / "both.pem").write_text(key.read_text() + cert.read_text())
    server = {"port": 0, "proxyProtocol": TRUSTED, "identifier": {"kind": "io.l5d.proxyAuthority"}}
    with nginx(tmp_path) as [port]:
        conf = config(servers=[server], namers=static({"www.example.com": [f"127.0.0.1:{port}"]}))
        with Proxy(tmp_path, conf) as proxy:
            bind = f"ssl crt {tmp_path}/both.pem alpn http/1.1 ca-file {ca.cert} verify optional"
            options = "send-proxy-v2-ssl-cn proxy-v2-options authority,unique-id,crc32c,ssl,cert-cn,ssl-cipher"
            body = (
                f"listen front\n  bind 127.0.0.1:{front} {bind}\n  unique-id-format request-7\n"
                f"  server us 127.0.0.1:{proxy.port()} {options}\n"
            )
            with haproxy(tmp_path, body, front):
                certificate = ["--cert", client_cert, "--key", client_key]
                for shown in ([], certificate):
                    got, source = get("https://www.example.com/", *at(front, ca.cert), *shown)
                    assert got == "nginx"
                    line = the_line_of(proxy, source)
                    assert line["path"] == "/svc/www.example.com"
                    header = line["proxyHeader"]
                    tls = header.pop("ssl")
                    assert header == {
                        "version": 2,
                        "command": "proxy",
                        "authority": "www.example.com",
                        "alpn": "http/1.1",
                        "uniqueId": b"request-7".hex(),
                    }
                    assert tls["version"] == "TLSv1.3"
                    assert tls["cipher"].startswith("TLS_")
                    # The specification's `verify` is 0 without a certificate, too; verified is who has shown one.
                    assert tls["cn"] == ("caller" if shown else None)
                    assert tls["verified"] is bool(shown)


def test_only_trusted_networks_say_who_is_calling(tmp_path: Path) -> None:
    servers = [
        {"port": 0, "dstName": "/svc/default", "proxyProtocol": {**TRUSTED, "mode": mode}}
        for mode in ("required", "optional")
    ]
    with nginx(tmp_path) as [port], Proxy(tmp_path, config([f"127.0.0.1:{port}"], servers=servers)) as proxy:
        required, optional = (f"http://127.0.0.1:{proxy.port(index=index)}/" for index in (0, 1))
        stranger = ["--interface", CLIENT]
        # A stranger where a header is required is closed, with one and without.
        assert curl(*stranger, required).returncode in REFUSED
        assert curl(*stranger, "--haproxy-protocol", required).returncode in REFUSED
        # Where it is optional, what a stranger sends is all payload: nginx is sent the header and answers 400.
        assert curl(*stranger, optional).stdout == "nginx\n"
        assert "400" in curl(*stranger, "--haproxy-protocol", "-w", "%{http_code}", optional).stdout
        # A trusted one may leave it out only where it is optional.
        assert curl(required).returncode in REFUSED
        assert curl(optional).stdout == "nginx\n"
        assert curl("--haproxy-protocol", optional).stdout == "nginx\n"
        lines = proxy.closed(7)
        assert sorted(line["cause"] for line in lines)[-3:] == ["proxy_protocol"] * 3
        assert proxy.metric("l5d_srv_failures_total", cause="proxy_protocol") == 3
        assert [line["source"].split(":")[0] for line in lines].count(CLIENT) == 4


def test_allow_and_deny_are_for_the_real_source(tmp_path: Path) -> None:
    front = free_port()
    servers = [
        {"port": 0, "dstName": "/svc/default", "proxyProtocol": TRUSTED, **lists}
        for lists in ({"deny": [f"{CLIENT}/32"]}, {"allow": [f"{CLIENT}/32"]}, {"allow": ["127.0.0.1/32"]})
    ]
    with nginx(tmp_path) as [port], Proxy(tmp_path, config([f"127.0.0.1:{port}"], servers=servers)) as proxy:
        body = "".join(
            f"listen l{index}\n  bind 127.0.0.1:{front + index}\n"
            f"  server us 127.0.0.1:{proxy.port(index=index)} send-proxy-v2\n"
            for index in range(3)
        )
        with haproxy(tmp_path, body, front + 2):
            urls = [f"http://127.0.0.1:{front + index}/" for index in range(3)]
            from_client = [curl("--interface", CLIENT, url).stdout for url in urls]
            assert from_client == ["", "nginx\n", ""]
            from_here = [curl(url).stdout for url in urls]
            assert from_here == ["nginx\n", "", "nginx\n"]
        denied = until(
            "three are denied", lambda: [line for line in proxy.access_log() if line["cause"] == "denied"][2:]
        )
        assert denied
        assert proxy.metric("l5d_srv_failures_total", cause="denied") == 3


# Out

SEEN_BY_NGINX = "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port"
SEEN_BY_HAPROXY = (
    'http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port]{more}"'
)


@contextmanager
def nginx_receiver(folder: Path, listen: str = "") -> Iterator[int]:
    """Answers with the client's and the server's address as the PROXY header has them."""
    port = free_port()
    server = f'listen 127.0.0.1:{port} proxy_protocol {listen}; location / {{ return 200 "{SEEN_BY_NGINX}"; }}'
    with nginx_with(folder, f"http {{ access_log off; server {{ {server} }} }}", port):
        yield port


@contextmanager
def haproxy_receiver(folder: Path, more: str = "") -> Iterator[int]:
    """The same of HAProxy, and `more` in its log format."""
    port = free_port()
    body = f"frontend f\n  bind 127.0.0.1:{port} accept-proxy\n  {SEEN_BY_HAPROXY.format(more=more)}\n"
    with haproxy(folder, body, port, "http"):
        yield port


RECEIVERS = {"nginx": nginx_receiver, "haproxy": haproxy_receiver}


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_an_endpoint_is_told_the_client_in_both_versions(tmp_path: Path, receiver: str) -> None:
    clients = [
        {"proxyProtocol": "v1"},
        {"proxyProtocol": "v2"},
        {"proxyProtocol": {"version": "v2", "tlvs": ["authority", "alpn", "ssl", "crc32c", "uniqueId"]}},
    ]
    with RECEIVERS[receiver](tmp_path) as port:
        conf = config([f"127.0.0.1:{port}"])
        [router] = conf["routers"]
        conf["routers"] = [{**router, "label": f"r{index}", "client": client} for index, client in enumerate(clients)]
        with Proxy(tmp_path, conf) as proxy:
            for index in range(len(clients)):
                own = f"127.0.0.1:{proxy.port(f'r{index}')}"
                for _ in range(2):  # the second is no first connection of its balancer
                    got, source = get(f"http://{own}/")
                    assert got == f"{source} {own}"


def test_haproxy_is_told_the_server_name_and_id_of_tls_that_ends_here(tmp_path: Path) -> None:
    ca = Authority(tmp_path / "ca")
    key, cert = ca.sign("www.example.com")
    tls = {"defaultIdentity": {"privateKey": str(key), "certs": [str(cert)]}}
    client = {"proxyProtocol": {"version": "v2", "tlvs": ["authority", "alpn", "ssl", "crc32c", "uniqueId"]}}
    more = " %[fc_pp_authority] %[fc_pp_unique_id]"
    with haproxy_receiver(tmp_path, more) as port:
        conf = config([f"127.0.0.1:{port}"], server={"tls": tls}, client=client)
        with Proxy(tmp_path, conf) as proxy:
            got, source = get("https://www.example.com/", *at(proxy.port(), ca.cert))
            line = the_line_of(proxy, source)
            assert got == f"{source} 127.0.0.1:{proxy.port()} www.example.com {line['id']}"


def test_the_client_is_known_at_the_end_of_a_chain(tmp_path: Path) -> None:
    front = free_port()
    with nginx_receiver(tmp_path) as port:
        conf = config([f"127.0.0.1:{port}"], server={"proxyProtocol": TRUSTED}, client={"proxyProtocol": "v2"})
        with Proxy(tmp_path, conf) as proxy:
            body = f"listen front\n  bind 127.0.0.1:{front}\n  server us 127.0.0.1:{proxy.port()} send-proxy\n"
            with haproxy(tmp_path, body, front):
                got, source = get(f"http://127.0.0.1:{front}/")
                assert got == f"{source} 127.0.0.1:{front}"


def test_the_header_stands_before_tls_that_passes_through(tmp_path: Path) -> None:
    ca = Authority(tmp_path / "ca")
    key, cert = ca.sign("www.example.com")
    front = free_port()
    ends_tls = f"ssl; ssl_certificate {cert}; ssl_certificate_key {key}"
    with nginx_receiver(tmp_path, ends_tls) as port:
        server = {"port": 0, "identifier": {"kind": "io.l5d.sni"}, "proxyProtocol": TRUSTED}
        made = config(
            servers=[server],
            client={"proxyProtocol": "v1"},
            namers=static({"www.example.com": [f"127.0.0.1:{port}"]}),
        )
        with Proxy(tmp_path, made) as proxy:
            body = f"listen front\n  bind 127.0.0.1:{front}\n  server us 127.0.0.1:{proxy.port()} send-proxy-v2\n"
            with haproxy(tmp_path, body, front):
                got, source = get("https://www.example.com/", *at(front, ca.cert))
                assert got == f"{source} 127.0.0.1:{front}"
                assert the_line_of(proxy, source)["path"] == "/svc/www.example.com"


def test_connections_ahead_of_need_have_no_client_to_tell_of(tmp_path: Path) -> None:
    conf: Mapping[str, Any] = config(["127.0.0.1:1"], client={"proxyProtocol": "v1", "minConnections": 1})
    with Proxy(tmp_path, conf, wait=False) as proxy:
        assert proxy.exit_status() == 2
        assert re.search(r"config\.yml:\d+:\d+: routers\[0\]\.client\S*: .*proxyProtocol", proxy.log), proxy.log
    assert run(tmp_path, "--check", "config.yml").returncode == 2

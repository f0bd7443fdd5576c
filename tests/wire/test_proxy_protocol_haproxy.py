"""HAProxy as the sender of what we read, and as the receiver of what we build."""

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from linkerd_tcp.wire.parsing import Incomplete
from linkerd_tcp.wire.proxy_protocol import (
    Authority,
    Command,
    Family,
    Parsed,
    Transport,
    UniqueId,
    build_local,
    build_v1,
    build_v2,
    parse,
)
from tests.programs import program
from tests.sockets import DEADLINE_SECS
from tests.system.harness import free_port
from tests.system.servers import running

CONFIG = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s

listen v1
  bind 127.0.0.1:{v1}
  bind unix@v1.sock
  server s 127.0.0.1:{sink} send-proxy
listen v2
  bind 127.0.0.1:{v2}
  bind unix@v2.sock
  server s 127.0.0.1:{sink} send-proxy-v2
listen v2_options
  bind 127.0.0.1:{v2_options}
  unique-id-format id-%cp
  server s 127.0.0.1:{sink} send-proxy-v2 proxy-v2-options crc32c,unique-id
listen v2_tls
  bind 127.0.0.1:{v2_tls} ssl crt server.pem ca-file ca.pem verify optional alpn h2 ssl-min-ver TLSv1.2
  server s 127.0.0.1:{sink} send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c
frontend receiver
  mode http
  bind 127.0.0.1:{receiver} accept-proxy
  http-request return status 200 content-type text/plain lf-string "{fields}"
"""
FIELDS = "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]"
CHECKED = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s
listen checked
  bind 127.0.0.1:{port}
  server s 127.0.0.1:{sink} send-proxy-v2 check check-send-proxy inter 200ms
"""
PORTS = ("v1", "v2", "v2_options", "v2_tls", "receiver")


@dataclass
class Relay:
    """A running HAProxy; what it sends to its only endpoint is read here."""

    folder: Path
    ports: dict[str, int]
    sink: socket.socket

    def header(self) -> Parsed:
        """The header of the next connection from HAProxy, read as a server would: as many bytes as are needed."""
        accepted, _ = self.sink.accept()
        with accepted:
            accepted.settimeout(DEADLINE_SECS)
            data, answer = b"", parse(b"")
            while isinstance(answer, Incomplete):
                more = accepted.recv(answer.need - len(data))
                assert more, f"ended after {data!r}"
                data += more
                answer = parse(data)
            return answer


def listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.settimeout(DEADLINE_SECS)
    return sock


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run([program("openssl"), *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


def certificates(folder: Path) -> None:
    """ca.pem, which signs itself and is the client's as well; server.pem, key and certificate in one file."""
    for name, subject in (("ca", "/O=Test/CN=a client"), ("server", "/CN=www.example.com")):
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject]
        openssl(folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    with (folder / "server.pem").open("a") as file:
        file.write((folder / "server.key").read_text())


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    haproxy = program("haproxy")
    folder = tmp_path_factory.mktemp("haproxy")
    certificates(folder)
    first = free_port(len(PORTS))
    ports = {name: first + number for number, name in enumerate(PORTS)}
    with listening() as sink:
        text = CONFIG.format(**ports, sink=sink.getsockname()[1], fields=FIELDS)
        (folder / "haproxy.cfg").write_text(text)
        with running([haproxy, "-db", "-f", "haproxy.cfg"], folder, ports["v1"]):
            # `running` has connected once to see that it listens, and HAProxy passed that on: the first header.
            relay = Relay(folder, ports, sink)
            relay.header()
            yield relay


def test_a_line_gives_the_clients_connection(relay: Relay) -> None:
    with socket.create_connection(("127.0.0.1", relay.ports["v1"]), DEADLINE_SECS) as client:
        answer = relay.header()
        ends = (client.getsockname(), client.getpeername())
    assert (answer.version, answer.source, answer.destination) == (1, *ends)


def test_a_client_on_a_unix_socket_is_unknown_in_version_1_and_local_in_version_2(relay: Relay) -> None:
    """HAProxy has no use for UNIX paths either: it says LOCAL, and may add TLVs, which a receiver is to discard."""
    answers = []
    for name in ("v1.sock", "v2.sock"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(relay.folder / name))
            answers.append(relay.header())
    assert [answer.source for answer in answers] == [None, None]
    assert [answer.command for answer in answers] == [Command.PROXY, Command.LOCAL]


@pytest.mark.parametrize("name", ["v2", "v2_options"])
def test_a_binary_header_gives_the_clients_connection(relay: Relay, name: str) -> None:
    with socket.create_connection(("127.0.0.1", relay.ports[name]), DEADLINE_SECS) as client:
        answer = relay.header()
        ends = (client.getsockname(), client.getpeername())
    assert (answer.version, answer.command, answer.source, answer.destination) == (2, Command.PROXY, *ends)
    assert (answer.family, answer.transport) == (Family.INET, Transport.STREAM)
    assert answer.unique_id == (f"id-{ends[0][1]}".encode() if name == "v2_options" else None)


@pytest.mark.parametrize("certified", [True, False])
def test_what_haproxy_says_of_a_tls_client(relay: Relay, certified: bool) -> None:
    client = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{relay.ports['v2_tls']}", "-tls1_2", "-quiet"]
    names = ["-servername", "www.example.com", "-alpn", "h2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]
    mine = ["-cert", "ca.pem", "-key", "ca.key"] if certified else []
    process = subprocess.Popen(
        [*client, *names, *mine],
        cwd=relay.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        answer = relay.header()
    finally:
        process.kill()
        process.communicate()
    ssl = answer.ssl
    assert answer.authority == "www.example.com"
    assert answer.alpn == b"h2"
    assert ssl is not None
    assert (ssl.version, ssl.cipher) == ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")
    assert (ssl.signature_algorithm, ssl.key_algorithm) == ("RSA-SHA256", "RSA2048")
    assert ssl.client == (ssl.CLIENT_SSL | ssl.CLIENT_CERT_CONN | ssl.CLIENT_CERT_SESS if certified else ssl.CLIENT_SSL)
    assert ssl.verify == 0  # without a certificate too
    assert ssl.verified is certified
    assert ssl.common_name == ("a client" if certified else None)
    assert ssl.others == ()


def test_a_health_check_is_local(tmp_path: Path) -> None:
    haproxy, port = program("haproxy"), free_port()
    with listening() as sink:
        (tmp_path / "haproxy.cfg").write_text(CHECKED.format(port=port, sink=sink.getsockname()[1]))
        with running([haproxy, "-db", "-f", "haproxy.cfg"], tmp_path, port):
            relay = Relay(tmp_path, {}, sink)
            # One of the two first connections may be what `running` made to see that HAProxy listens.
            answers = [relay.header() for _ in range(2)]
    local = next(answer for answer in answers if answer.command is Command.LOCAL)
    assert (local.source, local.destination) == (None, None)


def received(relay: Relay, header: bytes) -> list[str]:
    """What HAProxy took from `header`: one word for each of FIELDS, "" for what it does not have."""
    with socket.create_connection(("127.0.0.1", relay.ports["receiver"]), DEADLINE_SECS) as client:
        client.sendall(header + b"GET / HTTP/1.0\r\n\r\n")
        own = client.getsockname()
        reply = b"".join(iter(lambda: client.recv(4096), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), reply
    return body.decode().replace(f"{own[0]} {own[1]}", "real real").split(" ")


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (("192.0.2.1", 56324), ("198.51.100.2", 443)),
        (("2001:db8::1", 1), ("2001:db8::2", 65535)),
        (("192.0.2.1", 56324), ("2001:db8::2", 443)),
    ],
)
def test_haproxy_takes_what_is_built(relay: Relay, source: tuple[str, int], destination: tuple[str, int]) -> None:
    address = source[0] if ":" in source[0] or ":" not in destination[0] else f"::ffff:{source[0]}"
    ends = [address, str(source[1]), destination[0], str(destination[1])]
    assert received(relay, build_v1(source, destination))[:4] == ends
    tlvs = [Authority("www.example.com"), UniqueId(b"id-1")]
    assert received(relay, build_v2(source, destination, tlvs)) == [*ends, "www.example.com", "id-1"]
    assert received(relay, build_v2(source, destination, tlvs, crc32c=False)) == [*ends, "www.example.com", "id-1"]


def test_haproxy_uses_the_real_addresses_after_a_local_header(relay: Relay) -> None:
    assert received(relay, build_local())[:2] == ["real", "real"]

import _socket
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from linkerd_tcp.config.client import ClientSettings
from linkerd_tcp.config.tls import ProxyHeader
from linkerd_tcp.connectors import connector_for
from linkerd_tcp.connectors.connector import Abandoned, ConnectFailed, Target
from linkerd_tcp.connectors.direct import DirectConnector
from linkerd_tcp.connectors.header import HeaderConnector, HeaderFormat
from linkerd_tcp.envelope import Envelope, PeerCertificate
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.addr import Address
from linkerd_tcp.record import Record
from linkerd_tcp.wire.proxy_protocol import Alpn, Authority, Command, Family, Parsed, Ssl, UniqueId, build_v2, parse
from tests.programs import program
from tests.sockets import DEADLINE_SECS, read_all
from tests.system.harness import free_port
from tests.system.servers import running

from .listeners import Backend, eventually

V4 = Envelope(("192.0.2.1", 56324), ("198.51.100.2", 443), 0.0)
SOURCE, LOCAL = V4.source, V4.local
Opened = Callable[[Any], Any]


def record(envelope: Envelope | None = V4) -> Record:
    made = Record(31, "default", "127.0.0.1:7474", ("127.0.0.1", 50112))
    made.envelope = envelope
    return made


def header(envelope: Envelope | None, version: str = "v2", *tlvs: str) -> Parsed:
    data = HeaderFormat(ProxyHeader(version=version, tlvs=tlvs)).of(record(envelope))
    said = parse(data)
    assert isinstance(said, Parsed)
    assert said.header_length == len(data)
    return said


def received(*tlvs: Any) -> Parsed:
    """What a trusted proxy said."""
    said = parse(build_v2(SOURCE, LOCAL, tlvs))
    assert isinstance(said, Parsed)
    return said


# -- what is said


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_header_names_the_client_and_where_it_called(version: str) -> None:
    said = header(V4, version)
    assert (said.command, said.family, said.source, said.destination) == (Command.PROXY, Family.INET, SOURCE, LOCAL)
    assert said.tlvs == ()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_mapped_addresses_are_ipv4_and_a_scope_is_left_out(version: str) -> None:
    both = Envelope(("::ffff:192.0.2.1", 56324), ("::ffff:198.51.100.2", 443), 0.0)
    assert header(both, version) == header(V4, version)
    linked = header(Envelope(("fe80::1%eth0", 1), ("fe80::2%eth0", 2), 0.0), version)
    assert (linked.family, linked.source, linked.destination) == (Family.INET6, ("fe80::1", 1), ("fe80::2", 2))


def test_of_two_families_version_1_says_unknown_and_version_2_maps_the_ipv4_one() -> None:
    mixed = V4._replace(local=("2001:db8::2", 443))
    assert HeaderFormat(ProxyHeader(version="v1")).of(record(mixed)) == b"PROXY UNKNOWN\r\n"
    said = header(mixed)
    assert (said.family, said.source, said.destination) == (
        Family.INET6,
        ("::ffff:192.0.2.1", 56324),
        ("2001:db8::2", 443),
    )


def test_without_a_client_it_is_the_proxys_own_connection() -> None:
    assert header(None).command is Command.LOCAL
    assert header(None, "v1").source is None
    assert HeaderFormat(ProxyHeader(version="v1")).of(None) == b"PROXY UNKNOWN\r\n"


ALL = ("authority", "alpn", "ssl", "crc32c", "uniqueId")


def test_each_tlv_is_sent_only_where_it_is_configured_and_known() -> None:
    known = V4._replace(tls=True, server_name="www.example.com", alpn="h2")
    assert header(known).tlvs == ()
    assert header(known, "v2", "authority").tlvs == (Authority("www.example.com"),)
    assert header(known, "v2", "alpn").tlvs == (Alpn(b"h2"),)
    assert header(known, "v2", "uniqueId").tlvs == (UniqueId(b"0-1f"),)
    assert header(known, "v2", "ssl").tlvs == (Ssl(Ssl.CLIENT_SSL, 1),)
    assert header(V4, "v2", *ALL).tlvs == (UniqueId(b"0-1f"),)


def test_the_checksum_is_sent_only_where_it_is_configured() -> None:
    bare, checked = (HeaderFormat(ProxyHeader(version="v2", tlvs=t)).of(record()) for t in ((), ("crc32c",)))
    assert (len(bare), len(checked)) == (28, 35)
    damaged = checked[:20] + bytes([checked[20] ^ 1]) + checked[21:]
    with pytest.raises(ValueError, match="CRC32c"):
        parse(damaged)


def test_a_verified_client_certificate_is_said_with_its_name() -> None:
    shown = V4._replace(tls=True, peer=PeerCertificate("a client", ("a.example.com",)))
    said = header(shown, "v2", "ssl").ssl
    assert said is not None
    assert (said.verified, said.common_name, said.client) == (True, "a client", Ssl.CLIENT_SSL | Ssl.CLIENT_CERT_SESS)


def test_what_a_trusted_proxy_said_goes_on() -> None:
    tls = Ssl(Ssl.CLIENT_SSL, 0, version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256", client_cert=b"der")
    sent = (Authority("www.example.com"), Alpn(b"h2"), tls, UniqueId(b"first"))
    assert header(V4._replace(proxy=received(*sent)), "v2", *ALL).tlvs == sent


def test_tls_that_ended_here_names_the_server_before_a_trusted_proxy_does() -> None:
    both = V4._replace(tls=True, server_name="here.example.com", alpn="http/1.1")
    both = both._replace(proxy=received(Authority("there.example.com"), Alpn(b"h2")))
    assert header(both, "v2", "authority", "alpn").tlvs == (Authority("here.example.com"), Alpn(b"http/1.1"))


# -- how it is sent


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_header_is_the_first_thing_that_an_endpoint_gets(opened: Opened, version: str) -> None:
    backend = opened(Backend())
    sock = opened(connector_for(ClientSettings(proxy_protocol=version)).connect(Target(backend.address), 1.0, record()))
    assert type(sock) is _socket.socket
    sock.send(b"hello")
    sock.shutdown(socket.SHUT_WR)
    eventually(lambda: backend.connections)
    got = read_all(backend.connections[0])
    said = parse(got)
    assert isinstance(said, Parsed)
    assert (said.source, said.destination) == (SOURCE, LOCAL)
    assert got[said.header_length :] == b"hello"


def test_plain_settings_give_the_plain_connector() -> None:
    assert type(connector_for(ClientSettings())) is DirectConnector


class Full:
    """Connects to `far`, then fills what the connection holds: the send of a header is short, and the next one blocks.

    Not over TCP, where what was taken moves on to the other side in its own time, and leaves room once more.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.filled = 0
        near, self.far = socket.socketpair()
        self._near = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fileno=near.detach())
        self._near.setblocking(False)

    def connect(self, target: Target, timeout_secs: float) -> Any:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.filled += self._near.send(b"x" * 512)
        return Short(self._near, self._room)

    def close(self) -> None:
        self.far.close()


class Short:
    """The next send takes `room` bytes, as a socket does whose buffer has no more."""

    def __init__(self, sock: _socket.socket, room: int) -> None:
        self._sock, self._room = sock, room
        self.fileno, self.close = sock.fileno, sock.close
        self.early = b""

    def send(self, data: bytes) -> int:
        if self._room:
            self.early, self._room = bytes(data[: self._room]), 0
            return len(self.early)
        return self._sock.send(data)


def attempt(connector: HeaderConnector, target: Target, secs: float = 30.0) -> Any:
    try:
        return connector.connect(target, secs, record())
    except ConnectFailed as failed:
        return failed


V2 = ProxyHeader(version="v2")


@pytest.mark.parametrize("room", [1, 20])
def test_the_rest_of_a_header_follows_when_there_is_room(opened: Opened, room: int) -> None:
    full = opened(Full(room))
    to = Target(Address("127.0.0.1", 9))
    sending = gevent.spawn(attempt, HeaderConnector(full, V2), to)
    eventually(lambda: to.attempts)
    got = b""
    while len(got) < full.filled + 28 - room:
        got += full.far.recv(65536)
    sock = opened(sending.get(timeout=DEADLINE_SECS))
    assert sock.early + got[full.filled :] == HeaderFormat(V2).of(record())
    assert not to.attempts


def test_a_header_that_cannot_be_sent_in_time_is_a_timeout(opened: Opened) -> None:
    begun = time.monotonic()
    failed = attempt(HeaderConnector(opened(Full(1)), V2), Target(Address("127.0.0.1", 9)), 0.05)
    assert isinstance(failed, ConnectFailed)
    assert failed.cause is Cause.TIMEOUT
    assert 0.045 <= time.monotonic() - begun < 1.0


@pytest.mark.parametrize("how", ["abandoned", "killed"])
def test_sending_a_header_can_be_ended(opened: Opened, how: str) -> None:
    to = Target(Address("127.0.0.1", 9))
    sending = gevent.spawn(attempt, HeaderConnector(opened(Full(1)), V2), to)
    eventually(lambda: to.attempts)
    to.abandon() if how == "abandoned" else sending.kill(block=False)
    sending.join(timeout=1.0)
    assert sending.ready()
    assert isinstance(sending.value, Abandoned if how == "abandoned" else gevent.GreenletExit)
    assert not to.attempts


def test_an_endpoint_that_resets_at_once_is_said(opened: Opened) -> None:
    class Gone:
        def connect(self, target: Target, timeout_secs: float) -> Any:
            near, far = socket.socketpair()
            far.close()
            raw = _socket.socket(fileno=near.detach())
            return opened(raw)

    failed = attempt(HeaderConnector(Gone(), ProxyHeader(version="v1")), Target(opened(Backend()).address))
    assert isinstance(failed, ConnectFailed)
    assert failed.cause is Cause.RESET


# -- HAProxy at the other end

CONFIG = """\
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend receiver
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "{fields}"
"""
FIELDS = "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]"


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path, folder, port = program("haproxy"), tmp_path_factory.mktemp("haproxy"), free_port()
    (folder / "haproxy.cfg").write_text(CONFIG.format(port=port, fields=FIELDS))
    with running([path, "-db", "-f", Path("haproxy.cfg")], folder, port):
        yield port


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_learns_the_client(haproxy: int, version: str) -> None:
    tlvs = ALL if version == "v2" else ()
    settings = ClientSettings(proxy_protocol=ProxyHeader(version=version, tlvs=tlvs))
    known = V4._replace(tls=True, server_name="www.example.com", alpn="http/1.1")
    target = Target(Address("127.0.0.1", haproxy))
    raw = connector_for(settings).connect(target, 1.0, record(known))
    with socket.socket(fileno=raw.detach()) as sock:
        sock.settimeout(DEADLINE_SECS)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    said = ["www.example.com", "0-1f"] if version == "v2" else ["", ""]
    assert body.decode().split(" ") == ["192.0.2.1", "56324", "198.51.100.2", "443", *said]

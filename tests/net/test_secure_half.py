"""TLS on either side of a stream: nothing is lost, whoever ends it, and nothing is left."""

import hashlib
import random
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path as FilePath
from time import monotonic

import gevent
import pytest

from linkerd_tcp.errors import Cause
from linkerd_tcp.net.duplex import Duplex, Limits, Side
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.tls import TlsCause, TlsEnd, cause_of
from tests.leaks import no_leaks
from tests.programs import program
from tests.sockets import eventually, tcp_pair

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> FilePath:
    """A key and a self-signed certificate of localhost, in one file."""
    folder = tmp_path_factory.mktemp("pem")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([program("openssl"), *words.split(), *names, *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def server_context(pem: FilePath, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.minimum_version = minimum
    return context


def client_context(pem: FilePath, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pem)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Peer:
    """The far end of one side: plain, or TLS by Python's own memory-BIO object, driven in blocking steps."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None, *, server_side: bool) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = None
        if context is not None:
            name = None if server_side else "localhost"
            self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side, name)

    def _step(self, action):  # type: ignore[no-untyped-def]
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                self.incoming.write(data) if data else self.incoming.write_eof()
                continue
            finally:
                self._flush()  # also the alert that says what failed
            return result

    def _flush(self) -> None:
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def handshake(self) -> None:
        if self.tls is not None:
            self._step(self.tls.do_handshake)

    def send(self, data: bytes) -> None:
        if self.tls is None:
            self.sock.sendall(data)
            return
        for start in range(0, len(data), 16384):
            self.tls.write(data[start : start + 16384])
            self._flush()

    def end(self) -> None:
        """close_notify, and FIN."""
        if self.tls is not None:
            with suppress(ssl.SSLWantReadError):  # not raised where the other side has announced its end already
                self.tls.unwrap()
            self._flush()
        self.sock.shutdown(socket.SHUT_WR)

    def read(self, size: int = 65536) -> bytes:
        if self.tls is None:
            return self.sock.recv(size)
        tls = self.tls
        try:
            data: bytes = self._step(lambda: tls.read(size))
        except ssl.SSLZeroReturnError:
            return b""
        return data

    def read_all(self) -> bytes:
        """To the announced end; ssl.SSLEOFError if a TLS stream ends unannounced."""
        parts = []
        while part := self.read():
            parts.append(part)
        return b"".join(parts)


class Stream:
    """client - (plain or TLS) - duplex - (plain or TLS) - endpoint."""

    def __init__(self, pem: FilePath, client_tls: bool, endpoint_tls: bool, limits: Limits | None = None) -> None:
        client_sock, src = tcp_pair()
        endpoint_sock, dst = tcp_pair()
        self.client = Peer(client_sock, client_context(pem) if client_tls else None, server_side=False)
        self.endpoint = Peer(endpoint_sock, server_context(pem) if endpoint_tls else None, server_side=True)
        near: Side = TlsEnd(src, server_context(pem), server_side=True) if client_tls else src
        far: Side = (
            TlsEnd(dst, client_context(pem), server_side=False, server_name="localhost") if endpoint_tls else dst
        )
        shaking = [gevent.spawn(peer.handshake) for peer in (self.client, self.endpoint)]
        for end in (near, far):
            if isinstance(end, TlsEnd):
                end.handshake(monotonic() + 5)
        gevent.joinall(shaking, raise_error=True, timeout=5)
        self.duplex = Duplex(near, far, Buffer(16384), limits or Limits())
        self._ends = (near, far)
        self.greenlet = gevent.spawn(self._run)
        eventually(lambda: self.duplex._greenlet is not None)

    def _run(self) -> Cause:
        try:
            return self.duplex.run()
        finally:
            for end in self._ends:
                end.close()

    def close(self) -> None:
        self.client.sock.close()
        self.endpoint.sock.close()
        self.greenlet.join(5)
        assert self.greenlet.dead


@pytest.fixture(params=[(True, False), (False, True), (True, True)], ids=["tls-plain", "plain-tls", "tls-tls"])
def stream(request: pytest.FixtureRequest, pem: FilePath, no_leaks: None) -> Iterator[Stream]:
    made = Stream(pem, *request.param)
    yield made
    made.close()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_words_go_both_ways(stream: Stream) -> None:
    stream.client.send(b"question")
    assert stream.endpoint.read() == b"question"
    stream.endpoint.send(b"answer")
    assert stream.client.read() == b"answer"
    assert (stream.duplex.rx_bytes, stream.duplex.tx_bytes) == (8, 6)


@pytest.mark.parametrize("first", ["client", "endpoint"])
def test_fin_from_either_side_with_a_reply_in_flight_loses_nothing(stream: Stream, first: str) -> None:
    one, other = (stream.client, stream.endpoint) if first == "client" else (stream.endpoint, stream.client)
    request, reply = random.Random(1).randbytes(300_000), random.Random(2).randbytes(5_000_000)

    def ask() -> bytes:
        one.send(request)
        one.end()
        return one.read_all()

    asking = gevent.spawn(ask)
    replying = gevent.spawn(other.send, reply)  # in flight before the request has come whole
    assert digest(other.read_all()) == digest(request)
    replying.get(timeout=10)
    other.end()
    assert digest(asking.get(timeout=10)) == digest(reply)
    expected = Cause.CLIENT_CLOSED if first == "client" else Cause.ENDPOINT_CLOSED
    assert stream.greenlet.get(timeout=5) is expected


def test_a_slow_reader_gets_all_of_it_and_the_announced_end(stream: Stream) -> None:
    sent = random.Random(3).randbytes(20_000_000)

    def speak() -> None:
        stream.endpoint.send(sent)
        stream.endpoint.end()

    speaking = gevent.spawn(speak)
    eventually(lambda: stream.duplex.to_src.rest is not None)
    held = stream.duplex.tx_bytes
    gevent.sleep(0.05)  # the promise is that nothing is taken meanwhile
    assert stream.duplex.tx_bytes == held
    assert digest(stream.client.read_all()) == digest(sent)
    speaking.get(timeout=5)


def test_a_lifetime_ends_it_with_an_announced_end_on_both_sides(pem: FilePath) -> None:
    stream = Stream(pem, True, True, Limits(lifetime_secs=0.05))
    assert stream.client.read_all() == b""
    assert stream.endpoint.read_all() == b""
    stream.close()


def test_a_peer_that_just_closes_is_an_end(pem: FilePath) -> None:
    stream = Stream(pem, True, False)
    stream.client.send(b"bye")
    stream.client.sock.shutdown(socket.SHUT_WR)
    assert stream.endpoint.read_all() == b"bye"
    stream.close()


def test_garbage_in_the_stream_is_a_failure_of_tls(pem: FilePath) -> None:
    stream = Stream(pem, True, False)
    stream.client.sock.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert stream.greenlet.get(timeout=5) is Cause.TLS
    stream.close()


# Handshakes that fail


def shake(pem: FilePath, server: ssl.SSLContext, speak) -> ssl.SSLError:  # type: ignore[no-untyped-def]
    sock, accepted = tcp_pair()
    end = TlsEnd(accepted, server, server_side=True)
    speaking = gevent.spawn(speak, sock)
    try:
        with pytest.raises(ssl.SSLError) as failed:
            end.handshake(monotonic() + 5)
    finally:
        end.close()
        speaking.join(5)
        sock.close()
    return failed.value


def connect_with(context: ssl.SSLContext):  # type: ignore[no-untyped-def]
    def speak(sock: socket.socket) -> None:
        peer = Peer(sock, context, server_side=False)
        with suppress(ssl.SSLError, ConnectionError):
            peer.handshake()
            peer.read()  # in TLS 1.3 the server may refuse a client that takes it for agreed

    return speak


def test_each_failed_handshake_has_its_cause(pem: FilePath) -> None:
    server = server_context(pem)
    plain = shake(pem, server, lambda sock: sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert cause_of(plain) is TlsCause.PLAINTEXT
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert cause_of(shake(pem, server, connect_with(stranger))) is TlsCause.UNKNOWN_CA
    modern = server_context(pem, ssl.TLSVersion.TLSv1_3)
    assert cause_of(shake(pem, modern, connect_with(client_context(pem, ssl.TLSVersion.TLSv1_2)))) is TlsCause.VERSION
    picky = client_context(pem, ssl.TLSVersion.TLSv1_2)
    picky.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    assert cause_of(shake(pem, server, connect_with(picky))) is TlsCause.NO_SHARED_CIPHER
    asking = server_context(pem)
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(pem)
    assert cause_of(shake(pem, asking, connect_with(client_context(pem)))) is TlsCause.NO_CERTIFICATE


def test_a_silent_client_ends_at_the_deadline(pem: FilePath) -> None:
    sock, accepted = tcp_pair()
    end = TlsEnd(accepted, server_context(pem), server_side=True)
    with pytest.raises(TimeoutError):
        end.handshake(monotonic() + 0.05)
    end.close()
    sock.close()


def test_a_client_that_leaves_in_the_handshake_is_a_reset(pem: FilePath) -> None:
    sock, accepted = tcp_pair()
    end = TlsEnd(accepted, server_context(pem), server_side=True)
    gevent.spawn_later(0.02, sock.close)
    with pytest.raises(ConnectionResetError):
        end.handshake(monotonic() + 5)
    end.close()


@pytest.mark.parametrize("answer", [b"", b"answer"], ids=["silence", "an-answer"])
def test_a_client_gets_its_session_ticket_with_or_without_an_answer(pem: FilePath, answer: bytes) -> None:
    stream = Stream(pem, client_tls=True, endpoint_tls=False)
    tls = stream.client.tls
    assert tls is not None
    assert tls.version() == "TLSv1.3"
    if answer:
        stream.endpoint.send(answer)
        assert stream.client.read() == answer
    else:
        stream.client.sock.settimeout(5)
        stream.client.incoming.write(stream.client.sock.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            tls.read()  # nothing but the ticket
    assert tls.session is not None
    assert tls.session.has_ticket
    stream.close()


def test_what_came_before_garbage_is_delivered_though_it_came_in_one_piece(pem: FilePath) -> None:
    stream = Stream(pem, client_tls=True, endpoint_tls=False)
    tls = stream.client.tls
    assert tls is not None
    tls.write(b"words")
    stream.client.sock.sendall(stream.client.outgoing.read() + b"no TLS record at all")
    assert stream.endpoint.read() == b"words"
    assert stream.greenlet.get(timeout=5) is Cause.TLS
    stream.close()


def test_bulk_is_read_in_larger_pieces_until_the_reader_once_falls_behind(stream: Stream) -> None:
    half = stream.duplex.to_src
    narrow = len(half._memory)
    data = random.Random(4).randbytes(3_000_000)
    sending = gevent.spawn(stream.endpoint.send, data)
    received, widths = bytearray(), set()
    while len(received) < len(data):
        received += stream.client.read()
        widths.add(len(half._memory))
    assert received == data
    assert widths <= {narrow, 4 * narrow}
    sending.get(timeout=5)
    half._memory, half._view = half._buffer.wide_memory, half._buffer.wide_view  # type: ignore[attr-defined]
    stuck = gevent.spawn(stream.endpoint.send, 8 * data)
    eventually(lambda: half.rest is not None)  # the client reads nothing now
    assert len(half._memory) == narrow
    stuck.kill()

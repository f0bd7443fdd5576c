"""A client's connection as an identifier meets it, and what clients say first."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import gevent

from linkerd_tcp.envelope import Envelope
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.peek import FirstBytes
from tests.sockets import tcp_pair


def client_hello(name: str | None = "www.example.com", protocols: tuple[str, ...] = ()) -> bytes:
    """What this Python's own TLS client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


class Caller:
    """A real connection: `sock` is the client's end, `accepted` what the server holds."""

    def __init__(self) -> None:
        self.sock, self.accepted = tcp_pair()

    def identify(self, config: Any, secs: float = 5.0, **learned: Any) -> Path:
        """Where `config` sends it; the envelope says what was `learned`, and `secs` is all the time there is."""
        deadline = monotonic() + secs
        envelope = Envelope(("10.0.0.1", 40000), learned.pop("local", ("10.0.0.2", 443)), deadline, **learned)
        path = config.build().identify(envelope, FirstBytes(self.accepted, deadline))
        assert isinstance(path, Path)
        return path

    def drip(self, data: bytes) -> gevent.Greenlet:
        """Send byte by byte."""

        def send() -> None:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in data:
                self.sock.sendall(bytes([byte]))
                gevent.sleep(0)

        return gevent.spawn(send)

    def unread(self, size: int) -> bytes:
        """The next `size` bytes that the server would read."""
        received = b""
        while len(received) < size:
            with gevent.Timeout(5):
                gevent.socket.wait_read(self.accepted.fileno())
            received += self.accepted.recv(size - len(received))
        return received


@contextmanager
def calling() -> Iterator[Caller]:
    caller = Caller()
    try:
        yield caller
    finally:
        caller.sock.close()
        caller.accepted.close()

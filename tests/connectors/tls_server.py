"""A TLS endpoint on loopback, of Python's own ssl: it echoes, and remembers what each handshake came to."""

import socket
import ssl
from pathlib import Path
from typing import Any

import gevent

from linkerd_tcp.naming.addr import Address
from linkerd_tcp.wire.parsing import Incomplete
from linkerd_tcp.wire.proxy_protocol import Parsed, parse

from .listeners import DEADLINE_SECS


def server_context(identity: Path, **options: Any) -> ssl.SSLContext:
    """Options: `trust` (a client certificate is required), `alpn`, `most` (the highest version), `ciphers`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    if "trust" in options:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(options["trust"])
    if "alpn" in options:
        context.set_alpn_protocols(options["alpn"])
    if "most" in options:
        context.maximum_version = options["most"]
    if "ciphers" in options:
        context.set_ciphers(options["ciphers"])
    return context


class TlsServer:
    """`sessions` are the TLS sockets of finished handshakes, `failures` the reasons of the others, in their order."""

    def __init__(self, context: ssl.SSLContext, *, expect_header: bool = False) -> None:
        self.context = context
        self.sessions: list[Any] = []
        self.names: list[str | None] = []
        self.headers: list[Parsed] = []
        self.failures: list[str] = []
        self.accepts = 0
        self._expect_header = expect_header
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self._greenlets = [gevent.spawn(self._accept)]
        context.sni_callback = lambda tls, name, context: self.names.append(name)

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.accepts += 1
            self._greenlets.append(gevent.spawn(self._serve, sock))

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE_SECS)
        try:
            if self._expect_header:
                self.headers.append(_read_header(sock))
            # Not in wrap_socket: a greenlet killed in there leaves the socket open.
            with self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as tls:
                tls.do_handshake()
                self.sessions.append(tls)
                while received := tls.recv(65536):
                    tls.sendall(received)
        except ssl.SSLError as error:
            self.failures.append(str(error.reason))
        except OSError as error:
            self.failures.append(type(error).__name__)
        finally:
            sock.close()

    def close(self) -> None:
        gevent.killall(self._greenlets)
        self._listener.close()


def _read_header(sock: socket.socket) -> Parsed:
    data, answer = b"", parse(b"")
    while isinstance(answer, Incomplete):
        data += sock.recv(answer.need - len(data))
        answer = parse(data)
    return answer

"""Connections to namerd: its host found, its addresses tried, TLS spoken where it is wanted."""

import errno
import socket
from collections.abc import Callable
from typing import Any, Final

import gevent.socket
from gevent.event import Event

from linkerd_tcp.config.tls import ClientTls
from linkerd_tcp.credentials import credentials_for
from linkerd_tcp.namerd.failures import RequestFailed, failed
from linkerd_tcp.namerd.gate import Gate
from linkerd_tcp.naming.addr import Addr, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.net.pem import KeyFileError

HEAD_SECS: Final = 5.0
"""From looking up the host to the head of an answer to a watch, which namerd sends at once."""

FindHost = Callable[[str], Watch[Addr]]
"""Gives the live addresses of a host, whatever their ports; the caller closes the watch."""


class _PacedSocket(gevent.socket.socket):  # type: ignore[misc]  # which has no types
    """After each wait, what is to be done goes through the gate: a namerd that dies ends a thousand waits at once."""

    __slots__ = ("gate",)

    gate: Gate

    def _wait(self, *args: Any, **options: Any) -> None:
        super()._wait(*args, **options)
        self.gate.enter()


class Dialler:
    """Connects to namerd, with TLS where there is one. RequestFailed."""

    def __init__(
        self, where: str, address: tuple[str, int], tls: ClientTls | None, find_host: FindHost, gate: Gate
    ) -> None:
        self._where = where
        self._host, self._port = host, _ = address
        self._gate = gate
        self._find_host = find_host
        self._addresses: Watch[Addr] | None = None
        self._stop_observing: Callable[[], None] = lambda: None
        self._credentials = None if tls is None else credentials_for(tls)
        self._name = host if tls is None else tls.dns_name or host
        self._known = Event()

    def dial(self) -> socket.socket:
        """A connected socket. To be called within a deadline."""
        ips = self._find()
        refused: OSError | None = None
        for ip in ips:
            try:
                return self._secured(self._connected(ip, HEAD_SECS / len(ips)))
            except OSError as error:  # a failed handshake too
                refused = error
        assert refused is not None
        raise failed(self._where, refused)

    def _find(self) -> list[str]:
        """The addresses of the host; waits while they are not known."""
        if self._addresses is None:
            self._addresses = self._find_host(self._host)
            self._stop_observing = self._addresses.observe(lambda _: self._known.set())
        while isinstance(addr := self._addresses.value, Pending):
            self._known.clear()
            self._known.wait()
        if isinstance(addr, Bound) and addr.addresses:
            return [address.ip for address in addr.addresses]
        why = addr.cause if isinstance(addr, Failed) else "no such host" if isinstance(addr, Neg) else "no address"
        raise RequestFailed("resolve", f"{self._where}: {why}", of_namerd=True)

    def _connected(self, ip: str, secs: float) -> socket.socket:
        bare, _, zone = ip.partition("%")
        is_v6 = ":" in bare
        sock = _PacedSocket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
        sock.gate = self._gate
        try:
            sock.settimeout(secs)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((bare, self._port, 0, _scope_id(zone)) if is_v6 else (bare, self._port))
            if sock.getsockname() == sock.getpeername():
                # A port of the ephemeral range where nobody listens may be given to the very socket that dials it.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        return sock

    def _secured(self, sock: socket.socket) -> socket.socket:
        if self._credentials is None:
            return sock
        try:
            context = self._credentials.context()
            # Not at once: whatever ends the handshake, a kill of the greenlet too, is to close the socket.
            sock = tls = context.wrap_socket(sock, server_hostname=self._name, do_handshake_on_connect=False)
            tls.do_handshake()
        except BaseException as error:
            sock.close()
            if isinstance(error, KeyFileError) or (isinstance(error, ValueError) and not isinstance(error, OSError)):
                raise RequestFailed("tls", f"{self._where}: TLS: {error}", of_namerd=True) from None
            raise
        return sock

    def close(self) -> None:
        if self._addresses is not None:
            self._stop_observing()
            self._addresses.close()
            self._addresses = None


def _scope_id(zone: str) -> int:
    return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone) if zone else 0

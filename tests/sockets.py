"""TCP sockets on loopback for tests: pairs, listeners, resets, and waiting with a deadline."""

import socket
import struct
from _socket import socket as RawSocket

from linkerd_tcp.testing.waiting import DEADLINE_SECS, eventually

__all__ = ["DEADLINE_SECS", "eventually", "read_all", "reset", "tcp_pair"]


def tcp_pair() -> tuple[socket.socket, RawSocket]:
    """(a client's socket, the accepted raw non-blocking socket that a server would hold)."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        client = socket.create_connection(listening.getsockname(), timeout=DEADLINE_SECS)
        accepted, _ = listening.accept()
    raw = RawSocket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=accepted.detach())
    raw.setblocking(False)
    return client, raw


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock: socket.socket) -> bytes:
    """Everything up to FIN; ConnectionResetError if it was reset."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)

"""Listening sockets for several processes: one for each, so that the kernel spreads connections evenly over them."""

import contextlib
import errno
import socket
import sys
from _socket import dup
from _socket import socket as Socket

from linkerd_tcp.errors import StartError
from linkerd_tcp.net.listener import bind


def claim(ip: str, port: int, backlog: int, key: str, number: int) -> list[Socket]:
    """`number` listening sockets on ip:port, non-blocking; StartError that names `key` if they cannot be had.

    The first is bound without SO_REUSEPORT, so that a port that is taken is refused, even by somebody who shares it;
    only then it gets the option, and the others join it. A second program is refused in the same way: it would have
    to set the option itself, and be of the same user. Where the kernel does not spread connections over such sockets
    (only Linux does) all are the same one, and the first to be awake accepts.
    """
    sockets = [bind(ip, port, backlog, key)]
    first = sockets[0]
    try:
        if sys.platform == "linux":
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            while len(sockets) < number:
                sockets.append(_join(first, backlog))
        else:
            while len(sockets) < number:
                sockets.append(Socket(first.family, first.type, first.proto, dup(first.fileno())))
                sockets[-1].setblocking(False)
    except OSError as error:
        for each in sockets:
            each.close()
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise StartError(
                f"{key}: no descriptors are left for {number} listeners, one for each worker; raise `ulimit -n`"
            ) from error
        raise StartError(f"{key}: cannot share {ip}:{port} with {number} workers: {error.strerror}") from error
    return sockets


def _join(first: Socket, backlog: int) -> Socket:
    joined = Socket(first.family, first.type, first.proto)
    try:
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if first.family == socket.AF_INET6:
            joined.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        joined.setblocking(False)
        joined.bind(first.getsockname())
        joined.listen(backlog)
    except BaseException:
        joined.close()
        raise
    return joined


def listen_unix(path: str, backlog: int) -> Socket:
    """A listening UNIX socket at `path`, non-blocking; OSError if that cannot be."""
    listening = Socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.bind(path)
        listening.listen(backlog)
    except BaseException:
        with contextlib.suppress(OSError):
            listening.close()
        raise
    return listening

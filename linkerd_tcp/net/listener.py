"""A listening socket: bound with clear errors, accepted from in batches, retired without losing who waits in it."""

import ctypes
import errno
import logging
import socket
import struct
import sys
from _socket import socket as Socket
from collections.abc import Callable
from typing import Any, Final

from gevent.hub import get_hub

from linkerd_tcp.errors import StartError

BATCH: Final = 64
"""Connections accepted in one turn of the loop, so that a burst does not starve the established ones."""

BACK_OFF_SECS: Final = 0.05
"""How long accepting rests after an error of ours, such as no descriptor left."""

_THAT_ONE_ONLY: Final = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EPROTO",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETUNREACH",
    )
    if hasattr(errno, name)
)
"""What accept(2) says of a connection that has gone already; the next one may be fine. All else concerns us."""

_READ: Final = 1

_log = logging.getLogger(__name__)


def bind(ip: str, port: int, backlog: int, key: str) -> Socket:
    """A listening socket on ip:port, non-blocking; StartError that names `key` (where the file says so) if refused.

    SO_REUSEADDR lets a restart through while old connections are in TIME_WAIT; a second process that listens there
    is still refused.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    listening = Socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind((ip, port))
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise StartError(f"{key}: cannot listen on {ip}:{port}: {_advice(error)}") from error
    return listening


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken by another process (`ss -ltnp` shows which); stop it or choose another port"
    if error.errno == errno.EACCES:
        return "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; use one of its own, 127.0.0.1 or 0.0.0.0"
    return str(error.strerror)


class Acceptor:
    """Hands each accepted socket and its peer to `accepted`, which runs in the hub and must not raise.

    `pause` leaves connections waiting in the listen queue; `resume` goes on. Both are harmless when repeated.
    `may_accept` is asked before each: others may have taken what room there was. If it says no, it has paused this, and
    whoever else waits stays in the queue.
    """

    def __init__(
        self, listening: Socket, accepted: Callable[[Socket, Any], None], may_accept: Callable[[], bool] = lambda: True
    ) -> None:
        self.listening = listening
        self._family = listening.family
        self._accepted = accepted
        self._may_accept = may_accept
        self._loop = get_hub().loop
        self._watcher = self._loop.io(listening.fileno(), _READ)
        self._rest: Any = None
        self._open = True
        self.paused = True

    def resume(self) -> None:
        if self.paused and self._open and self._rest is None:
            self.paused = False
            self._watcher.start(self._ready)

    def pause(self) -> None:
        self.paused = True
        self._watcher.stop()

    def refuse_new(self) -> None:
        """Let nobody new into the queue, and no one who is in it out: the first step of a clean end. Linux only."""
        if sys.platform == "linux":
            try:
                _drop_new_handshakes(self.listening)
            except OSError as error:
                _log.debug("no filter for the ending listener: %s", error)

    def accept_waiting(self) -> bool:
        """Accept up to a batch of what waits in the queue, whatever `paused` says; False when it was empty."""
        return all(self._accept_one() for _ in range(BATCH))

    def close(self) -> None:
        if self._open:
            self._open = False
            self.pause()
            self._watcher.close()
            if self._rest is not None:
                self._rest.stop()
                self._rest.close()
            self.listening.close()

    def _ready(self) -> None:
        for _ in range(BATCH):
            if self.paused or not self._may_accept() or not self._accept_one():
                return

    def _accept_one(self) -> bool:
        try:
            descriptor, peer = self.listening._accept()  # type: ignore[attr-defined]
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in _THAT_ONE_ONLY:
                return True
            self._back_off(error)
            return False
        # Family, type and protocol given: a bare fileno= would ask the kernel for them, three system calls.
        sock = Socket(self._family, socket.SOCK_STREAM, 0, fileno=descriptor)
        sock.setblocking(False)
        self._accepted(sock, peer)
        return True

    def _back_off(self, error: OSError) -> None:
        """An error stops accepting for a moment, never the listener."""
        if not self._open or self._rest is not None:
            return
        _log.warning("cannot accept on %s: %s; trying again", self.listening.getsockname(), error.strerror)
        self.pause()
        self._rest = self._loop.timer(BACK_OFF_SECS)
        self._rest.start(self._rested)

    def _rested(self) -> None:
        self._rest.close()
        self._rest = None
        self.resume()


def _drop_new_handshakes(listening: Socket) -> None:
    """A socket filter on the listener that drops every segment with SYN set.

    Closing a listener resets what waits in its queue, and without this somebody may enter it between the last accept
    and the close. With it, newcomers' SYNs go unanswered (they are sent again, and refused once the socket is
    closed), while handshakes under way still complete and can be accepted. The filter sees the TCP header first;
    byte 13 is its flags (RFC 9293, 3.1), 0x02 is SYN. Classic BPF: load byte, jump if set, drop or keep.
    """
    load_flags, jump_if_set, give = 0x30, 0x45, 0x06
    code = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (load_flags, 0, 0, 13),
            (jump_if_set, 0, 1, 0x02),
            (give, 0, 0, 0),
            (give, 0, 0, 0xFFFFFFFF),
        )
    )
    memory = ctypes.create_string_buffer(code)
    so_attach_filter = 26
    listening.setsockopt(socket.SOL_SOCKET, so_attach_filter, struct.pack("HL", 4, ctypes.addressof(memory)))

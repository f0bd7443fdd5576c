"""What a supervisor and its children say to each other: messages over a pair of sockets, with sockets beside them.

A message is a small mapping as JSON; one to a child may carry bytes (a configuration, pickled) and listening sockets.
On the wire: three lengths, the JSON, the bytes, and then the descriptors in groups, each beside one byte.
"""

import array
import contextlib
import json
import os
import socket
import struct
from _socket import CMSG_SPACE
from _socket import socket as Socket
from _socket import socketpair as _socketpair
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import gevent
import gevent.socket
from gevent import monkey
from gevent.lock import Semaphore

Message: TypeAlias = dict[str, Any]

MAX_BYTES: Final = 64 * 1024 * 1024
"""Of a message, and of all that waits to be sent to one child. A configuration file has at most 4 MiB."""

GROUP: Final = 64
"""Descriptors sent beside one byte; the kernel takes at most 253."""

SEND_SECS: Final = 10.0
"""A supervisor that takes nothing for so long is stuck, and so is its child then."""

_HEADER: Final = struct.Struct("!III")
_READ_BYTES: Final = 65536
_native_close = monkey.get_original("os", "close")


class ChannelError(Exception):
    """The other side says what cannot be, or takes nothing."""


class Frame(NamedTuple):
    """A message with what came beside it. The descriptors are the receiver's to close."""

    message: Message
    attached: bytes
    sockets: list[Socket]


def pair() -> tuple[Socket, Socket]:
    """Two ends. Not by `socket.socketpair`, whose gevent sockets make a hub."""
    ours, theirs = _socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def _encode(message: Message, attached: bytes, descriptors: int) -> bytes:
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) + len(attached) > MAX_BYTES:
        raise ChannelError(f"a message of {len(text) + len(attached)} bytes; at most {MAX_BYTES} are sent")
    return _HEADER.pack(len(text), len(attached), descriptors) + text + attached


class Line:
    """The supervisor's end: it never waits. Who has it polls `fileno`, for writing too while `wants_write`.

    What a child that takes nothing does not take waits here, up to MAX_BYTES; ChannelError beyond.
    """

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._out: deque[tuple[bytes, list[int]]] = deque()
        self._waiting = 0
        self._read = bytearray()
        self.inbox: deque[Message] = deque()
        self.ended = False
        """Whether nothing more will come."""
        self.complaint = ""
        """Why nothing more is read, where the child said what is no message."""

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def wants_write(self) -> bool:
        return bool(self._out)

    def send(self, message: Message, attached: bytes = b"", sockets: Sequence[Socket] = ()) -> None:
        """As much as it takes at once, the rest at `flush`. To one that has gone nothing is sent, and that is no error:
        its end is news of its own.
        """
        data = _encode(message, attached, len(sockets))
        if self._waiting + len(data) > MAX_BYTES:
            raise ChannelError(f"{self._waiting} bytes wait to be taken")
        self._waiting += len(data)
        self._out.append((data, []))
        for start in range(0, len(sockets), GROUP):
            # Copies: who gave them may close them before they are sent.
            self._out.append((b".", [os.dup(each.fileno()) for each in sockets[start : start + GROUP]]))
        self.flush()

    def flush(self) -> None:
        while self._out:
            data, descriptors = self._out[0]
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                sent = self._sock.sendmsg([data], beside)
            except BlockingIOError:
                return
            except OSError:
                self.ended = True
                self._forget()
                return
            for each in descriptors:
                _native_close(each)
            if sent < len(data):
                self._out[0] = (data[sent:], [])
            else:
                self._out.popleft()
                self._waiting -= 0 if descriptors else len(data)

    def receive(self) -> None:
        """Read what has come into `inbox`."""
        while not self.ended:
            try:
                data = self._sock.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.ended = not data
            self._read += data
        try:
            while (message := self._next()) is not None:
                self.inbox.append(message)
        except ChannelError as error:
            self.ended, self.complaint = True, str(error)
            self._read.clear()

    def _next(self) -> Message | None:
        if len(self._read) < _HEADER.size:
            return None
        length, attached, descriptors = _HEADER.unpack_from(self._read)
        if attached or descriptors or length > MAX_BYTES:
            raise ChannelError("what was sent is no message")
        end = _HEADER.size + length
        if len(self._read) < end:
            return None
        message = _decode(bytes(self._read[_HEADER.size : end]))
        del self._read[:end]
        return message

    def close(self) -> None:
        self.ended = True
        self._forget()
        self._sock.close()

    def _forget(self) -> None:
        for _, descriptors in self._out:
            for each in descriptors:
                _native_close(each)
        self._out.clear()
        self._waiting = 0


class ChildEnd:
    """A child's end. `send` from any greenlet, `receive` from one."""

    def __init__(self, sock: Socket) -> None:
        self._sock = gevent.socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._sending = Semaphore()

    def send(self, message: Message) -> None:
        """ChannelError if the supervisor has gone or takes nothing."""
        data = _encode(message, b"", 0)
        with self._sending:
            try:
                with gevent.Timeout(SEND_SECS, TimeoutError()):
                    self._sock.sendall(data)
            except OSError as error:
                raise ChannelError(f"the supervisor cannot be told anything: {error}") from error

    def receive(self) -> Frame:
        """The next message, however long that takes; EOFError once the supervisor has gone."""
        length, attached, descriptors = _HEADER.unpack(self._exactly(_HEADER.size))
        message = _decode(self._exactly(length))
        beside = self._exactly(attached)
        sockets: list[Socket] = []
        while len(sockets) < descriptors:
            sockets += self._group()
        return Frame(message, beside, sockets)

    def close(self) -> None:
        self._sock.close()

    def _exactly(self, length: int) -> bytes:
        data = bytearray(length)
        view, have = memoryview(data), 0
        while have < length:
            try:
                got = self._sock.recv_into(view[have:])
            except OSError as error:
                raise EOFError from error
            if not got:
                raise EOFError
            have += got
        return bytes(data)

    def _group(self) -> list[Socket]:
        try:
            data, beside, _, _ = self._sock.recvmsg(1, CMSG_SPACE(GROUP * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        except OSError as error:
            raise EOFError from error
        if not data or not beside:
            raise EOFError
        numbers = array.array("i")
        numbers.frombytes(beside[0][2][: len(beside[0][2]) - len(beside[0][2]) % numbers.itemsize])
        return [_adopted(number) for number in numbers]


def _adopted(descriptor: int) -> Socket:
    sock = Socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


def _decode(text: bytes) -> Message:
    with contextlib.suppress(ValueError):
        message = json.loads(text)
        if isinstance(message, dict):
            return message
    raise ChannelError("what was sent is no message")

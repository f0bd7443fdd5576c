"""One direction of a connection: bytes from one socket to another, moved by watcher callbacks in the hub.

A wake-up reads into a buffer that all streams share and sends at once, so it costs no greenlet switch and an idle
connection owns no buffer. Only what a slow reader did not take yet is kept, at most one buffer of it, and nothing more
is read for it meanwhile: a reader that stops stops the writer.

A stream that fills the buffer again and again is bulk, and goes through a pipe until it is small again (`splice`).
"""

import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from linkerd_tcp.net.splice import UNSUPPORTED, Pipe, Pipes

_READ: Final = 1
_WRITE: Final = 2

BULK_READS: Final = 4
"""So many large ones in a row are bulk, and so many small ones in a row its end."""

LARGE_BYTES: Final = 64 * 1024
"""A read of so much, or of a whole buffer where that is less, is large."""


class Buffer:
    """The memory that every stream reads into. Safe to share: it is empty again before a callback returns."""

    __slots__ = ("memory", "pipes", "view", "wide_memory", "wide_view")

    def __init__(self, size_bytes: int) -> None:
        self.memory = bytearray(size_bytes)
        self.view = memoryview(self.memory)
        self.wide_memory = bytearray(4 * size_bytes)
        """For bulk where TLS is spoken: larger pieces are a quarter cheaper there."""
        self.wide_view = memoryview(self.wide_memory)
        self.pipes = Pipes()


class End(Protocol):
    """What a direction needs of its two sides; a C socket has it."""

    def fileno(self) -> int: ...

    def recv_into(self, buffer: bytearray | memoryview, /) -> int: ...

    def send(self, data: memoryview, /) -> int: ...

    def shutdown(self, how: int, /) -> None: ...


class Owner(Protocol):
    """Who hears how a direction ended; called in the hub."""

    def source_ended(self, half: "HalfDuplex") -> None:
        """`half` read FIN, after everything before it was written."""

    def source_failed(self, half: "HalfDuplex", error: OSError) -> None:
        """`half`'s source is gone: reset, or dead."""

    def sink_failed(self, half: "HalfDuplex", error: OSError) -> None:
        """`half`'s sink takes no more; `half` reads no more."""

    def passes_end_on(self, half: "HalfDuplex") -> bool:
        """Whether FIN from `half`'s source is FIN to its sink, and the other direction goes on."""

    def parted(self) -> None:
        """A source that was only being read to its end has reached it."""


class HalfDuplex:
    """One direction: from `source` to `sink`. `bytes` have been read, all but `rest` have been written."""

    __slots__ = (
        "_in_row",
        "_large_at",
        "_large_bytes",
        "_loop",
        "_memory",
        "_now",
        "_owner",
        "_pipes",
        "_reader",
        "_recv_into",
        "_send",
        "_sink",
        "_view",
        "_writer",
        "bytes",
        "ended",
        "last_at",
        "rest",
    )

    def __init__(self, owner: Owner, loop: Any, source: End, sink: End, buffer: Buffer) -> None:
        self._owner = owner
        self._loop = loop
        self._now = loop.now
        self._memory = buffer.memory
        self._view = buffer.view
        self._recv_into = source.recv_into
        self._send = sink.send
        self._sink = sink
        self._reader = loop.io(source.fileno(), _READ)
        self._writer: Any = None
        self._pipes = buffer.pipes
        self._large_bytes = min(len(buffer.memory), LARGE_BYTES)
        self._large_at = 0
        """`bytes` after the last large read."""
        self._in_row = 0
        """Large reads in a row, or small ones once it goes through a pipe."""
        self.bytes = 0
        self.rest: memoryview | Pipe | None = None
        self.ended = False
        """Nothing more will be read: FIN came and was passed on, or the sink is gone."""
        self.last_at = 0.0

    def start(self) -> None:
        self._reader.start(self._readable)

    def stop(self) -> None:
        """For good: no watcher of it calls back after this."""
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        self._drop()
        # The way back makes a cycle of both directions: a dozen objects for each connection that only the garbage
        # collector would find, at 25 ms a time.
        del self._owner

    def _readable(self) -> None:
        """One wake-up of the steady state: two system calls, no allocation but the slice.

        What is called out of a slot is taken out first: CPython 3.11 makes that cheaper than `self._send(...)`.
        """
        recv_into = self._recv_into
        try:
            size = recv_into(self._memory)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._owner.source_failed(self, error)
            return
        if not size:
            self._end_of_input()
            return
        now, send = self._now, self._send
        self.last_at = now()
        self.bytes += size
        try:
            sent = send(self._view[:size])
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._sink_failed(error)
            return
        if sent < size:
            self._hold(memoryview(bytes(self._view[sent:size])))
        elif size >= self._large_bytes:
            self._was_large(size)

    def _was_large(self, size: int) -> None:
        """Four in a row are bulk. That a smaller one came between shows in `bytes`, and costs that one nothing."""
        self._in_row = self._in_row + 1 if self.bytes - size == self._large_at else 1
        self._large_at = self.bytes
        if self._in_row == BULK_READS:
            self._read_by(self._splice)

    def _read_by(self, callback: Callable[[], None]) -> None:
        self._in_row = 0
        self._reader.stop()
        self._reader.start(callback)

    def _splice(self) -> None:
        """One wake-up of bulk: as `_readable`, through a pipe, which is given back unless the sink is full."""
        pipe = self._pipes.take()
        if pipe is None:
            self._read_by(self._readable)
            return
        try:
            size = pipe.fill(self._reader.fd)
        except OSError as error:
            self._pipes.give_back(pipe)
            self._not_filled(error)
            return
        if not size:
            self._pipes.give_back(pipe)
            self._end_of_input()
            return
        self.last_at = self._now()
        self.bytes += size
        try:
            pipe.drain(self._sink.fileno())
        except OSError as error:
            self._pipes.give_back(pipe)
            self._sink_failed(error)
            return
        if pipe.held_bytes:
            self._hold(pipe)
            return
        self._pipes.give_back(pipe)
        self._in_row = self._in_row + 1 if size < self._large_bytes else 0
        if self._in_row == BULK_READS:
            self._read_by(self._readable)

    def _not_filled(self, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            return
        if error.errno in UNSUPPORTED:
            self._pipes.give_up()
            self._read_by(self._readable)
        else:
            self._owner.source_failed(self, error)

    def _hold(self, rest: memoryview | Pipe) -> None:
        """The sink is full: keep what it did not take and read nothing more until it has."""
        self.rest = rest
        self._reader.stop()
        if self._writer is None:
            self._writer = self._loop.io(self._sink.fileno(), _WRITE)
        self._writer.start(self._drain if isinstance(rest, Pipe) else self._writable)

    def _writable(self) -> None:
        assert isinstance(self.rest, memoryview)
        try:
            sent = self._send(self.rest)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._sink_failed(error)
            return
        self.last_at = self._now()
        if sent < len(self.rest):
            self.rest = self.rest[sent:]
            return
        self.rest = None
        self._writer.stop()
        self._reader.start(self._readable)

    def _drain(self) -> None:
        """As `_writable`, of what is held in a pipe."""
        assert isinstance(self.rest, Pipe)
        try:
            sent = self.rest.drain(self._sink.fileno())
        except OSError as error:
            self._sink_failed(error)
            return
        if sent:
            self.last_at = self._now()
        if not self.rest.held_bytes:
            self._drop()
            self._writer.stop()
            self._reader.start(self._splice)

    def _drop(self) -> None:
        if isinstance(self.rest, Pipe):
            self._pipes.give_back(self.rest)
        self.rest = None

    def _end_of_input(self) -> None:
        # Reading stops while something is held back, so at FIN everything before it has been written.
        self._stop_reading()
        self.ended = True
        self.last_at = self._now()
        self._owner.source_ended(self)

    def _stop_reading(self) -> None:
        self._reader.stop()

    def pass_end_on(self) -> None:
        """FIN to the sink; raises OSError when it is gone."""
        self._sink.shutdown(socket.SHUT_WR)

    def _sink_failed(self, error: OSError) -> None:
        """The sink takes no more; what it sent before may still wait to be delivered the other way."""
        self._drop()
        self._reader.stop()
        if self._writer is not None:
            self._writer.stop()
        self.ended = True
        self._owner.sink_failed(self, error)

    def start_discarding(self) -> None:
        """After our FINs: read to the end, so that closing causes no reset."""
        if not self.ended:
            self._reader.stop()
            self._reader.start(self._discard)

    def _discard(self) -> None:
        try:
            size = self._recv_into(self._memory)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        if not size:
            self._reader.stop()
            self.ended = True
            self._owner.parted()

"""One direction of a connection where at least one side speaks TLS."""

from typing import Any, Final

from linkerd_tcp.net.half_duplex import Buffer, End, HalfDuplex, Owner
from linkerd_tcp.net.tls import TlsEnd

FULL_READS: Final = 4
"""That many in a row are bulk."""


class SecureHalfDuplex(HalfDuplex):
    """As HalfDuplex, but one read of the socket may become several pieces, and what was sent may still be here.

    All that came in is decrypted before the callback returns, so what is held for a slow reader is at most one read. A
    read takes more where several in a row were full and the reader took all of them, until it once does not.
    """

    __slots__ = ("_broken", "_buffer", "_ending", "_first", "_full", "_secure_sink", "_secure_source")

    def __init__(self, owner: Owner, loop: Any, source: End, sink: End, buffer: Buffer) -> None:
        super().__init__(owner, loop, source, sink, buffer)
        self._secure_source = source if isinstance(source, TlsEnd) else None
        self._secure_sink = sink if isinstance(sink, TlsEnd) else None
        self._buffer = buffer
        self._full = 0
        """Reads in a row that filled the buffer."""
        self._ending = False
        """The source has ended, and the sink has not been told yet."""
        self._broken: OSError | None = None
        """The source has failed, and its owner has not been told yet."""

        self._first: Any = None

    def start(self) -> None:
        super().start()
        if self._secure_source is not None and self._secure_source.more:
            # What came together with the end of the handshake is in here already, and no watcher sees it.
            self._first = self._loop.run_callback(self._move)

    def stop(self) -> None:
        super().stop()
        if self._first is not None:
            self._first.stop()

    def start_discarding(self) -> None:
        if self._secure_source is not None:
            self._recv_into = self._secure_source.sock.recv_into
        super().start_discarding()

    def _readable(self) -> None:
        if self._secure_source is not None:
            try:
                self._count(self._secure_source.fill(self._memory, self._view))
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._owner.source_failed(self, error)
                return
        self._move()

    def _move(self) -> None:
        """Pass on all that is here; hold what the sink does not take."""
        held: bytearray | None = None
        moved = 0
        while size := self._read():
            moved += size
            try:
                sent = 0 if held else self._send(self._view[:size])
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self.bytes += moved
                self._sink_failed(error)
                return
            if sent < size:
                held = held or bytearray()
                held += self._view[sent:size]
            if self._secure_source is None:
                self._count(size)
                break  # one read for one wake-up, as ever
            if size < len(self._memory):
                break
        if moved:
            self.bytes += moved
            self.last_at = self._now()
        if self._broken is not None:
            self._owner.source_failed(self, self._broken)
        elif held or self._unflushed:
            self._hold(memoryview(bytes(held or b"")))
        elif self._ending:
            self._end_of_input()

    def _read(self) -> int:
        """How much of what came fills the memory now. Records are gathered: one piece is sent for less than several."""
        source = self._secure_source
        size = 0
        try:
            while more := self._recv_into(self._view[size:]):
                size += more
                if source is None or size == len(self._memory) or not source.more:
                    return size
            self._ending = True
        except (BlockingIOError, InterruptedError):
            return size
        except OSError as error:
            self._broken = error  # what came before it is delivered first
        return size

    def _count(self, size: int) -> None:
        self._full = self._full + 1 if size == len(self._memory) else 0
        if self._full == FULL_READS:
            self._memory, self._view = self._buffer.wide_memory, self._buffer.wide_view

    def _hold(self, rest: memoryview) -> None:
        self._full = 0
        self._memory, self._view = self._buffer.memory, self._buffer.view
        super()._hold(rest)

    @property
    def _unflushed(self) -> bool:
        return self._secure_sink is not None and self._secure_sink.unflushed

    def _writable(self) -> None:
        super()._writable()
        if self.rest is None and not self.ended:
            if self._unflushed:
                self._hold(memoryview(b""))
            elif self._ending:
                self._end_of_input()

    def _end_of_input(self) -> None:
        """The announcement has to get out before FIN may follow it, however full the sink is."""
        self._ending = True
        if self._secure_sink is not None:
            try:
                self._secure_sink.announce_end()
            except OSError as error:
                self._sink_failed(error)
                return
            if self._unflushed:
                self._hold(memoryview(b""))
                return
        super()._end_of_input()

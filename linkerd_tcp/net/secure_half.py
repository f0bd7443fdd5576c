"""One direction of a connection where at least one side speaks TLS."""

from typing import Any

from linkerd_tcp.net.half_duplex import BULK_READS, Buffer, End, HalfDuplex, Owner
from linkerd_tcp.net.splice import Pipe
from linkerd_tcp.net.tls import TlsEnd


class SecureHalfDuplex(HalfDuplex):
    """As HalfDuplex, but one read of the socket may become several pieces, and what was sent may still be here.

    All that came in is decrypted before the callback returns, so what is held for a slow reader is at most one read. A
    read takes more once several were large and the reader took all of them, until it once does not.
    """

    __slots__ = ("_broken", "_buffer", "_ending", "_first", "_secure_sink", "_secure_source")

    def __init__(self, owner: Owner, loop: Any, source: End, sink: End, buffer: Buffer) -> None:
        super().__init__(owner, loop, source, sink, buffer)
        self._secure_source = source if isinstance(source, TlsEnd) else None
        self._secure_sink = sink if isinstance(sink, TlsEnd) else None
        self._buffer = buffer
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
                self._secure_source.fill(self._memory, self._view)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._owner.source_failed(self, error)
                return
        self._move()

    def _move(self) -> None:
        """Pass on all that is here; hold what the sink does not take."""
        source, held, moved = self._secure_source, bytearray(), 0
        while True:
            try:
                size = self._recv_into(self._memory)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._broken = error  # what came before it is delivered first
                break
            if not size:
                self._ending = True
                break
            # A plain source has one read for one wake-up, as ever.
            more = source is not None and source.more
            if more:
                size, more = self._gather(size)
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
                held += self._view[sent:size]
            if not more:
                break
        if moved:
            self.bytes += moved
            self.last_at = self._now()
            if 2 * moved > len(self._memory):
                self._in_row += 1  # since the sink last did not take all
        self._say(held)

    def _say(self, held: bytearray) -> None:
        """What follows from a wake-up, once everything that came has been passed on or is `held`."""
        if self._broken is not None:
            self._owner.source_failed(self, self._broken)
        elif held or self._unflushed:
            self._hold(memoryview(held))
        elif self._ending:
            self._end_of_input()
        elif self._in_row >= BULK_READS:
            self._memory, self._view = self._buffer.wide_memory, self._buffer.wide_view

    def _gather(self, size: int) -> tuple[int, bool]:
        """More records behind the first `size` bytes, since one piece is sent for less than several.

        How many bytes there are then, and whether more did not fit.
        """
        source = self._secure_source
        assert source is not None
        try:
            while size < len(self._memory):
                record = self._recv_into(self._view[size:])
                size += record
                if not record:
                    self._ending = True
                if not record or not source.more:
                    return size, False
        except (BlockingIOError, InterruptedError):
            return size, False
        except OSError as error:
            self._broken = error
            return size, False
        return size, True

    def _hold(self, rest: memoryview | Pipe) -> None:
        self._in_row = 0
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

"""One direction of a connection where at least one side speaks TLS."""

from typing import Any

from linkerd_tcp.net.half_duplex import Buffer, End, HalfDuplex, Owner
from linkerd_tcp.net.tls import TlsEnd


class SecureHalfDuplex(HalfDuplex):
    """As HalfDuplex, but one read of the socket may become several pieces, and what was sent may still be here.

    All that came in is decrypted before the callback returns, so what is held for a slow reader is at most one read.
    """

    __slots__ = ("_buffer", "_ending", "_first", "_secure_sink", "_secure_source")

    def __init__(self, owner: Owner, loop: Any, source: End, sink: End, buffer: Buffer) -> None:
        super().__init__(owner, loop, source, sink, buffer)
        self._secure_source = source if isinstance(source, TlsEnd) else None
        self._secure_sink = sink if isinstance(sink, TlsEnd) else None
        self._buffer = buffer
        self._ending = False
        """The source has ended, and the sink has not been told yet."""

        self._first: Any = None

    def start(self) -> None:
        super().start()
        if self._secure_source is not None:
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
                self._secure_source.fill(self._buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._owner.source_failed(self, error)
                return
        self._move()

    def _move(self) -> None:
        """Pass on all that is here; hold what the sink does not take."""
        source = self._secure_source
        held: bytearray | None = None
        moved = 0
        while True:
            try:
                size = self._recv_into(self._memory)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._owner.source_failed(self, error)
                return
            if not size:
                self._ending = True
                break
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
            if source is None or not source.more:
                break  # a plain source has one read for one wake-up, as ever
        if moved:
            self.bytes += moved
            self.last_at = self._now()
        if held or self._unflushed:
            self._hold(memoryview(bytes(held or b"")))
        elif self._ending:
            self._end_of_input()

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

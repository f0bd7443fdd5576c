"""The way back of a short connection, whose endpoint mostly says FIN right behind its answer.

Answer and FIN then go to the client in one packet: it is woken once and not twice, and so is this process. Looking for
the end costs a system call that mostly finds nothing where connections are kept, so it is done only for servers whose
connections have been short, and no more than twice in one that turns out to be long.
"""

import socket
from _socket import socket as Socket
from typing import Any, Final

from linkerd_tcp.net.half_duplex import Buffer, HalfDuplex, Owner

LOOKS: Final = 2
_MOST: Final = 8
_ENOUGH: Final = 4
_MORE: Final = getattr(socket, "MSG_MORE", 0)
"""More comes at once: the FIN, which is sent with these bytes then (tcp(7), send(2))."""


class Habit:
    """Whether the connections of a server are short now, by how the last ones were."""

    __slots__ = ("_score",)

    def __init__(self) -> None:
        self._score = 0

    @property
    def is_short(self) -> bool:
        return self._score >= _ENOUGH

    def note(self, was_short: bool) -> None:
        """One has ended: soon, and by the endpoint, or otherwise."""
        self._score = min(self._score + 1, _MOST) if was_short else max(self._score - 1, 0)


class LastWords(HalfDuplex):
    """A direction that looks for the end behind what it has read, before it sends it."""

    __slots__ = ("_broken", "_looks", "_send_more")

    def __init__(self, owner: Owner, loop: Any, source: Socket, sink: Socket, buffer: Buffer) -> None:
        super().__init__(owner, loop, source, sink, buffer)
        self._send_more = sink.send
        self._looks = LOOKS
        self._broken: OSError | None = None
        """The source has failed, and its owner is told once what came before has been written."""

    def _readable(self) -> None:
        if not self._looks:
            super()._readable()
            return
        try:
            size = self._recv_into(self._memory)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._owner.source_failed(self, error)
            return
        if not size:
            self._end_of_input()
            return
        self._looks -= 1
        size, ended = self._look(size)
        flags = _MORE if ended and self._owner.passes_end_on(self) else 0
        self.last_at = self._now()
        self.bytes += size
        try:
            sent = self._send_more(self._view[:size], flags)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._sink_failed(error)
            return
        if sent < size:
            # An end is read a second time, after the rest; an error is said once only.
            self._hold(memoryview(bytes(self._view[sent:size])))
        elif ended:
            self._end_of_input()
        else:
            self._tell()

    def _stop_reading(self) -> None:
        """At the next wake-up, since the end stays readable: mostly the client has gone by then, and closing the socket
        costs no system call to stop watching it first.
        """
        self._reader.callback = self._reader.stop

    def _look(self, size: int) -> tuple[int, bool]:
        """How many bytes there are with those that came since, and whether the end is behind them."""
        if size == len(self._memory):
            return size, False
        try:
            more = self._recv_into(self._view[size:])
        except (BlockingIOError, InterruptedError):
            return size, False
        except OSError as error:
            self._broken = error
            return size, False
        return size + more, not more

    def _writable(self) -> None:
        super()._writable()
        if self.rest is None and not self.ended:
            self._tell()

    def _tell(self) -> None:
        if self._broken is not None:
            self._owner.source_failed(self, self._broken)

"""HTTP answers that are read in turns: what comes faster than it is read is not to keep the loop from everybody else.

A read of what is there already does not wait, so that neither the connections of the proxy nor a deadline would get a
turn while namerd, or whoever listens in its place, goes on sending: bodies, trailers, `100 Continue` without end.
"""

from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any

from linkerd_tcp.net.turns import Turns


class InTurns(HTTPResponse):
    """As http.client's. Every wait may be ended by killing the greenlet."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: BufferedReader = BufferedReader(_RestingReader(self.fp.detach()))


class _RestingReader(RawIOBase):
    """`raw`, which it closes, with a rest before each read once a slice of time is used up."""

    def __init__(self, raw: RawIOBase) -> None:
        self._raw = raw
        self._turns = Turns()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._turns.rest()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()

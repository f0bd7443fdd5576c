"""JSON documents one after another in a stream of bytes, cut into chunks anywhere.

The one parser here that keeps a state: a document may be megabytes and a stream has no end, so no byte is looked at
twice. Objects and arrays may follow each other with or without space; anything else ends with its line.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from linkerd_tcp.wire.parsing import WireError

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
MAX_LINE_BYTES: Final = 64 * 1024
"""Of what is neither object nor array."""

MAX_NESTING: Final = 600
"""Brackets within brackets: whatever walks the value may do it on the stack."""

SHOWN_BYTES: Final = 200

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_PLAIN: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
"""Up to the next bracket, or to a string that does not end here."""

_IN_STRING: Final = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL)
_OPENING: Final = frozenset(b"{[")


def _no_number(_: str) -> None:
    """NaN and Infinity, which are no JSON, are null: nothing that is not equal to itself comes out of here."""


class JsonDocuments:
    """`feed` chunks, get values; `end` at the end of the stream. Both raise WireError, after which nothing more comes.

    A document is at most `max_bytes` long. `offset` of an error counts from the start of the stream.
    """

    __slots__ = ("_buffer", "_depth", "_in_string", "_max_bytes", "_position", "_start")

    def __init__(self, max_bytes: int = MAX_DOCUMENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._start = 0
        """Where in the stream the buffer begins."""
        self._position = 0
        """Up to here the buffer was looked at."""
        self._depth = 0
        self._in_string = False

    @property
    def is_partial(self) -> bool:
        """Whether a document has begun and not ended."""
        return bool(self._buffer)

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """The documents that end in `chunk`, in order. Exhaust it before the next call."""
        self._buffer += chunk
        while True:
            space = _SPACE.match(self._buffer)
            if self._position == 0 and space is not None:
                self._drop(space.end())
            if not self._buffer:
                return
            end = self._end_of_brackets() if self._buffer[0] in _OPENING else self._end_of_line()
            if end is None:
                self._check_size(len(self._buffer))
                return
            yield self._take(end)

    def end(self) -> Iterator[Any]:
        """At the end of the stream: a last word without an end of line; WireError for anything else that is left."""
        if not self._buffer:
            return
        if self._buffer[0] in _OPENING:
            raise WireError(self._start + len(self._buffer), "the rest of a document", "the end of the stream")
        yield self._take(len(self._buffer))

    def _end_of_brackets(self) -> int | None:
        """Where the object or array ends that the buffer begins with; None if not in it yet."""
        buffer, position = self._buffer, self._position
        while True:
            match = (_IN_STRING if self._in_string else _PLAIN).match(buffer, position)
            assert match is not None
            position = self._position = match.end()
            if position == len(buffer):
                return None
            byte = buffer[position]
            if byte == 0x5C:  # a backslash, the last byte so far: what it escapes is still to come
                return None
            position = self._position = position + 1
            if byte == 0x22:
                self._in_string = not self._in_string
            elif byte in _OPENING:
                self._deepen()
            else:
                self._depth -= 1
                if self._depth == 0:
                    return position

    def _deepen(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise WireError(self._start + self._position - 1, f"at most {MAX_NESTING} levels of nesting", "one more")

    def _end_of_line(self) -> int | None:
        end = self._buffer.find(b"\n", self._position)
        if end >= 0:
            return end
        self._position = len(self._buffer)
        if len(self._buffer) > MAX_LINE_BYTES:
            raise self._no_json(len(self._buffer))
        return None

    def _take(self, end: int) -> Any:
        """The value of the buffer's first `end` bytes, which leave it."""
        self._check_size(end)
        try:
            value = json.loads(self._buffer[:end].decode("utf-8"), parse_constant=_no_number)
        except (ValueError, RecursionError):  # a decoding error and a number of too many digits are ValueErrors
            raise self._no_json(end) from None
        self._drop(end)
        return value

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise WireError(self._start + self._max_bytes, f"a document of at most {self._max_bytes} bytes", "more")

    def _no_json(self, end: int) -> WireError:
        return WireError(self._start, "JSON", shown(bytes(self._buffer[: min(end, SHOWN_BYTES + 1)])))

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._start += count
        self._position = self._depth = 0
        self._in_string = False


def shown(data: bytes) -> str:
    """The first line of `data` for a message: printable ASCII, at most SHOWN_BYTES of it."""
    line = data.strip().partition(b"\n")[0].strip()
    text = line[:SHOWN_BYTES].decode("utf-8", "backslashreplace").encode("ascii", "backslashreplace").decode()
    printable = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return f"'{printable}'" + ("..." if len(line) > SHOWN_BYTES else "")

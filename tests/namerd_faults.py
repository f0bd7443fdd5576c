"""All the ways in which an HTTP server of discovery answers badly, each on demand.

A fault takes (write, document, arguments): `write` puts bytes on the wire, `document` is what namerd would have said,
with its newline. HEADS are instead of an answer, ENDS come after good headers and end the stream, or leave it
hanging; SHAPES change how one document is sent and the stream goes on.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import gevent
from gevent.event import Event

Write = Callable[[bytes], None]
Fault = Callable[[Write, bytes, dict[str, Any]], None]

LAST_CHUNK = b"0\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def hang() -> NoReturn:
    """Until the client goes, which ends the greenlet."""
    Event().wait()
    raise AssertionError("nobody sets it")


def _silent(_: Write, __: bytes, ___: dict[str, Any]) -> None:
    hang()


def _close(_: Write, __: bytes, ___: dict[str, Any]) -> None:
    """Not a byte of an answer."""


def _status(write: Write, _: bytes, arguments: dict[str, Any]) -> None:
    code, body = arguments.get("code", 500), str(arguments.get("body", "java.lang.Exception: no")).encode()
    write(b"HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n\r\n%s" % (code, len(body), body))


def _status_silent(write: Write, _: bytes, arguments: dict[str, Any]) -> None:
    """A status that says why not, but for the words."""
    write(b"HTTP/1.1 %d Whatever\r\nContent-Length: 10\r\n\r\n" % arguments.get("code", 503))
    hang()


def _redirect(write: Write, _: bytes, arguments: dict[str, Any]) -> None:
    location = str(arguments["location"]).encode()
    write(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location)


def _not_http(write: Write, _: bytes, __: dict[str, Any]) -> None:
    write(b"\x16\x03\x01\x00\xff" + bytes(range(256)))


def _endless_headers(write: Write, _: bytes, __: dict[str, Any]) -> None:
    write(b"HTTP/1.1 200 OK\r\n")
    while True:
        write(b"X-More: " + b"a" * 1000 + b"\r\n")
        gevent.sleep(0)


def _continues(write: Write, _: bytes, __: dict[str, Any]) -> None:
    """That the client may go on, without end."""
    while True:
        write(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)
        gevent.sleep(0)


def _headers(write: Write, _: bytes, __: dict[str, Any]) -> None:
    hang()


def _error_line(write: Write, _: bytes, arguments: dict[str, Any]) -> None:
    """As namerd does: the exception's text for a document, then the end."""
    write(chunk(str(arguments.get("line", "com.twitter.finagle.ChannelClosedException: gone")).encode() + b"\n"))
    write(LAST_CHUNK)


def _cut(write: Write, document: bytes, _: dict[str, Any]) -> None:
    """Half of a document, and the connection is closed."""
    write(chunk(document[: len(document) // 2]))


def _cut_chunk(write: Write, document: bytes, _: dict[str, Any]) -> None:
    """Half of a chunk."""
    write(chunk(document)[: len(document) // 2])


def _half(write: Write, document: bytes, _: dict[str, Any]) -> None:
    """Half of a document, and a clean end."""
    write(chunk(document[: len(document) // 2]))
    write(LAST_CHUNK)


def _half_silent(write: Write, document: bytes, _: dict[str, Any]) -> None:
    """Half of a document, then silence."""
    write(chunk(document[: len(document) // 2]))
    hang()


def _no_last_chunk(write: Write, document: bytes, _: dict[str, Any]) -> None:
    write(chunk(document))


def _once(write: Write, document: bytes, _: dict[str, Any]) -> None:
    """A clean end right after the document."""
    write(chunk(document))
    write(LAST_CHUNK)


def _empty(write: Write, _: bytes, __: dict[str, Any]) -> None:
    """A clean end before any document."""
    write(LAST_CHUNK)


def _garbage(write: Write, _: bytes, __: dict[str, Any]) -> None:
    write(chunk(b"\xff\xfe{]" + bytes(range(256))))
    write(LAST_CHUNK)


def _huge(write: Write, _: bytes, arguments: dict[str, Any]) -> None:
    """One document that has no end; `piece` is repeated."""
    write(chunk(str(arguments.get("start", '{"type":"bound","addrs":[')).encode()))
    piece = str(arguments.get("piece", '{"ip":"10.0.0.1","port":80,"meta":{}},')).encode() * 100
    while True:
        write(chunk(piece))
        gevent.sleep(0)


def _flood(write: Write, document: bytes, _: dict[str, Any]) -> None:
    """The same again and again, as fast as it goes."""
    while True:
        write(chunk(document * 10_000))
        gevent.sleep(0)


def _bad_chunk(write: Write, document: bytes, _: dict[str, Any]) -> None:
    write(b"zz\r\n" + document + b"\r\n")


def _bytewise(write: Write, document: bytes, _: dict[str, Any]) -> None:
    for byte in document:
        write(chunk(bytes([byte])))


def _drip(write: Write, document: bytes, arguments: dict[str, Any]) -> None:
    for byte in document:
        write(chunk(bytes([byte])))
        gevent.sleep(arguments.get("interval_secs", 0.01))


def _several(write: Write, document: bytes, arguments: dict[str, Any]) -> None:
    """`before` are texts of documents that go in front, all in one chunk."""
    before = "".join(arguments.get("before", ('{"type":"neg"}\n',)))
    write(chunk(before.encode() + document))


def _instead(write: Write, _: bytes, arguments: dict[str, Any]) -> None:
    """`text` for a document: wrong JSON types, other shapes, several lines, whatever the test wants."""
    write(chunk(str(arguments["text"]).encode() + b"\n"))


HEADS: dict[str, Fault] = {
    "silent": _silent,
    "close": _close,
    "status": _status,
    "status_silent": _status_silent,
    "redirect": _redirect,
    "not_http": _not_http,
    "endless_headers": _endless_headers,
    "continues": _continues,
}
ENDS: dict[str, Fault] = {
    "headers": _headers,
    "error_line": _error_line,
    "cut": _cut,
    "cut_chunk": _cut_chunk,
    "half": _half,
    "half_silent": _half_silent,
    "no_last_chunk": _no_last_chunk,
    "once": _once,
    "empty": _empty,
    "garbage": _garbage,
    "huge": _huge,
    "bad_chunk": _bad_chunk,
    "flood": _flood,
}
SHAPES: dict[str, Fault] = {"bytewise": _bytewise, "drip": _drip, "several": _several, "instead": _instead}

"""Asking the workers, over their UNIX sockets: all at once, within a deadline and a size, and never waiting for one
that does not answer.
"""

import http.client
import json
import socket
from _socket import socket as RawSocket
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from time import monotonic
from typing import Any, Final, NamedTuple, TypeAlias

import gevent
from gevent.lock import BoundedSemaphore

from linkerd_tcp.net.turns import Turns
from linkerd_tcp.workers.fleet import WorkerRow

DEADLINE_SECS: Final = 2.0
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one worker's answer."""

AGAIN_SECS: Final = 0.5
"""What one gets that has just let a whole deadline pass, for as long as SHORT_SECS: pages are asked for in series."""

SHORT_SECS: Final = 5.0

AT_ONCE: Final = 8
"""Questions to all that are under way; so there is a bound on what their answers take together."""

_CHUNK_BYTES: Final = 64 * 1024


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class Silence(NamedTuple):
    """No answer, and why."""

    why: str


Reply: TypeAlias = Answer | Silence


class Question(NamedTuple):
    """A request; `target` is a path with its query."""

    target: str
    method: str = "GET"
    body: bytes | None = None
    content_type: str | None = None


class Asker:
    """Asks. What one request is waiting for never holds up another's for longer than a deadline."""

    def __init__(self) -> None:
        self._room = BoundedSemaphore(AT_ONCE)
        self._late: dict[int, float] = {}
        """When a worker last let a whole deadline pass, time.monotonic seconds."""

    def ask(
        self, rows: Iterable[WorkerRow], question: Question, deadline_secs: float | None = None
    ) -> dict[int, Reply]:
        """What each worker answers within DEADLINE_SECS or this, by its number, in their order. The greenlets of it end
        before this returns.
        """
        rows = list(rows)
        deadline_secs = DEADLINE_SECS if deadline_secs is None else deadline_secs
        if not self._room.acquire(timeout=deadline_secs):
            return {row.number: Silence("too much else is being asked") for row in rows}
        asking = [gevent.spawn(self._ask, row, question, deadline_secs) for row in rows]
        try:
            gevent.joinall(asking, raise_error=True)
            return {row.number: one.value for row, one in zip(rows, asking, strict=True)}
        finally:
            # Whoever asked may have run out of time meanwhile.
            gevent.killall(asking)
            self._room.release()

    def _ask(self, row: WorkerRow, question: Question, deadline_secs: float) -> Reply:
        is_late = monotonic() - self._late.get(row.number, -inf) < SHORT_SECS
        limit = gevent.Timeout(min(deadline_secs, AGAIN_SECS) if is_late else deadline_secs)
        limit.start()
        try:
            reply = _answer(row.admin_path, question)
        except gevent.Timeout as timeout:
            if timeout is not limit:
                raise
            if not is_late:
                self._late[row.number] = monotonic()
            return Silence(f"no answer within {limit.seconds:g} s")
        finally:
            limit.close()
        self._late.pop(row.number, None)
        return reply


def _answer(path: str, question: Question) -> Reply:
    try:
        try:
            return _exchange(path, question)
        except (ConnectionError, http.client.IncompleteRead):
            if question.method != "GET":
                raise
            # It has died just now: what replaces it answers on the same socket.
            return _exchange(path, question)
    except BlockingIOError:
        return Silence("it accepts nothing, and its queue is full")
    except (OSError, http.client.HTTPException, _TooLongError) as error:
        return Silence(str(error) or type(error).__name__)


class _TooLongError(Exception):
    pass


def _exchange(path: str, question: Question) -> Answer:
    connection = _Connection(path)
    try:
        headers = {"Connection": "close"}
        if question.content_type is not None:
            headers["Content-Type"] = question.content_type
        connection.request(question.method, question.target, question.body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers.get("Content-Type", ""), _read(response))
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse) -> bytes:
    turns = Turns()
    body = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > MOST_BYTES:
            raise _TooLongError(f"its answer is longer than {MOST_BYTES >> 20} MiB")
        turns.rest()
    if response.length:
        # Read in pieces, the library does not notice where the length was announced.
        raise http.client.IncompleteRead(bytes(body), response.length)
    return bytes(body)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        # A UNIX socket connects at once, or its queue is full: gevent's own connect would try again without a pause.
        raw = RawSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            raw.connect(self._path)
        except OSError:
            raw.close()
            raise
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=raw.detach())


def bodies(replies: Mapping[int, Reply]) -> tuple[dict[int, bytes], dict[int, str]]:
    """What was answered with 200, by worker; and why there is nothing, of the others."""
    found: dict[int, bytes] = {}
    missing: dict[int, str] = {}
    for worker, reply in replies.items():
        if isinstance(reply, Silence):
            missing[worker] = reply.why
        elif reply.status != http.client.OK:
            missing[worker] = f"it answered with status {reply.status}"
        else:
            found[worker] = reply.body
    return found, missing


def lines(body: bytes) -> Iterator[bytes]:
    """The lines of an answer; between them the loop turns. To be read in a greenlet."""
    turns = Turns()
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        if end < 0:
            raise ValueError("an answer of a worker ends in the middle of a line")
        yield body[start:end]
        start = end + 1
        turns.rest()


def values(body: bytes) -> Iterator[Any]:
    """The same, where each line is JSON."""
    return map(json.loads, lines(body))

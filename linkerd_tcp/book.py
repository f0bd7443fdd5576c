"""Every connection that is open, and of those that have ended as many as are worth remembering.

What ended well is remembered packed: a short piece of bytes, beside what it has in common with many others. A record is
two dozen objects, and a busy proxy replaces the oldest with each new connection: thousands of them are more than a
processor's cache holds, which made each connection 5 % dearer.
"""

from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import count
from struct import Struct
from time import time
from typing import Any, Final, TypeAlias

from linkerd_tcp.record import Attempt, Record

ENDED_KEPT: Final = 3_000
"""Connections that ended well and are remembered, the newest ones."""

FAILED_KEPT: Final = 7_000
"""Failed ones, which no flood of good ones washes away."""

MAX_ALIKE: Final = 1_000
"""Combinations of router, server, path and so on that are kept once for all; with more it begins anew."""

Packed: TypeAlias = tuple[tuple[Any, ...], bytes]
"""What it has in common with others, and its own figures."""

_FIGURES: Final = Struct("<QddddddQQH")
"""number, accepted_at, clock, identified_at, duration, seconds of the attempt, when connected, rx, tx, source's port;
behind it the source's address as text."""

_NUMBER: Final = Struct("<Q")
"""What they begin with."""


class Book:
    """See the module. `numbers` rise; with several workers they are of the clock (`clock_numbers`), and so in one order
    over all of them.
    """

    def __init__(
        self,
        ended_kept: int = ENDED_KEPT,
        failed_kept: int = FAILED_KEPT,
        *,
        worker: int = 0,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.open: dict[int, Record] = {}
        self._ended: deque[Record | Packed] = deque(maxlen=ended_kept)
        self._failed: deque[Record] = deque(maxlen=failed_kept)
        self._alike: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.worker = worker
        self._numbers = count(1) if numbers is None else numbers

    def begin(self, router: str, server: str, source: tuple[str, int]) -> Record:
        """A new record, in the book until `end`."""
        number = next(self._numbers)
        record = Record(number, router, server, source, self.worker)
        self.open[number] = record
        return record

    def end(self, record: Record) -> None:
        """Close the record: its figures are final from here on."""
        record.close()
        del self.open[record.number]
        cause = record.cause
        if cause is None or cause.is_failure:
            self._failed.append(record)
        else:
            self._ended.append(self._pack(record) or record)

    @property
    def closed(self) -> list[Record]:
        """Those that are remembered, the last to end last."""
        return list(merge(map(unpacked, self._ended), self._failed, key=lambda record: record.ended_at))

    def forget_alike(self) -> None:
        """What connections have in common may be something else from now on, though it looks alike (`ServerName`)."""
        self._alike.clear()

    def remembered(self) -> list[Record | Packed]:
        """Every one, open or ended, in no order: one copy in one go, so that who ends meanwhile is in it once."""
        return [*self.open.values(), *self._ended, *self._failed]

    def _pack(self, record: Record) -> Packed | None:
        """None if there is more to say of it than most have."""
        attempts, steps = record.attempts, record.steps
        if record.envelope is not None or record.detail or len(attempts) != 1 or len(steps) != 2:
            return None
        alike = (
            record.worker,
            record.router,
            record.server,
            record.path,
            record.bound,
            record.endpoint,
            record.cause,
            attempts[0].endpoint,
            attempts[0].error,
            steps[0],
            steps[1][1],
        )
        shared = self._alike.get(alike)
        if shared is None:
            if len(self._alike) >= MAX_ALIKE:
                self._alike.clear()
            shared = self._alike[alike] = alike
        ip, port = record.source
        figures = _FIGURES.pack(
            record.number,
            record.accepted_at,
            record.clock,
            record.identified_at,
            record.duration,
            attempts[0].seconds,
            steps[1][0],
            record.rx_bytes,
            record.tx_bytes,
            port,
        )
        return shared, figures + ip.encode()


def unpacked(kept: Record | Packed) -> Record:
    """The record as it was when it ended."""
    if isinstance(kept, Record):
        return kept
    (worker, router, server, path, bound, endpoint, cause, tried, error, first_step, last_step), figures = kept
    number, accepted_at, clock, identified_at, duration, seconds, connected_at, rx, tx, port = _FIGURES.unpack_from(
        figures
    )
    record = Record(number, router, server, (figures[_FIGURES.size :].decode(), port), worker)
    record.path, record.bound, record.endpoint, record.cause = path, bound, endpoint, cause
    record.accepted_at, record.clock, record.identified_at, record.duration = (
        accepted_at,
        clock,
        identified_at,
        duration,
    )
    record.rx_bytes, record.tx_bytes = rx, tx
    record.attempts = (Attempt(tried, error, seconds),)
    record.steps = (first_step, (connected_at, last_step))
    return record


def place_of(kept: Record | Packed) -> tuple[int, int]:
    """Its number and its worker, without unpacking it."""
    if isinstance(kept, Record):
        return kept.number, kept.worker
    shared, figures = kept
    return _NUMBER.unpack_from(figures)[0], shared[0]


def clock_numbers() -> Iterator[int]:
    """Microseconds since the epoch, each number higher than the one before: a worker's replacement repeats none."""
    last = 0
    while True:
        last = max(last + 1, int(time() * 1e6))
        yield last

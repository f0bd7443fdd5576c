"""/connections.json: open and remembered connections, filtered, in pages, the newest first.

Newest is by accept, open and closed together, so the order of two connections never changes and a page begins where
the one before ended (`after`), whatever was accepted or closed since. Numbers rise over all workers: of two with one
number, that of the higher worker is the newer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, Final, TypeAlias

from linkerd_tcp.book import Book, Packed, place_of, unpacked
from linkerd_tcp.errors import Cause
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.record import Record, address_text, as_json
from linkerd_tcp.web.streams import array, dump_pieces, dumps

DEFAULT_LIMIT: Final = 200
MOST: Final = 2_000
_STATES: Final = ("open", "closed", "failed")
_KEYS: Final = ("state", "source", "path", "endpoint", "cause", "router", "limit", "after", "since")

Place: TypeAlias = tuple[int, int]
"""Of a connection among all: its number and its worker."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which connections; None is any.

    Of those that are closed some have `failed`: neither side ended them. `source` and `endpoint` are an address with
    its port or without; `endpoint` is the one connected to or any that was tried. `path` is the destination or its
    beginning (`/svc` for `/svc/web`), or that of the bound name. `after` is the last one of the page before, `since`
    the newest one that is known: only newer ones are wanted.
    """

    state: str | None = None
    source: str | None = None
    path: str | None = None
    endpoint: str | None = None
    cause: str | None = None
    router: str | None = None
    limit: int = DEFAULT_LIMIT
    after: Place | None = None
    since: Place | None = None

    @staticmethod
    def read(arguments: Mapping[str, str]) -> "Query":
        """ValueError that says what is wrong with the arguments of a request."""
        unknown = sorted(set(arguments) - set(_KEYS))
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}; there are {', '.join(_KEYS)}")
        given = {key: value for key, value in arguments.items() if value}
        if given.get("state", "open") not in _STATES:
            raise ValueError(f"state is open, closed or failed, not {given['state']!r}")
        if "cause" in given and given["cause"] not in [*Cause]:
            raise ValueError(f"no such cause {given['cause']!r}; there are {', '.join(Cause)}")
        return Query(
            state=given.get("state"),
            source=given.get("source"),
            path=given.get("path"),
            endpoint=given.get("endpoint"),
            cause=given.get("cause"),
            router=given.get("router"),
            limit=_limit(given.get("limit", str(DEFAULT_LIMIT))),
            after=_place(given, "after"),
            since=_place(given, "since"),
        )

    def reaches(self, where: Place) -> bool:
        """Whether a connection there may be wanted: to be asked first, since it costs next to nothing."""
        return (self.after is None or where < self.after) and (self.since is None or where > self.since)

    def matches(self, record: Record) -> bool:
        return (
            self.reaches((record.number, record.worker))
            and (self.state is None or _is_in(record, self.state))
            and (self.cause is None or record.cause == self.cause)
            and (self.router is None or record.router == self.router)
            and (self.source is None or _is_at(address_text(record.source), self.source))
            and (self.path is None or _is_below(record.path, self.path) or _is_below(record.bound, self.path))
            and (self.endpoint is None or any(_is_at(each, self.endpoint) for each in _endpoints(record)))
        )


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST):
        raise ValueError(f"limit is a number from 1 to {MOST}, not {text!r}")
    return int(text)


def place(id_: str) -> Place:
    """Where the connection of this id, `0-1f`, stands; ValueError if it is none."""
    worker, dash, digits = id_.partition("-")
    if not (dash and worker.isascii() and worker.isdigit()):
        raise ValueError(f"{id_!r} is no id of a connection")
    return int(digits, 16), int(worker)


def _place(given: Mapping[str, str], key: str) -> Place | None:
    if key not in given:
        return None
    try:
        return place(given[key])
    except ValueError:
        raise ValueError(f"{key} is the id of a connection, as 0-1f, not {given[key]!r}") from None


def _is_in(record: Record, state: str) -> bool:
    if record.is_open or state != "failed":
        return record.is_open == (state == "open")
    return record.cause is None or record.cause.is_failure


def _is_at(address: str, wanted: str) -> bool:
    return address == wanted or address.rpartition(":")[0].strip("[]") == wanted.strip("[]")


def _is_below(path: tuple[str, ...] | None, wanted: str) -> bool:
    if path is None:
        return False
    text = str(path)
    return text == wanted or text.startswith(wanted.rstrip("/") + "/")


def _endpoints(record: Record) -> Iterator[str]:
    if record.endpoint is not None:
        yield record.endpoint
    for attempt in record.attempts:
        yield attempt.endpoint


def pieces(book: Book, query: Query) -> Iterator[str]:
    """The answer; to be called in a greenlet."""
    found, next_id = _page(book, query)
    yield '{"connections": '
    yield from array(text for _, text in _texts(found, query))
    yield f', "next": {dumps(next_id)}}}\n'


def lines(book: Book, query: Query) -> Iterator[str]:
    """The same in lines, to be put together with others: `0-1f {...}` for each connection, and then `next 0-1f`, or
    `next` alone.
    """
    found, next_id = _page(book, query)
    for id_, text in _texts(found, query):
        yield f"{id_} "
        yield from text
        yield "\n"
    yield f"next {next_id or ''}\n"


def page(book: Book, query: Query) -> tuple[list[dict[str, Any]], str | None]:
    """The same as shapes; to be called in a greenlet."""
    found, next_id = _page(book, query)
    turns = Turns()
    rows = []
    for record in found:
        turns.rest()
        if query.matches(record):
            rows.append(as_json(record))
    return rows, next_id


def one(book: Book, id_: str) -> Record | None:
    """The connection of this id, if it is remembered; to be called in a greenlet."""
    try:
        wanted = place(id_)
    except ValueError:
        return None
    turns = Turns()
    for each in book.remembered():
        turns.rest()
        if place_of(each) == wanted:
            return unpacked(each)
    return None


def counts(book: Book, query: Query) -> dict[str, int]:
    """How many match, by cause; `open` are those without one. `limit` says nothing here. To be called in a greenlet."""
    found: dict[str, int] = {}
    for record in _matching(book.remembered(), query):
        key = "open" if record.is_open else record.cause or Cause.OTHER
        found[key] = found.get(key, 0) + 1
    return found


def _texts(found: list[Record], query: Query) -> Iterator[tuple[str, Iterable[str]]]:
    """Ids, and JSON in pieces."""
    for record in found:
        # Looked at again when its turn comes: what was open may have closed since.
        if query.matches(record):
            shape = as_json(record)
            # An explanation may be a tree of thousands of steps.
            yield record.id, dump_pieces(shape) if shape["explanation"] else (dumps(shape),)


def _page(book: Book, query: Query) -> tuple[list[Record], str | None]:
    """The page, and the id of its last if there are more."""
    found = _newest(book, query)
    page = found[: query.limit]
    return page, page[-1].id if len(found) > len(page) else None


def _newest(book: Book, query: Query) -> list[Record]:
    """The page and, if there is one, the record after it."""
    kept = book.remembered()
    return nlargest(query.limit + 1, _matching(kept, query), key=_number)


def _number(record: Record) -> int:
    return record.number


def _matching(kept: list[Record | Packed], query: Query) -> Iterator[Record]:
    turns = Turns()
    for each in kept:
        turns.rest()
        if query.reaches(place_of(each)):
            record = unpacked(each)
            if query.matches(record):
                yield record

"""What is remembered of connections, and for how long."""

import pytest

from linkerd_tcp.book import MAX_ALIKE, Book, clock_numbers, place_of, unpacked
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming.path import Path
from linkerd_tcp.record import Record, ServerName, as_json


def test_the_numbers_of_several_workers_rise_with_the_clock_and_repeat_none_over_a_replacement() -> None:
    first, second = Book(worker=1, numbers=clock_numbers()), Book(worker=1, numbers=clock_numbers())
    before = [first.begin("default", "127.0.0.1:1", ("127.0.0.1", 2)) for _ in range(1_000)]
    after = second.begin("default", "127.0.0.1:1", ("127.0.0.1", 2))
    numbers = [record.number for record in before]
    assert numbers == sorted(set(numbers))
    assert abs(numbers[0] / 1e6 - before[0].accepted_at) < 1
    assert after.number > numbers[0]
    assert before[0].id == f"1-{numbers[0]:x}"


def test_a_flood_of_good_connections_washes_no_failed_one_away() -> None:
    book = Book(ended_kept=3, failed_kept=2)
    failed = [book.begin("default", "127.0.0.1:1", ("127.0.0.1", 2)) for _ in range(3)]
    for record in failed:
        record.end(Cause.REFUSED, None)
        book.end(record)
    for _ in range(10):
        record = book.begin("default", "127.0.0.1:1", ("127.0.0.1", 2))
        record.end(Cause.CLIENT_CLOSED, None)
        book.end(record)
    assert [record.number for record in book.closed] == [2, 3, 11, 12, 13], "in the order of their ends"
    assert sorted(record.number for record in map(unpacked, book.remembered())) == [2, 3, 11, 12, 13]


def test_what_is_unpacked_is_what_was_packed() -> None:
    book = Book(worker=3)
    record = book.begin("default", "127.0.0.1:1", ("2001:db8::1", 65535))
    record.path, record.bound, record.endpoint = Path.read("/svc/web"), Path.read("/#/fs/web"), "127.0.0.1:80"
    record.identified_at += 0.125
    record.attempt("127.0.0.1:80", None, 0.25)
    record.step("connected")
    record.rx_bytes, record.tx_bytes = 2**40, 17
    record.end(Cause.ENDPOINT_CLOSED, None)
    book.end(record)
    (kept,) = book.remembered()
    assert not isinstance(kept, Record), "or nothing is proved"
    again = unpacked(kept)
    for name in Record.__slots__:
        assert getattr(again, name) == getattr(record, name), name
    assert as_json(again) == as_json(record)


def test_a_place_is_known_without_unpacking() -> None:
    book = Book(worker=3)
    for number in (1, 2):
        record = book.begin("default", "127.0.0.1:1", ("127.0.0.1", 2))
        record.attempt("127.0.0.1:80", None, 0.25)
        record.step("connected")
        record.end(Cause.ENDPOINT_CLOSED, "a word" if number == 2 else None)
        book.end(record)
    kept = book.remembered()
    assert [isinstance(each, Record) for each in kept] == [False, True]
    assert [place_of(each) for each in kept] == [(1, 3), (2, 3)]


def test_a_server_that_looks_the_same_may_identify_otherwise_after_a_reload() -> None:
    book = Book()
    for kind in ("io.l5d.sni", None):
        record = book.begin("default", ServerName.of("127.0.0.1:1", kind), ("127.0.0.1", 2))
        record.path = Path.read("/svc/web")
        record.attempt("127.0.0.1:80", None, 0.25)
        record.step("connected")
        record.end(Cause.ENDPOINT_CLOSED, None)
        book.end(record)
        book.forget_alike()
    assert [as_json(unpacked(each))["identified"]["by"] for each in book.remembered()] == ["io.l5d.sni", None]


@pytest.mark.parametrize("more", ["an attempt", "a step", "a word", "an envelope"])
def test_one_with_more_to_say_is_kept_as_it_is(more: str) -> None:
    book = Book()
    record = book.begin("default", "127.0.0.1:1", ("127.0.0.1", 2))
    record.attempt("127.0.0.1:80", None, 0.25)
    record.step("connected")
    if more == "an attempt":
        record.attempt("127.0.0.1:81", None, 0.25)
    elif more == "a step":
        record.step("more")
    elif more == "an envelope":
        record.envelope = Envelope(("127.0.0.1", 2), ("127.0.0.1", 1), 0.0, tls=True)
    record.end(Cause.ENDPOINT_CLOSED, "a word" if more == "a word" else None)
    book.end(record)
    assert book.remembered() == [record]
    assert book.closed == [record]


def test_what_connections_have_in_common_is_kept_once_and_names_of_strangers_do_not_pile_up() -> None:
    book = Book()
    for n in range(3 * MAX_ALIKE):
        for _ in range(2):
            record = book.begin("default", "127.0.0.1:1", ("127.0.0.1", 2))
            record.path = Path((f"{n}",))
            record.attempt("127.0.0.1:80", None, 0.25)
            record.step("connected")
            record.end(Cause.ENDPOINT_CLOSED, None)
            book.end(record)
    first, second = book.remembered()[-2:]
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert first[0] is second[0]
    assert len(book._alike) <= MAX_ALIKE

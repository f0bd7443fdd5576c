from linkerd_tcp.errors import Cause
from linkerd_tcp.record import Book, clock_numbers


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
    assert sorted(record.number for record in book.records()) == [2, 3, 11, 12, 13]

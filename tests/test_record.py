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

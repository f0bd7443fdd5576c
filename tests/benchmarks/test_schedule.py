"""Turns and the time that is left."""

from itertools import combinations

from benchmarks.schedule import Progress, in_words, order


def test_everyone_takes_part_in_every_round() -> None:
    assert all(sorted(order("abcd", number)) == list("abcd") for number in range(9))


def test_of_any_two_each_goes_first_equally_often() -> None:
    for one, other in combinations("abcde", 2):
        rounds = [order("abcde", number) for number in range(10)]
        assert sum(each.index(one) < each.index(other) for each in rounds) == 5


def test_everyone_begins_a_round_sooner_or_later() -> None:
    assert {order("abcd", number)[0] for number in range(8)} == set("abcd")


def test_nobody_has_no_order() -> None:
    assert order([], 3) == []


def test_what_is_left_is_expected_to_be_as_slow_as_what_was() -> None:
    progress = Progress(100)
    assert (progress.percent, progress.left_secs) == (0, 100)
    progress.did(25, 50)
    assert (progress.percent, progress.left_secs) == (25, 150)
    progress.did(80, 80)
    assert (progress.percent, progress.left_secs) == (100, 0)


def test_time_is_told_in_minutes_when_it_is_long() -> None:
    assert [in_words(secs) for secs in (0, 4.6, 89, 90, 1100)] == [
        "about 0 s",
        "about 5 s",
        "about 89 s",
        "about 2 min",
        "about 18 min",
    ]

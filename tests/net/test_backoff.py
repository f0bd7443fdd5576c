import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.net.backoff import Backoff


def test_waits_double_up_to_the_longest():
    backoff = Backoff(0.25, 3, draw=lambda: 0.0)
    assert [backoff.next_secs() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_success_the_next_wait_is_a_first_one():
    backoff = Backoff(0.25, 10, draw=lambda: 0.0)
    for _ in range(5):
        backoff.next_secs()
    backoff.reset()
    assert backoff.next_secs() == 0.25


@given(st.floats(1e-3, 1e3), st.floats(1, 1e3), st.integers(1, 50))
def test_no_wait_is_longer_than_the_longest_or_shorter_than_half_the_shortest(
    min_secs: float, times: float, count: int
) -> None:
    backoff = Backoff(min_secs, min_secs * times)
    waits = [backoff.next_secs() for _ in range(count)]
    assert all(min_secs / 2 <= wait <= min_secs * times for wait in waits)


def test_those_who_failed_together_do_not_come_back_together():
    assert len({Backoff(1, 10).next_secs() for _ in range(100)}) > 90


@pytest.mark.parametrize(("least", "most"), [(0, 1), (-1, 1), (2, 1), (math.nan, 1), (1, math.nan)])
def test_a_backoff_that_cannot_be_is_refused(least: float, most: float) -> None:
    with pytest.raises(ValueError, match="backoff"):
        Backoff(least, most)

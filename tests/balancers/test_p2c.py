from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.balancers.endpoints import Endpoint
from linkerd_tcp.balancers.p2c import P2c, P2cConfig, alias_table
from linkerd_tcp.naming.addr import Address

WEIGHTS = [
    [1, 1, 1],
    [1, 0.1],
    [1, 2],
    [1, 2, 3],
    [10, 1, 1],
    [5, 3, 2, 1, 1],
    [1] * 10,
    [0.5] * 5 + [2.0] * 5,
    [100, 1],
    [20, 1, 1, 1],
    [30] + [1] * 10,
    [1, 5],
]


def endpoints_of(weights: list[float]) -> list[Endpoint]:
    return [Endpoint(Address("10.0.0.1", 1 + index, weight)) for index, weight in enumerate(weights)]


def shares(weights: list[float], open_at_once: int, picks: int = 10_000) -> list[float]:
    """Percent of the picks that each got, with `open_at_once` connections open at each pick, ended in random order."""
    random = Random(7)
    endpoints = endpoints_of(weights)
    picker = P2c(random)
    picker.rebuild(endpoints)
    held: list[Endpoint] = []
    got: Counter[Endpoint] = Counter()
    for turn in range(picks + open_at_once):
        endpoint = picker.pick(None)
        assert endpoint is not None
        endpoint.load += 1
        held.append(endpoint)
        if turn >= open_at_once:
            got[endpoint] += 1
            held.pop(random.randrange(len(held))).load -= 1
    return [100 * got[endpoint] / picks for endpoint in endpoints]


def worst(weights: list[float], got: list[float]) -> float:
    """The widest distance of a share from its weight, in points."""
    total = sum(weights)
    return max(abs(share - 100 * weight / total) for share, weight in zip(got, weights, strict=True))


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_shares_stay_within_5_points_of_the_weights_with_none_open(weights: list[float]) -> None:
    assert worst(weights, shares(weights, 0)) < 5


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("per_endpoint", [1, 2, 20])
def test_shares_stay_within_5_points_with_at_least_as_many_open_as_endpoints(
    weights: list[float], per_endpoint: int
) -> None:
    assert worst(weights, shares(weights, per_endpoint * len(weights))) < 5


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_shares_stay_within_15_points_in_between(weights: list[float]) -> None:
    for open_at_once in range(1, len(weights)):
        assert worst(weights, shares(weights, open_at_once)) < 15


def test_equal_weights_draw_two_distinct_ones_and_the_less_loaded_wins() -> None:
    busy, quiet = endpoints_of([1, 1])
    busy.load = 1
    picker = P2c(Random(1))
    picker.rebuild([busy, quiet])
    assert {picker.pick(None) for _ in range(200)} == {quiet}


def test_a_tie_keeps_the_first_drawn_so_unequal_weights_hold_with_no_load() -> None:
    assert shares([1, 0.1], 0)[1] == pytest.approx(100 * 0.1 / 1.1, abs=2)


def test_the_lower_load_for_its_weight_wins() -> None:
    heavy, light = endpoints_of([4, 1])
    heavy.load, light.load = 3, 1  # 0.75 against 1
    picker = P2c(Random(1))
    picker.rebuild([heavy, light])
    got = Counter(picker.pick(None) for _ in range(2_000))
    # The light one is left only when both draws are of it: 1 in 25.
    assert got[light] / 2_000 == pytest.approx(0.04, abs=0.02)


def test_nobody_to_pick_from_is_none_and_one_is_that_one() -> None:
    picker = P2cConfig().build(Random(1))
    assert picker.pick(None) is None
    (only,) = endpoints_of([0.3])
    picker.rebuild([only])
    assert picker.pick(None) is only


class Counting(list[Any]):
    """A list that counts how often it is indexed, and refuses to be walked."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return super().__getitem__(index)

    def __iter__(self) -> Any:
        raise AssertionError("a pick walked over all endpoints")


@pytest.mark.parametrize("weights", [(1, 1), (1, 2)], ids=["equal", "unequal"])
def test_a_pick_among_10_000_looks_at_no_more_than_one_among_10(weights: tuple[int, int]) -> None:
    reads: list[int] = []
    for size in (10, 10_000):
        picker = P2c(Random(3))
        picker.rebuild(endpoints_of(list(weights) * (size // 2)))
        tables = [Counting(table) for table in (picker._endpoints, picker._accept, picker._alias)]
        picker._endpoints, picker._accept, picker._alias = tables
        for _ in range(1_000):
            picker.pick(None)
        reads.append(sum(table.reads for table in tables))
    assert all(count <= 6_000 for count in reads)


@given(st.lists(st.floats(min_value=1e-3, max_value=1e3), min_size=1, max_size=50))
def test_the_alias_table_gives_every_index_exactly_its_weight(weights: list[float]) -> None:
    accept, alias = alias_table(weights)
    chance = [0.0] * len(weights)
    for index, share in enumerate(accept):
        assert 0 <= share <= 1 + 1e-9
        chance[index] += share / len(weights)
        chance[alias[index]] += (1 - share) / len(weights)
    for got, weight in zip(chance, weights, strict=True):
        assert got == pytest.approx(weight / sum(weights), abs=1e-9)


def test_the_same_seed_picks_the_same() -> None:
    endpoints = endpoints_of([1, 2, 3])
    runs = []
    for _ in range(2):
        picker = P2c(Random(5))
        picker.rebuild(endpoints)
        runs.append([picker.pick(None) for _ in range(50)])
    assert runs[0] == runs[1]

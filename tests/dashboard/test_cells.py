"""Figures as people read them: never a zero for nothing, the exact value beside the short one, strangers harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.dashboard import cells
from linkerd_tcp.dashboard.cells import NOTHING, Cell


def text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell["text"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "—"), (0, "0"), (7, "7"), (999, "999"), (1_234, "1\u202f234"), (9_999, "9\u202f999"),
        (10_000, "10.0 k"), (12_345, "12.3 k"), (99_960, "100 k"), (123_456, "123 k"), (999_600, "1.00 M"),
        (4_560_000, "4.56 M"), (7.2e9, "7.20 G"), (3e12, "3.00 T"),
    ],
)  # fmt: skip
def test_numbers_have_three_figures_once_they_are_long(value: float | None, shown: str) -> None:
    assert text(cells.number(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "—"), (0, "0"), (0.04, "< 0.1"), (0.25, "0.2"), (9.94, "9.9"), (12.4, "12")]
)
def test_a_trace_of_something_is_not_nothing(value: float | None, shown: str) -> None:
    assert text(cells.rate(value)) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "—"), (0, "0 B"), (9_000, "9\u202f000 B"), (12_345, "12.3 kB")])
def test_sizes_are_bytes(value: float | None, shown: str) -> None:
    assert text(cells.size(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0004, "0.4 ms"), (0.012, "12 ms"), (0.5, "500 ms"), (3.2, "3.2 s"), (12.0, "12 s"), (60.0, "1 min"),
        (250.0, "4 min 10 s"), (7_500.0, "2 h 5 min"), (273_600.0, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations_have_two_units_at_most(value: float, shown: str) -> None:
    assert text(cells.seconds(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-1, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (3_600, "1 h"), (7_200, "2 h"), (86_400, "1 d")],
)
def test_ages_have_one_unit(value: float, shown: str) -> None:
    assert cells.age(value) == shown


@given(st.floats(0, 1e15, allow_nan=False))
def test_the_exact_value_goes_with_the_short_text(value: float) -> None:
    for cell in (cells.number(value), cells.rate(value), cells.size(value), cells.seconds(value)):
        assert not isinstance(cell, str)
        assert cell["value"] == value
        assert cell["text"] not in ("", NOTHING)


@given(st.text(), st.integers(1, 300))
def test_a_strangers_text_is_short_and_can_be_seen(stranger: str, most: int) -> None:
    shown = cells.cut(stranger, most)
    assert shown.isprintable()
    assert len(shown) <= 10 * most
    assert stranger.isprintable() is False or len(stranger) > most or shown == stranger


def test_direction_marks_and_controls_are_written_out() -> None:
    assert cells.cut("a\u202eb\x1b[31m\udcff") == "a\\u202eb\\x1b[31m\\udcff"


def test_a_moment_is_said_in_utc_and_how_long_ago_it_was() -> None:
    assert cells.ago(1_769_825_621.0, 1_769_825_861.0) == {
        "text": "4 min ago", "value": "2026-01-31T02:13:41Z", "title": "2026-01-31T02:13:41Z",
    }  # fmt: skip
    assert cells.ago(None, 1.0) == NOTHING


def test_causes_are_ordered_by_how_often_they_were_met() -> None:
    assert cells.causes({"timeout": 3, "refused": 4_100, "reset": 0}) == "refused 4\u202f100, timeout 3"
    assert cells.causes({}) == cells.causes({"reset": 0}) == NOTHING

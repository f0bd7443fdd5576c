"""Small plots: whole numbers in the box, gaps are gaps, a small figure does not look like a large one."""

import re

from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.dashboard.frame import STEPS
from linkerd_tcp.dashboard.spark import HEIGHT, WIDTH, area, bars, line, most, newest

POINTS = st.lists(st.none() | st.floats(0, 1e12), max_size=STEPS)


def coordinates(path: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"(\d+) (\d+)", path)]


@given(POINTS, st.floats(0.1, 1e6))
def test_every_plot_stays_in_its_box_with_whole_numbers(points: list[float | None], least: float) -> None:
    for path in (line(points, least), area(points, least)):
        assert re.fullmatch(r"[MLZh\d ]*", path)
        assert all(0 <= x <= WIDTH and 0 < y < HEIGHT for x, y in coordinates(path))
    assert len(coordinates(line(points, least))) == sum(point is not None for point in points)


def test_a_full_series_goes_from_edge_to_edge_and_a_short_one_ends_at_the_right() -> None:
    assert coordinates(line([0.0] * STEPS, 1))[0] == (0, 23)
    assert coordinates(line([0.0] * STEPS, 1))[-1] == (WIDTH, 23)
    assert coordinates(line([0.0, 0.0], 1)) == [(118, 23), (120, 23)]


def test_where_nothing_was_measured_is_a_gap_and_a_point_alone_is_a_dash() -> None:
    assert line([1.0, None, 1.0, 2.0], 2).count("M") == 2
    assert line([1.0, None, None], 1) == "M117 1h1"
    assert line([None, None], 1) == line([], 1) == area([1.0, None], 1) == ""


def test_one_failure_does_not_look_like_an_outage() -> None:
    (point,) = coordinates(line([0.2], 5.0))
    assert HEIGHT - 1 - point[1] <= 1
    (point,) = coordinates(line([50.0], 5.0))
    assert point[1] == 1


def test_what_is_below_the_line_is_closed_at_the_ground() -> None:
    assert area([1.0, 1.0], 1) == "M118 23L118 1 120 1 120 23Z"


def test_bars_show_what_is_there_at_all() -> None:
    path = bars([0, 1, 1_000_000], 1)
    assert path.count("M") == 2
    assert [int(y) for y in re.findall(r"V(\d+)h", path)] == [22, 1]
    assert bars([0] * 17, 1) == ""


def test_the_largest_and_the_newest_point_are_unknown_where_nothing_was_measured() -> None:
    assert (most([None, 2.0, 1.0]), most([None]), most([])) == (2.0, None, None)
    assert (newest([1.0, None]), newest([1.0]), newest([])) == (None, 1.0, None)

"""Small plots, as the path of an SVG in a box of 120 by 24 with integer coordinates."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from linkerd_tcp.dashboard.frame import STEPS

WIDTH: Final = 120
HEIGHT: Final = 24
_BOTTOM: Final = HEIGHT - 1
"""So that half of the line is not outside of the box."""

MOST_REMEMBERED: Final = 1024
"""Lines: they are asked for once a second, and change every few."""

Points = Sequence[float | None]


def line(points: Points, least: float) -> str:
    """The series, the newest at the right edge; where nothing was measured there is a gap.

    The top of the box is the largest point, but never less than `least`: a small figure must not look like a large one.
    """
    return _line(tuple(points), least)


@lru_cache(MOST_REMEMBERED)
def _line(points: tuple[float | None, ...], least: float) -> str:
    parts: list[str] = []
    for run in _runs(points, least):
        parts.append(f"M{_at(run[0])}")
        # A point alone has no line to the next: a dash.
        parts.append("L" + " ".join(map(_at, run[1:])) if len(run) > 1 else "h1")
    return "".join(parts)


def area(points: Points, least: float) -> str:
    """What is below `line`."""
    return "".join(
        f"M{run[0][0]} {_BOTTOM}L{' '.join(map(_at, run))} {run[-1][0]} {_BOTTOM}Z"
        for run in _runs(points, least)
        if len(run) > 1
    )


def bars(counts: Sequence[int], least: int) -> str:
    """A bar for each of `counts`; what is not nothing can be seen."""
    top = max(*counts, least)
    wide = WIDTH // len(counts)
    return "".join(
        f"M{wide * place} {_BOTTOM}V{min(_height(count, top), _BOTTOM - 1)}h{wide - 1}V{_BOTTOM}Z"
        for place, count in enumerate(counts)
        if count
    )


def most(points: Points) -> float | None:
    """The largest point; None where nothing was measured."""
    return max((point for point in points if point is not None), default=None)


def newest(points: Points) -> float | None:
    """The last point, if it was measured."""
    return points[-1] if points else None


def _runs(points: Points, least: float) -> Iterator[list[tuple[int, int]]]:
    """Each stretch without a gap, as coordinates."""
    top = max(most(points) or 0.0, least)
    first = STEPS - len(points)
    run: list[tuple[int, int]] = []
    for place, point in enumerate(points, first):
        if point is not None:
            run.append((round(place * WIDTH / (STEPS - 1)), _height(point, top)))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _height(value: float, top: float) -> int:
    """From the top of the box."""
    return _BOTTOM - round(max(value, 0.0) / top * (_BOTTOM - 1))


def _at(point: tuple[int, int]) -> str:
    return f"{point[0]} {point[1]}"

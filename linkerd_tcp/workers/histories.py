"""The last minutes of all workers, of what each one says of its own. Pure.

A worker sends its history only when there is a new point. What one that has been replaced, or does not answer, had
said before stays a part of the minutes in which it was there.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from linkerd_tcp.dashboard.frame import MOST_DESTINATIONS, STEPS, History, Series
from linkerd_tcp.dashboard.together import buckets_together

Points: TypeAlias = list[float | None]
Process: TypeAlias = tuple[int, int]
"""A worker's number and its pid."""

MOST_OTHERS: Final = 16
"""Processes that were replaced or do not answer, and whose minutes are still shown."""

NOTHING: Final = -1
"""No step at all: whoever is asked has newer points."""


class Histories:
    """What is known of each worker's; one for the life of the admin process."""

    def __init__(self) -> None:
        self._known: dict[Process, History] = {}
        self._merged: tuple[list[tuple[Process, int]], History] | None = None

    def known_until(self, processes: Iterable[Process]) -> int:
        """The step up to which all of these are known; NOTHING where that differs."""
        untils = {self._known[each]["until"] if each in self._known else NOTHING for each in processes}
        return untils.pop() if len(untils) == 1 else NOTHING

    def together(self, heard: Mapping[Process, History | None]) -> History:
        """Of all, after those have said this: None is nothing new."""
        for process, history in heard.items():
            if history is not None:
                self._known[process] = history
        going_on = [self._known[each]["until"] for each in heard if each in self._known]
        until = _until(going_on or [each["until"] for each in self._known.values()])
        self._forget(heard, until)
        key = [(process, history["until"]) for process, history in self._known.items()]
        if self._merged is None or self._merged[0] != key:
            self._merged = key, merge_histories(list(self._known.values()), until)
        return self._merged[1]

    def _forget(self, heard: Container[Process], until: int) -> None:
        for process, history in list(self._known.items()):
            # One of the future is of before the clock was set back.
            if process not in heard and not until - STEPS < history["until"] <= until + 1:
                del self._known[process]
        others = [process for process in self._known if process not in heard]
        for process in others[:-MOST_OTHERS]:
            del self._known[process]


def _until(untils: Sequence[int]) -> int:
    """The newest step of which all that go on have a point: some make it a moment later than others."""
    newest = max(untils, default=0)
    return newest - 1 if newest - 1 in untils else newest


def merge_histories(several: Sequence[History], until: int) -> History:
    keys = sorted({key for history in several for key in history["destinations"]})[:MOST_DESTINATIONS]
    return {
        "until": until,
        "total": _series([(each["total"], each["until"]) for each in several], until),
        "destinations": {
            key: _series(
                [(each["destinations"][key], each["until"]) for each in several if key in each["destinations"]], until
            )
            for key in keys
        },
    }


def _series(several: Sequence[tuple[Series, int]], until: int) -> Series:
    return {
        "open": add_points(((each["open"], end) for each, end in several), until),
        "accepts": add_points(((each["accepts"], end) for each, end in several), until),
        "failures": add_points(((each["failures"], end) for each, end in several), until),
        "rx": add_points(((each["rx"], end) for each, end in several), until),
        "tx": add_points(((each["tx"], end) for each, end in several), until),
        "latency": buckets_together(each["latency"] for each, end in several if end >= until - 1),
    }


def add_points(several: Iterable[tuple[Points, int]], until: int) -> Points:
    """Step by step: the sum of what is known, None where nothing is; `int` is until when the points are."""
    rows = [points for points in (_placed(each, end - until) for each, end in several) if points]
    if len(rows) == 1:
        return rows[0]
    most = max(map(len, rows), default=0)
    padded = [[*[None] * (most - len(row)), *row] for row in rows]
    return [_sum(column) for column in zip(*padded, strict=True)]


def _placed(points: Points, ahead: int) -> Points:
    """So that the last is of the step wanted: cut, or with gaps at its end."""
    if ahead > 0:
        return points[:-ahead]
    return [*points, *[None] * -ahead][-STEPS:] if points else []


def _sum(column: Sequence[float | None]) -> float | None:
    known = [value for value in column if value is not None]
    return round(sum(known), 3) if known else None

"""What happens per second, of the counters of frames that are some seconds apart; and percentiles of histograms."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from linkerd_tcp.dashboard.cells import NOTHING, Cell
from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.figures import DURATION_BOUNDS_SECS

WINDOW_SECS: Final = 5.0
"""What a rate is taken over, as soon as there are frames that far apart."""

KEPT_SECS: Final = 10.0
"""An older frame says nothing of now: between two frames nobody may have looked for an hour."""

MOST_KEPT: Final = 16
_LEAST_SECS: Final = 0.2

Key = tuple[str, ...]


class Counters(NamedTuple):
    """Of one server, destination or endpoint."""

    new: int
    """Connections: accepted by a server, made to a destination or an endpoint."""
    failed: int
    rx: int
    tx: int
    causes: Mapping[str, int]


class PerSecond(NamedTuple):
    new: float
    failed: float
    rx: float
    tx: float
    causes: dict[str, int]
    """How many, not per second."""


_NO_CAUSES: Final[Mapping[str, int]] = {}


class Rates:
    """Of the last few seconds. `add` each frame, then ask."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, dict[Key, Counters]]] = deque(maxlen=MOST_KEPT)

    def add(self, frame: Frame, at_secs: float) -> None:
        """`at_secs` is on a clock that nobody sets."""
        self._kept.append((at_secs, dict(_counters(frame))))
        while self._kept[0][0] < at_secs - KEPT_SECS:
            self._kept.popleft()
        while len(self._kept) > 1 and self._kept[1][0] <= at_secs - WINDOW_SECS:
            self._kept.popleft()

    @property
    def secs(self) -> float:
        """What they are taken over; 0 before there are two frames."""
        if not self._kept:
            return 0.0
        secs = self._kept[-1][0] - self._kept[0][0]
        return secs if secs >= _LEAST_SECS else 0.0

    def of(self, key: Key) -> PerSecond | None:
        """None where it is not known: there is one frame, or it was not in the first, or its counters began anew."""
        secs = self.secs
        if not secs:
            return None
        before, now = self._kept[0][1].get(key), self._kept[-1][1].get(key)
        if before is None or now is None:
            return None
        new, failed = now.new - before.new, now.failed - before.failed
        rx, tx = now.rx - before.rx, now.tx - before.tx
        if new < 0 or failed < 0 or rx < 0 or tx < 0:
            return None
        causes = {cause: times - before.causes.get(cause, 0) for cause, times in now.causes.items()}
        return PerSecond(
            new / secs, failed / secs, rx / secs, tx / secs, {each: n for each, n in causes.items() if n > 0}
        )


def server_key(router: str, address: str) -> Key:
    return ("server", router, address)


def destination_key(router: str, bound: str) -> Key:
    return ("destination", router, bound)


def endpoint_key(router: str, bound: str, address: str) -> Key:
    return ("endpoint", router, bound, address)


def _counters(frame: Frame) -> Iterator[tuple[Key, Counters]]:
    for router in frame["routers"]:
        label = router["label"]
        for server in router["servers"]:
            causes = server["failures"]
            yield (
                server_key(label, server["address"]),
                Counters(server["accepts"], sum(causes.values()), server["rxBytes"], server["txBytes"], causes),
            )
        for destination in router["destinations"]:
            bound, causes = destination["bound"], destination["failures"]
            yield (
                destination_key(label, bound),
                Counters(
                    destination["connects"],
                    sum(causes.values()),
                    destination["rxBytes"],
                    destination["txBytes"],
                    causes,
                ),
            )
            for one in destination["endpoints"]:
                yield (
                    endpoint_key(label, bound, one["address"]),
                    Counters(one["connects"], one["failures"], one["rxBytes"], one["txBytes"], _NO_CAUSES),
                )


def bound_of(counts: Sequence[int], share: float) -> float | None:
    """The bound of the bucket that `share` of what was counted is below, in seconds; None of nothing."""
    total = sum(counts)
    if not total:
        return None
    seen = 0
    for bound, count in zip((*DURATION_BOUNDS_SECS, inf), counts, strict=True):
        seen += count
        if seen >= share * total:
            return bound
    return inf


def at_most(counts: Sequence[int], share: float) -> Cell:
    """`≤ 2.5 ms`: a histogram knows no more than that."""
    bound = bound_of(counts, share)
    if bound is None:
        return NOTHING
    if bound == inf:
        return f"> {DURATION_BOUNDS_SECS[-1]:g} s"
    return {"text": f"≤ {bound * 1000:g} ms" if bound < 1 else f"≤ {bound:g} s", "value": bound}


def spread(counts: Sequence[int]) -> Cell:
    """p50 and p99: `≤ 0.5 ms, ≤ 2.5 ms`; the exact value is that of p99."""
    half, most = at_most(counts, 0.5), at_most(counts, 0.99)
    if isinstance(half, str):
        return half
    return f"{half['text']}, {most}" if isinstance(most, str) else {**most, "text": f"{half['text']}, {most['text']}"}

"""What is measured and what comes of it, as plain values. Nothing here runs anything."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

MIB: Final = 1 << 20
GIB: Final = 1 << 30


class Family(StrEnum):
    """Whose a contestant is: it has one colour in every plot."""

    OURS = "linkerd-tcp"
    HAPROXY = "HAProxy"
    NGINX = "nginx"
    DIRECT = "direct"


@dataclass(frozen=True)
class Contestant:
    """Somebody to send load to. `name` is unique; all else is how it is configured."""

    name: str
    family: Family
    workers: int = 1
    """Processes of ours, threads of HAProxy's."""
    endpoints: int = 1
    splice: bool = False
    """HAProxy's `option splice-request` and `option splice-response`."""
    tls: bool = False
    """TLS ends at it, on a second port: it has a key, a certificate, and the library for it in memory."""
    holds_idle: bool = False
    """`Options.idle` connections are open through it, and silent, all the time."""


@dataclass(frozen=True)
class Options:
    """How much is run. `seconds` is how long a round of those lasts that have no size of their own."""

    rounds: int = 7
    seconds: int = 5
    bulk_mib: int = 2048
    idle: int = 8000
    churn_seconds: int = 300
    workers: int = 2
    rate: int = 20_000
    rate_connections: int = 100
    small: int = 1000
    endpoints: int = 10_000
    churn_rate: int = 2_000


@dataclass(frozen=True)
class Measured:
    """Figures by name; a series is a list of values over time, and "at" are its seconds."""

    figures: dict[str, float]
    series: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One measurement of one contestant, as raw.json has it. With an `error` there are no figures."""

    workload: str
    contestant: str
    round: int
    turn: int
    """Who went when within the round, from 0."""
    at_secs: float
    """Since the whole run began."""
    took_secs: float
    figures: dict[str, float] = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


class Better(StrEnum):
    LESS = "<="
    MORE = ">="


By = Literal["ratio", "value", "sum", "flat"]
"""How a row is judged: by the median of the rounds' ratios ours / theirs; by the median of ours; by the sum of ours in
all rounds; by whether the series of ours grows."""


@dataclass(frozen=True)
class Row:
    """A line of the table: one figure of one workload, ours beside theirs, held against two targets."""

    workload: str
    title: str
    figure: str
    unit: str
    ours: str
    theirs: str | None
    better: Better = Better.LESS
    first: float | None = None
    goal: float | None = None
    by: By = "ratio"
    beside: tuple[str, str] | None = None
    """Two contestants whose ratio of the same figure is shown with it: HAProxy's, where ours is held against itself."""

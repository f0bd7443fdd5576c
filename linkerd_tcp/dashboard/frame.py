"""The figures and states of the program at one moment, as plain JSON: of one process, or of all workers added up.

Counters are absolute and do not fall while what they are of is there; rates are made of two frames. Histograms are
counts by bucket (`figures.DURATION_BOUNDS_SECS`, not cumulative), so they can be added. Lists are cut where they would
be long, with how many are left out beside them; what is in trouble is never left out. Order is the configuration's and
discovery's, that of destinations by name, and does not change because something fails.
"""

from typing import Final, TypedDict

from linkerd_tcp import history

MOST_DESTINATIONS: Final = history.MOST_DESTINATIONS
"""Over all routers, the first by name: so several workers choose the same ones."""

MOST_ENDPOINTS: Final = 300
"""Over all destinations."""

MOST_OF_ONE: Final = 50
"""Of those of one destination, the first that discovery lists."""

MOST_TROUBLED: Final = 100
"""Destinations, endpoints and watches that are in trouble and shown besides, each."""

MOST_DRAINS: Final = 100

MOST_WATCHES: Final = 100
"""Over all namers."""

MOST_PATHS: Final = 5
"""Of those that lead to one destination."""

STEP_SECS: Final = history.STEP_SECS
"""One point of a series."""

STEPS: Final = history.STEPS
"""Points kept: six minutes."""


class Endpoint(TypedDict):
    """A row of /bindings.json, and more."""

    address: str
    state: str
    """available, failed or retired."""
    weight: float
    open: int
    pending: int
    consecutiveFailures: int
    connects: int
    failures: int
    lastError: str | None
    lastErrorAt: float | None
    failedSince: float | None
    drained: bool
    nextTryAt: float | None
    """Seconds since the epoch, of one that failed: from then on a client's connection tries it."""
    probing: bool
    """One client's connection is trying it now."""
    ejections: int
    rxBytes: int
    txBytes: int


class Destination(TypedDict):
    """A bound name in a router: all its balancers."""

    bound: str
    paths: list[str]
    morePaths: int
    addr: dict[str, str]
    """{"type": "bound"}, as in /bindings.json."""
    available: int
    failed: int
    retired: int
    drained: int
    """Of the available and failed ones."""
    open: int
    pending: int
    waiters: int
    attempts: int
    connects: int
    failures: dict[str, int]
    """Failed attempts by cause."""
    unavailable: int
    ejections: int
    revivals: int
    latency: list[int]
    rxBytes: int
    txBytes: int
    endpoints: list[Endpoint]
    moreEndpoints: int


class Server(TypedDict):
    address: str
    names: str
    """Where its connections go: dstName, or the kind of its identifier."""
    tls: bool
    active: int
    waiting: int
    most: int
    """maxConcurrency, over all workers."""
    accepts: int
    failures: dict[str, int]
    """Of connections, by cause; those that were never connected included."""
    tlsFailures: dict[str, int]
    latency: list[int]
    """From accept to connected."""
    rxBytes: int
    txBytes: int


class Unbound(TypedDict):
    """A path that leads to no name now."""

    path: str
    type: str
    """neg, fail, empty, failed or pending."""
    cause: str | None


class Router(TypedDict):
    label: str
    servers: list[Server]
    destinations: list[Destination]
    moreDestinations: int
    unbound: list[Unbound]
    """At most MOST_PATHS of them."""
    moreUnbound: int
    errors: dict[str, int]


class Watch(TypedDict):
    """A row of /namers.json, and `stale`: it fails, and what was last good is used."""

    name: str
    state: str
    addresses: int
    value: list[str]
    lastGoodAt: float | None
    error: str | None
    errorAt: float | None
    nextAttemptAt: float | None
    stale: bool


class Namer(TypedDict):
    prefix: str
    """As it is written in a dtab: /#/io.l5d.fs."""
    kind: str
    watches: list[Watch]
    moreWatches: int
    stale: int
    errors: dict[str, int]


class Certificate(TypedDict):
    where: str
    """`server 127.0.0.1:7474`, `admin`."""
    identity: str
    """The server name, exact or `*.example.com`, that it is configured for; `*` is the default one."""
    subject: str
    names: list[str]
    """At most MOST_PATHS of those in it: `DNS:www.example.com`."""
    moreNames: int
    notAfter: float


class Worker(TypedDict):
    """A row of /workers.json, and why it does not answer."""

    worker: int
    pid: int
    state: str
    startedAt: float
    restarts: int
    connections: int | None
    answers: bool
    why: str | None


class Drain(TypedDict):
    bound: str
    address: str
    since: float
    by: str | None
    """The address that asked for it."""


class Reload(TypedDict):
    """The last one, or the start."""

    ok: bool
    at: float
    errors: list[str]


class Series(TypedDict):
    """Points of STEP_SECS each, the newest last; None where nothing was measured, and fewer than STEPS where that is
    so of the first ones. Rates are per second.
    """

    open: list[float | None]
    accepts: list[float | None]
    failures: list[float | None]
    rx: list[float | None]
    tx: list[float | None]
    latency: list[int]
    """By bucket, of the last minute."""


class History(TypedDict):
    until: int
    """When the newest point ended, in STEP_SECS since the epoch."""
    total: Series
    destinations: dict[str, Series]
    """By `router bound`; without accepts' and bytes' lists where they are not measured."""


class Frame(TypedDict):
    at: float
    """Seconds since the epoch."""
    startedAt: float
    ready: bool
    stopping: bool
    remarks: list[str]
    """What /ready says."""
    readOnly: bool
    reload: Reload
    descriptors: int
    mostDescriptors: int
    """For proxied connections, two each; of the worker that has least room."""
    routers: list[Router]
    namers: list[Namer]
    certificates: list[Certificate]
    workers: list[Worker]
    drains: list[Drain]
    moreDrains: int
    history: History

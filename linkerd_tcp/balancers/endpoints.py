"""The endpoints of one name and the set each is in: available, failed or retired.

discovery adds      -> available       fail()    available -> failed
discovery removes   -> retired while connections are open, else gone
discovery re-adds   retired -> available, with its counts       revive()  failed -> available
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from typing import Any, Final, TypeAlias, final

from linkerd_tcp.connectors.connector import Target
from linkerd_tcp.naming.addr import Address

MAX_DRAINED: Final = 10_000
"""Drained addresses remembered; the oldest are forgotten first."""

Key: TypeAlias = tuple[str, int]


@final
class State(StrEnum):
    """Which set an endpoint is in; GONE is in none."""

    AVAILABLE = "available"
    FAILED = "failed"
    RETIRED = "retired"
    GONE = "gone"


class Endpoint(Target):
    """One address and what this process knows of it; read freely, changed only by its balancer.

    `load` is open + pending connections. `weight` is discovery's, `drained` an operator's word that it be taken
    as 0. `failed_since` and `last_error_at` are seconds since the epoch, `penalty_until` is on the balancer's clock.
    `probing` is true while one client's connection tries whether a failed endpoint is back. Bytes are those of ended
    connections; `place` is where discovery lists it.
    """

    __slots__ = (
        "address",
        "connects",
        "consecutive_failures",
        "drained",
        "ejections",
        "failed_since",
        "failures",
        "last_error",
        "last_error_at",
        "load",
        "open",
        "penalty_until",
        "place",
        "probing",
        "rx_bytes",
        "state",
        "tx_bytes",
        "weight",
    )

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.address = address
        self.weight = address.weight
        self.state = State.AVAILABLE
        self.drained = False
        self.load = 0
        self.open = 0
        self.connects = 0
        self.failures = 0
        self.consecutive_failures = 0
        self.ejections = 0
        self.rx_bytes = 0
        self.tx_bytes = 0
        self.place = 0
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        self.failed_since: float | None = None
        self.penalty_until = 0.0
        self.probing = False

    @property
    def pending(self) -> int:
        """Connects in progress."""
        return self.load - self.open

    @property
    def wanted(self) -> bool:
        """Whether it may get new connections, as far as weight and draining go."""
        return self.weight > 0 and not self.drained

    def as_json(self, clock_behind: float) -> dict[str, Any]:
        """Its row in /bindings.json. The balancer's clock is `clock_behind` seconds behind that of the epoch."""
        next_try_at = None
        if self.state is State.FAILED and self.wanted and not self.probing:
            next_try_at = round(self.penalty_until + clock_behind, 2)
        return {
            "address": self.text,
            "state": str(self.state),
            "weight": self.weight,
            "open": self.open,
            "pending": self.pending,
            "consecutiveFailures": self.consecutive_failures,
            "connects": self.connects,
            "failures": self.failures,
            "lastError": self.last_error,
            "failedSince": self.failed_since,
            "drained": self.drained,
            "lastErrorAt": self.last_error_at,
            "nextTryAt": next_try_at,
            "probing": self.probing,
            "ejections": self.ejections,
        }


class EndpointSet:
    """Every endpoint that discovery names or that still has connections.

    `failed` is in the order in which penalties end, which `fail` and `penalise` keep. `changed` is set by whatever
    can change who may be picked, and cleared by who has read `candidates`. `drained` are addresses drained before,
    whether discovery names them already or not. `gone_bytes` are those of endpoints that are in no set any more.
    """

    __slots__ = ("_drained", "available", "changed", "failed", "gone_bytes", "retired")

    def __init__(self, drained: Iterable[str] = ()) -> None:
        self.available: dict[Key, Endpoint] = {}
        self.failed: OrderedDict[Key, Endpoint] = OrderedDict()
        self.retired: dict[Key, Endpoint] = {}
        self.changed = True
        self.gone_bytes = (0, 0)
        self._drained: dict[str, None] = dict.fromkeys(drained)

    def __iter__(self) -> Iterator[Endpoint]:
        return chain(self.available.values(), self.failed.values(), self.retired.values())

    def update(self, addresses: Iterable[Address]) -> list[Endpoint]:
        """Take discovery's word for what there is; returns those it no longer names, already retired or gone.

        ValueError, and nothing is changed, if one is no IP literal.
        """
        wanted = {(address.ip, address.port): address for address in addresses}
        known = {_key(endpoint): endpoint for endpoint in self}
        for key, address in wanted.items():
            if key not in known:
                known[key] = Endpoint(address)
        for place, (key, address) in enumerate(wanted.items()):
            endpoint = known.pop(key)
            endpoint.address = address
            endpoint.weight = address.weight
            endpoint.place = place
            if key not in self.available and key not in self.failed:
                # New, or retired: that one comes back as it was, with the connections that it still has.
                self.retired.pop(key, None)
                self.available[key] = endpoint
                endpoint.state = State.AVAILABLE
                endpoint.drained = endpoint.text in self._drained
        removed = [endpoint for endpoint in known.values() if endpoint.state is not State.RETIRED]
        for endpoint in removed:
            self._retire(endpoint)
        self.changed = True
        return removed

    def _retire(self, endpoint: Endpoint) -> None:
        key = _key(endpoint)
        if self.available.pop(key, None) is None:
            del self.failed[key]
        endpoint.probing = False
        endpoint.failed_since = None
        endpoint.state = State.RETIRED
        self.retired[key] = endpoint
        self.settle(endpoint)

    def settle(self, endpoint: Endpoint) -> None:
        """A retired endpoint without connections is forgotten."""
        if endpoint.state is State.RETIRED and not endpoint.load:
            del self.retired[_key(endpoint)]
            endpoint.state = State.GONE
            rx, tx = self.gone_bytes
            self.gone_bytes = (rx + endpoint.rx_bytes, tx + endpoint.tx_bytes)

    def release(self, endpoint: Endpoint) -> None:
        """One of its connections has ended."""
        endpoint.load -= 1
        endpoint.open -= 1
        if endpoint.state is State.RETIRED:
            self.settle(endpoint)

    def fail(self, endpoint: Endpoint) -> None:
        """available -> failed, the last of them."""
        key = _key(endpoint)
        del self.available[key]
        self.failed[key] = endpoint
        endpoint.state = State.FAILED
        self.changed = True

    def penalise(self, endpoint: Endpoint, until: float) -> None:
        """Its penalty ends at `until`, later than any other's."""
        endpoint.penalty_until = until
        self.failed.move_to_end(_key(endpoint))

    def pardon(self, endpoint: Endpoint, now: float) -> None:
        """Its penalty is over, before any other's."""
        endpoint.penalty_until = now
        self.failed.move_to_end(_key(endpoint), last=False)

    def revive(self, endpoint: Endpoint) -> None:
        """failed -> available."""
        key = _key(endpoint)
        del self.failed[key]
        self.available[key] = endpoint
        endpoint.state = State.AVAILABLE
        endpoint.failed_since = None
        self.changed = True

    def candidates(self) -> list[Endpoint]:
        """Who may be picked: the available ones with weight; when there is none, the failed ones with weight."""
        return [e for e in self.available.values() if e.wanted] or [e for e in self.failed.values() if e.wanted]

    def drain(self, text: str) -> list[Endpoint]:
        """Weight 0 for the address `text` until `undrain`, whatever discovery says; those that it stops."""
        found = [e for e in self if e.text == text]
        if found:
            self._drained[text] = None
            if len(self._drained) > MAX_DRAINED:
                del self._drained[next(iter(self._drained))]
        return self._set_drained(found, drained=True)

    def undrain(self, text: str) -> list[Endpoint]:
        """Take `drain` back; those that may get connections again."""
        self._drained.pop(text, None)
        return self._set_drained([e for e in self if e.text == text], drained=False)

    def _set_drained(self, endpoints: list[Endpoint], *, drained: bool) -> list[Endpoint]:
        for endpoint in endpoints:
            endpoint.drained = drained
        self.changed = True
        return endpoints


def _key(endpoint: Endpoint) -> Key:
    return (endpoint.address.ip, endpoint.address.port)

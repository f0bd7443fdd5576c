"""`io.l5d.dnssrv`: `/#/io.l5d.dnssrv/<srv name>` is every address that the SRV records of a name lead to.

Of several priorities the lowest that has an address is meant. A target's weight is shared by its addresses, so that
one with two has no more connections than one with one; records with weight 0 are as RFC 2782 wants them, see `shares`.
"""

import logging
from collections.abc import Sequence
from itertools import groupby
from time import monotonic
from typing import Any, Final, Literal

import gevent

from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.namer import NamerContext, WatchState
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.literal import ip_literal
from namers.dns_lookups import DnsNamer, LiveDnsName, dns_name
from namers.dns_message import Service
from namers.dns_names import Asked
from namers.dns_options import DnsOptions, LeastSecs, Servers
from namers.dns_questions import MAX_ADDRESSES, Services
from namers.dns_servers import Chosen

KIND: Final = "io.l5d.dnssrv"
PATIENCE_SECS: Final = 0.25
"""How long the first addresses of a name wait for its other targets: or the first connections all go to one of them."""

GATHER_SECS: Final = 0.005
"""Changes that come this close together are one: a name may have a thousand targets."""

LIGHT: Final = 0.01
"""What all records with weight 0 weigh together at most, of the others' sum."""

_log: Final = logging.getLogger(__name__)


class DnsSrvConfig(DnsOptions):
    """The addresses of services, from DNS: SRV records and the A and AAAA records of their targets."""

    kind: Literal["io.l5d.dnssrv"] = KIND
    refresh_interval_seconds: LeastSecs | None = None
    """linkerd's word for `minTtlSecs`."""
    dns_hosts: Servers | None = None
    """linkerd's word for `servers`."""

    @classmethod
    def same(cls) -> tuple[tuple[str, ...], ...]:
        return (("min_ttl_secs", "refresh_secs", "refresh_interval_seconds"), ("servers", "dns_hosts"))

    @property
    def chosen(self) -> Chosen:
        return self._chosen(self._given("servers", "dns_hosts"))

    def build(self, _context: NamerContext) -> "ServiceNamer":
        """The namer; it asks nothing before the first lookup."""
        return ServiceNamer(KIND, self)


def shares(records: Sequence[Service]) -> list[float]:
    """The weight of each record among those of its priority, for endpoints (where 0 would mean: no new connections).

    RFC 2782: records with weight 0 have "a very small chance" beside others. Its own way of choosing gives all of
    them together a weight of 1, which is half of everything beside a lone 1; here it is LIGHT of the others' sum, if
    that is less. All zero means that there is nothing to choose by: all are equal.
    """
    total = sum(record.weight for record in records)
    if not total:
        return [1.0] * len(records)
    zeros = sum(not record.weight for record in records)
    return [float(record.weight) or min(1.0, LIGHT * total) / zeros for record in records]


class _ServiceName(LiveDnsName):
    def __init__(self, namer: "ServiceNamer", elements: tuple[str, ...]) -> None:
        super().__init__(namer, elements)
        self._asked = namer.asked
        self._figures = namer.figures
        self._hosts: dict[str, Asked] = {}
        self._timer: Any = None
        self._patient_until: float | None = None
        self._is_cut = False
        self._watch = namer.asked.services(elements[0])
        self._watch.observe(self._records_changed)
        self._records_changed(self._watch.value)

    def _records_changed(self, value: Any) -> None:
        records = value.records if isinstance(value, Services) else ()
        before, self._hosts = self._hosts, {}
        for record in records:
            if record.target in self._hosts:
                continue
            host = before.pop(record.target, None)
            if host is None:
                host = self._asked.host(record.target)
                host.observe(self._soon)
            self._hosts[record.target] = host
        for host in before.values():
            host.close()
        self._gather()

    def _soon(self, _: object = None, secs: float = GATHER_SECS) -> None:
        if self._timer is None:
            self._timer = gevent.get_hub().loop.timer(secs)
            self._timer.start(self._gather)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _gather(self) -> None:
        """Everything that is known now, as one value."""
        self._end_timer()
        value = self._watch.value
        self.set(self._addr(value.records) if isinstance(value, Services) else value)

    def _addr(self, records: Sequence[Service]) -> Addr:
        failure: Failed | None = None
        for _, group in groupby(records, lambda record: record.priority):
            level = list(group)
            states = [self._hosts[record.target].value for record in level]
            is_waiting = any(isinstance(state, Pending) for state in states)
            if is_waiting and self._is_patient():
                return PENDING
            addresses = _merged(level, states)
            if addresses:
                return Bound(self._cut(addresses))
            if is_waiting:
                return PENDING
            failure = failure or next((state for state in states if isinstance(state, Failed)), None)
        return failure or NEG

    def _is_patient(self) -> bool:
        """Whether the first addresses wait for more."""
        if not isinstance(self.addr.value, Pending):
            return False
        if self._patient_until is None:
            self._patient_until = monotonic() + PATIENCE_SECS
        left_secs = self._patient_until - monotonic()
        if left_secs <= 0:
            return False
        self._soon(secs=left_secs + 0.001)
        return True

    def _cut(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        is_cut = len(addresses) > MAX_ADDRESSES
        if is_cut and not self._is_cut:
            self._figures.error("limit")
            _log.warning(
                "%s has %d addresses: only the first %d are used", self.elements[0], len(addresses), MAX_ADDRESSES
            )
        self._is_cut = is_cut
        return addresses[:MAX_ADDRESSES]

    def row(self) -> WatchState:
        return self._row(self._watch, self._hosts.values())

    def close(self) -> None:
        super().close()
        self._end_timer()
        self._watch.close()
        hosts, self._hosts = self._hosts, {}
        for host in hosts.values():
            host.close()


def _merged(records: Sequence[Service], states: Sequence[Addr]) -> tuple[Address, ...]:
    """Every address once, sorted; one that several records lead to has the weight of them all."""
    weights: dict[tuple[str, int], float] = {}
    for record, weight, state in zip(records, shares(records), states, strict=True):
        if isinstance(state, Bound):
            for address in state.addresses:
                key = (address.ip, record.port)
                weights[key] = weights.get(key, 0.0) + weight / len(state.addresses)
    return tuple(Address(ip, port, weights[ip, port]) for ip, port in sorted(weights))


class ServiceNamer(DnsNamer):
    """Leaves are Bound to the addresses of one priority's targets. A name without SRV records, or whose targets have
    no address, is Neg.
    """

    def read(self, path: Path) -> tuple[str, ...] | Neg | Failed:
        name = dns_name(path[0]) if path else None
        return NEG if name is None or ip_literal(name) else (name,)

    def make(self, elements: tuple[str, ...]) -> LiveDnsName:
        return _ServiceName(self, elements)

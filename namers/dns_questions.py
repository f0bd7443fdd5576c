"""What is asked about one name, under each full name that it may stand for: its addresses, or its SRV records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, NamedTuple, TypeAlias

import gevent
from dns.name import Name
from dns.rdatatype import AAAA, SRV, A, RdataType

from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Neg
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.backoff import Backoff
from namers.dns_client import AskError, ask
from namers.dns_message import NXDOMAIN, Reply, Service
from namers.dns_servers import Settings

MAX_ADDRESSES: Final = 10_000
"""Of one name: more are left out. One DNS message has room for some 4 000."""

_FAMILIES: Final = (A, AAAA)
_ENDS_SEARCH: Final = frozenset({"timeout", "network"})
"""Where the server is away nothing is known of the name, and the other candidates would wait for it as well."""


@dataclass(frozen=True, slots=True)
class Services:
    """The SRV records of a name, sorted, at least one."""

    records: tuple[Service, ...]


Value: TypeAlias = Addr | Services


class Outcome(NamedTuple):
    """What came of asking: `value` (None: nothing that can be used), how long it holds, and what went wrong."""

    value: Bound | Neg | Services | None
    ttl_secs: float
    problem: AskError | None = None


class Question:
    """One name that is followed, and how that goes. `next_at` is time.monotonic; the other times are for people."""

    def __init__(self, name: str, backoff: Backoff) -> None:
        self.name = name
        self.backoff = backoff
        self.holders: list[Var[Any]] = []
        self.asking = False
        self.next_at = 0.0
        self.restart()

    def restart(self) -> None:
        """Forget what was said: it holds no more, and nobody has been relying on it."""
        self.value: Value = PENDING
        self.answered = False
        self.error: str | None = None
        self.error_at: float | None = None
        self.last_good_at: float | None = None
        self.found_as: Name | None = None
        """The full name under which it was found last."""
        self.backoff.reset()

    def ask(self, settings: Settings, secs: float) -> Outcome:
        """Ask for it; each query ends within `secs`. AskError."""
        raise NotImplementedError

    def _search(self, settings: Settings, ask_one: Callable[[Name], Outcome]) -> Outcome:
        """The first of the candidates that there is.

        One whose server fails is passed over, as the C library does; but not if it is the one that was found before:
        a failure must not lead a name elsewhere.
        """
        problem: AskError | None = None
        ttl_secs: float | None = None
        for candidate in settings.candidates(self.name):
            try:
                outcome = ask_one(candidate)
            except AskError as error:
                if candidate == self.found_as or error.cause in _ENDS_SEARCH:
                    raise
                problem = problem or error
                continue
            if outcome.value is not NEG:
                self.found_as = candidate
                return outcome
            ttl_secs = outcome.ttl_secs if ttl_secs is None else min(ttl_secs, outcome.ttl_secs)
        if problem is not None:
            raise problem
        return Outcome(NEG, ttl_secs or 0.0)


class ServiceQuestion(Question):
    """Its value is Services; a lone target `.` says that there is no such service (RFC 2782)."""

    def ask(self, settings: Settings, secs: float) -> Outcome:
        def ask_one(candidate: Name) -> Outcome:
            reply = ask(settings.servers, candidate, SRV, secs)
            records = tuple(sorted(each for each in set(reply.data) if each.target != "." and each.port))
            return Outcome(Services(records) if records else NEG, reply.ttl_secs)

        return self._search(settings, ask_one)


class HostQuestion(Question):
    """Its value is Bound to every address, with port 0: those of IPv4, then those of IPv6, each sorted.

    The two are asked for at once. If one fails what was known of it is kept, as long as the other is good.
    """

    def restart(self) -> None:
        super().restart()
        self._known: dict[RdataType, tuple[str, ...]] = {}

    def ask(self, settings: Settings, secs: float) -> Outcome:
        return self._search(settings, lambda candidate: self._ask_both(settings, candidate, secs))

    def _ask_both(self, settings: Settings, candidate: Name, secs: float) -> Outcome:
        replies = _both(settings, candidate, secs)
        known = self._known if candidate == self.found_as else {}
        found: dict[RdataType, tuple[str, ...]] = {}
        problem: AskError | None = None
        for family, reply in zip(_FAMILIES, replies, strict=True):
            if isinstance(reply, Reply):
                found[family] = tuple(sorted(ip for ip in set(reply.data) if _leads_somewhere(ip)))
            else:
                found[family] = known.get(family, ())
                problem = problem or reply
        answers = [reply for reply in replies if isinstance(reply, Reply)]
        if not any(found.values()):
            # "No such name" is of all types; "no record of this type" is not.
            if problem is not None and all(reply.rcode != NXDOMAIN for reply in answers):
                raise problem
            return Outcome(NEG, min(reply.ttl_secs for reply in answers))
        if not answers:
            assert problem is not None
            raise problem
        self._known = found
        addresses = tuple(Address(ip, 0) for family in _FAMILIES for ip in found[family])[:MAX_ADDRESSES]
        ttl_secs = min((reply.ttl_secs for reply in answers if reply.data), default=0)
        return Outcome(Bound(addresses), ttl_secs, problem)


def _leads_somewhere(ip: str) -> bool:
    """0.0.0.0 and :: are how blocking name servers say "no": connected to, they are this machine."""
    address = ip_address(ip)
    return not (address.is_unspecified or address.is_multicast)


def _both(settings: Settings, candidate: Name, secs: float) -> Sequence[Reply | AskError]:
    other = gevent.spawn(_ask, settings, candidate, AAAA, secs)
    try:
        first = _ask(settings, candidate, A, secs)
        return (first, other.get())
    finally:
        other.kill(block=False)


def _ask(settings: Settings, candidate: Name, family: RdataType, secs: float) -> Reply | AskError:
    try:
        return ask(settings.servers, candidate, family, secs)
    except AskError as error:
        return error

"""Endpoints made live: host names among them are followed, and the addresses are one `Addr`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gevent.hub import get_hub

from linkerd_tcp.naming.addr import NEG, Addr, Address, Bound, Failed, Pending
from linkerd_tcp.naming.namer import Hosts
from linkerd_tcp.naming.shared import SharedAddr
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.net.literal import ip_literal
from namers.endpoints import Endpoint

PATIENCE_SECS: Final = 0.25
"""How long the first addresses of a new name wait for its other hosts to be known too.

Otherwise the first connections would all go to whoever is written as an IP literal, dead or not. No longer, so that
a name whose DNS server hangs does not hold up the others beside it.
"""


class LiveName:
    """The live addresses of one bound name: `addr`, fed from a list of endpoints that `replace` changes.

    With `once`, the first addresses that become known of each host are kept, and it is not asked for again. It lives
    while somebody holds it (`hold`) or observes `addr`; when nobody does it closes itself and calls `on_end`.

    An address that several endpoints lead to is there once, with the first one's weight and meta. A host that is
    pending or failed is left out while others are known (at first only after PATIENCE_SECS); a name that does not
    exist counts as no address. Nothing known: Pending, or Failed where no name is being waited for. An empty list is
    Bound to nothing.
    """

    def __init__(self, hosts: Hosts, on_end: Callable[[], object], *, once: bool = False) -> None:
        self.addr = SharedAddr(self._end_if_idle)
        self._hosts = hosts
        self._on_end = on_end
        self._once = once
        self._holders = 0
        self._endpoints: Sequence[Endpoint] = ()
        self._watches: dict[str, Watch[Addr]] = {}
        self._patience: Any = None

    def hold(self) -> Callable[[], None]:
        """Hold it, until the function given back is called (twice is harmless)."""
        held = True
        self._holders += 1

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._holders -= 1
                self._end_if_idle()

        return release

    def replace(self, endpoints: Sequence[Endpoint]) -> None:
        """`endpoints` instead of those before."""
        if not self.addr.closed:
            self._follow(endpoints)
            self._endpoints = endpoints
            if self._once:
                self._freeze()
            self._tell()

    def set(self, addr: Addr) -> None:
        """No endpoints, but this instead."""
        self._end_patience()
        self._follow(())
        self.addr.set(addr)

    def close(self) -> None:
        """Release the hosts; nobody is told anything any more. Closing twice is harmless."""
        self._end_patience()
        self.addr.end()
        self._follow(())

    def _end_if_idle(self) -> None:
        if not self._holders and not self.addr.observed and not self.addr.closed:
            self.close()
            self._on_end()

    def _follow(self, endpoints: Sequence[Endpoint]) -> None:
        before, self._watches = self._watches, {}
        for endpoint in endpoints:
            host = endpoint.host
            if host in self._watches or ip_literal(host) is not None:
                continue
            watch = before.pop(host, None)
            if watch is None:
                watch = self._hosts.watch(host)
                watch.observe(self._changed)
            self._watches[host] = watch
        for watch in before.values():
            watch.close()

    def _changed(self, value: Addr) -> None:
        if self._once and isinstance(value, Bound):
            self._freeze()
        self._tell()

    def _tell(self) -> None:
        addr = self._addr()
        waits = isinstance(self.addr.value, Pending) and isinstance(addr, Bound)
        if waits and any(isinstance(watch.value, Pending) for watch in self._watches.values()):
            if self._patience is None:
                self._patience = get_hub().loop.timer(PATIENCE_SECS)
                self._patience.start(self._tell_what_is_known)
            return
        self._end_patience()
        self.addr.set(addr)

    def _tell_what_is_known(self) -> None:
        self._end_patience()
        self.addr.set(self._addr())

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.stop()
            self._patience.close()
            self._patience = None

    def _freeze(self) -> None:
        """Put the addresses that are known in the place of their hosts."""
        frozen: list[Endpoint] = []
        for endpoint in self._endpoints:
            watch = self._watches.get(endpoint.host)
            value = watch.value if watch is not None else None
            if isinstance(value, Bound):
                frozen.extend(endpoint._replace(host=address.ip) for address in value.addresses)
            else:
                frozen.append(endpoint)
        self._endpoints = tuple(frozen)
        self._follow(self._endpoints)

    def _addr(self) -> Addr:
        if not self._endpoints:
            return Bound(())
        found: dict[tuple[str, int], Address] = {}
        states: list[Addr] = []
        for host, port, weight, meta in self._endpoints:
            watch = self._watches.get(host)
            if watch is None:
                _add(found, ip_literal(host) or host, port, weight, meta)
                continue
            value = watch.value
            if isinstance(value, Bound):
                for address in value.addresses:
                    _add(found, address.ip, port, weight, meta)
            else:
                states.append(value)
        if found:
            return Bound(tuple(found.values()))
        for kind in (Pending, Failed):
            for state in states:
                if isinstance(state, kind):
                    return state
        return NEG


def _add(found: dict[tuple[str, int], Address], ip: str, port: int, weight: float, meta: Mapping[str, Any]) -> None:
    if (ip, port) not in found:
        found[ip, port] = Address(ip, port, weight, meta)

"""`io.l5d.dns`: `/#/io.l5d.dns/<port>/<host>` is every address of a host, asked of DNS again and again."""

import re
from typing import Final, Literal

from linkerd_tcp.naming.addr import NEG, Addr, Address, Bound, Failed, Neg
from linkerd_tcp.naming.namer import NamerContext, WatchState
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.literal import ip_literal
from namers.dns_lookups import DnsNamer, LiveDnsName, dns_name
from namers.dns_options import DnsOptions

KIND: Final = "io.l5d.dns"

_PORT: Final = re.compile(r"[0-9]{1,5}")


class DnsConfig(DnsOptions):
    """The addresses of hosts, from DNS: A and AAAA records."""

    kind: Literal["io.l5d.dns"] = KIND

    def build(self, _context: NamerContext) -> "HostNamer":
        """The namer; it asks nothing before the first lookup."""
        return HostNamer(KIND, self)


class _HostName(LiveDnsName):
    def __init__(self, namer: "HostNamer", elements: tuple[str, ...]) -> None:
        super().__init__(namer, elements)
        self._port = int(elements[0])
        self._watch = namer.asked.host(elements[1])
        self._watch.observe(self._changed)
        self._changed(self._watch.value)

    def _changed(self, addr: Addr) -> None:
        if isinstance(addr, Bound):
            addr = Bound(tuple(Address(each.ip, self._port) for each in addr.addresses))
        self.set(addr)

    def row(self) -> WatchState:
        return self._row(self._watch)

    def close(self) -> None:
        super().close()
        self._watch.close()


class HostNamer(DnsNamer):
    """Leaves are Bound to every A and AAAA record; a name that does not exist, or has neither, is Neg.

    A path that begins with no port from 1 to 65535 is Failed: it was written the wrong way round, most likely.
    """

    def read(self, path: Path) -> tuple[str, ...] | Neg | Failed:
        if len(path) < 2:
            return NEG
        port, host = path[:2]
        if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
            return Failed(f"/#{self.prefix + path.take(2)} is not /#{self.prefix}/<port>/<host>, port 1 to 65535")
        name = ip_literal(host) or dns_name(host)
        return NEG if name is None else (str(int(port)), name)

    def make(self, elements: tuple[str, ...]) -> LiveDnsName:
        return _HostName(self, elements)

"""Host names whose addresses a test decides."""

from linkerd_tcp.naming.addr import PENDING, Addr, Address, Bound
from linkerd_tcp.naming.watch import Var, Watch


class FakeHosts:
    """`Hosts` for a `NamerContext`: every name is Pending until `set`; `open` are the watches not closed yet."""

    def __init__(self) -> None:
        self.values: dict[str, Addr] = {}
        self.open: list[tuple[str, Var[Addr]]] = []

    def watch(self, host: str) -> Watch[Addr]:
        entry: tuple[str, Var[Addr]]
        var = Var(self.values.get(host, PENDING), on_close=lambda: self.open.remove(entry))
        entry = (host, var)
        self.open.append(entry)
        return var

    def set(self, host: str, value: Addr) -> None:
        self.values[host] = value
        for name, var in tuple(self.open):
            if name == host:
                var.set(value)

    def resolve(self, host: str, *ips: str) -> None:
        self.set(host, Bound(tuple(Address(ip, 0) for ip in ips)))

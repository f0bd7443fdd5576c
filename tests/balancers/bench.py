"""A balancer over real sockets, with the settings that a test names."""

from random import Random
from time import monotonic
from types import SimpleNamespace
from typing import Any

import gevent

from linkerd_tcp.balancers.balancer import Balancer
from linkerd_tcp.balancers.endpoints import Endpoint
from linkerd_tcp.balancers.p2c import P2cConfig
from linkerd_tcp.connectors.direct import DirectConnector
from linkerd_tcp.errors import ConnectionFailed
from linkerd_tcp.naming.addr import Addr, Address, Bound
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.record import Record

OPTIONS = SimpleNamespace(no_delay=True, keep_alive=None, user_timeout_ms=0)


class Bench:
    """`var` is what discovery says; `clock` runs ahead of the real one by `ahead` seconds, to end penalties at once."""

    def __init__(self, addr: Addr, *, max_failures: int = 5, penalty_secs: float = 60, **settings: Any) -> None:
        self.var: Var[Addr] = Var(addr)
        self.ahead = 0.0
        self.records = 0
        merged = {
            "connect_timeout_ms": 1000,
            "max_attempts": 5,
            "max_waiters": 1_000_000,
            "min_connections": 0,
            "fail_fast": SimpleNamespace(max_consecutive_failures=max_failures, failure_penalty_secs=penalty_secs),
            "load_balancer": P2cConfig(),
            **settings,
        }
        self.balancer = Balancer(
            Path.read("/#/io.l5d.fs/web"),
            self.var,
            SimpleNamespace(**merged),
            DirectConnector(OPTIONS),
            clock=self.clock,
            random=Random(11),
        )
        self.figures = self.balancer.figures

    def clock(self) -> float:
        return monotonic() + self.ahead

    def record(self) -> Record:
        self.records += 1
        return Record(self.records, "default", "127.0.0.1:7474", ("127.0.0.1", 50112))

    def connect(self, record: Record | None = None, secs: float = 5.0, pending_secs: float = 5.0) -> Endpoint:
        """One connection, ended at once."""
        now = self.clock()
        sock, endpoint = self.balancer.connect(record or self.record(), now + secs, now + pending_secs)
        sock.close()
        self.balancer.release(endpoint)
        return endpoint

    def fails(self, record: Record | None = None, secs: float = 5.0, pending_secs: float = 5.0) -> ConnectionFailed:
        """What a connection fails with."""
        try:
            endpoint = self.connect(record, secs, pending_secs)
        except ConnectionFailed as failed:
            return failed
        raise AssertionError(f"connected to {endpoint.text}")

    def spawn(self, record: Record | None = None, secs: float = 30.0, pending_secs: float = 30.0) -> Any:
        """A connection in a greenlet of its own; its value is the endpoint or the failure."""

        def run() -> Endpoint | ConnectionFailed:
            try:
                return self.connect(record, secs, pending_secs)
            except ConnectionFailed as failed:
                return failed

        return gevent.spawn(run)

    def endpoint(self, address: Address) -> Endpoint:
        return next(one for one in self.balancer._endpoints if one.text == str(address))

    def state(self, address: Address) -> str | None:
        """None for one that is not there."""
        rows = {row["address"]: row["state"] for row in self.balancer.endpoints_json()}
        return rows.get(str(address))

    def close(self) -> None:
        self.balancer.close()
        gevent.sleep(0)


def bound(*addresses: Any) -> Bound:
    """Of addresses, or of what has one."""
    return Bound(tuple(one if isinstance(one, Address) else one.address for one in addresses))


def weighted(backend: Any, weight: float) -> Address:
    return Address("127.0.0.1", backend.port, weight)

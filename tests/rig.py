"""A server over a router whose binding and addresses the test sets by hand, and endpoints on loopback."""

import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.server import StreamServer

from linkerd_tcp.book import Book
from linkerd_tcp.config.client import GlobalClient
from linkerd_tcp.config.router import BindingCacheConfig, RouterConfig
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import Addr, Address, Bound
from linkerd_tcp.naming.delegate import DelegateTree, delegate
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.listener import bind
from linkerd_tcp.record import Record
from linkerd_tcp.router import Router
from linkerd_tcp.server import Server
from tests.sockets import eventually

WEB = Path.read("/svc/web")
BOUND = Path.read("/#/test/web")


class ByHand:
    """An interpreter that answers what the test put in `bindings`; every path else is `otherwise`."""

    kind = "by hand"
    sources = ()

    def __init__(self, otherwise: Binding = nametree.NEG) -> None:
        self.bindings: dict[Path, Binding] = {}
        self.otherwise = otherwise
        self.open: list[tuple[Path, Var[Binding]]] = []
        self.closed = False

    def bind(self, path: Path, extra: Dtab | None = None) -> Var[Binding]:
        entry: tuple[Path, Var[Binding]]
        entry = (path, Var(self.bindings.get(path, self.otherwise), lambda: self.open.remove(entry)))
        self.open.append(entry)
        return entry[1]

    def set(self, path: Path, binding: Binding) -> None:
        self.bindings[path] = binding
        for bound_path, var in list(self.open):
            if bound_path == path:
                var.set(binding)

    def delegate(self, path: Path, extra: Dtab | None = None) -> DelegateTree:
        return delegate(Dtab(), path, lambda _: nametree.NEG)

    def close(self) -> None:
        self.closed = True


def leaf(addr: Var[Addr], name: Path = BOUND) -> Binding:
    return nametree.Leaf(BoundName(name, addr))


def addresses(*ports: int, weight: float = 1.0) -> Bound:
    return Bound(tuple(Address("127.0.0.1", port, weight) for port in ports))


def router_config(**client: Any) -> RouterConfig:
    server = ServerConfig(port=0, dst_name=WEB)
    cache = BindingCacheConfig(**client.pop("cache", {}))
    return RouterConfig(
        label="test",
        servers=(server,),
        client=GlobalClient(**client),
        binding_cache=cache,
        binding_timeout_ms=client.pop("binding_timeout_ms", 10_000),
    )


def echo(sock: socket.socket, _: object) -> None:
    while received := sock.recv(65536):
        sock.sendall(received)


class Endpoint:
    """A TCP server on loopback that counts who came."""

    def __init__(self, serve: Callable[[socket.socket, object], None] = echo) -> None:
        self.accepts = 0

        def counted(sock: socket.socket, peer: object) -> None:
            self.accepts += 1
            serve(sock, peer)

        self._server = StreamServer(("127.0.0.1", 0), counted)
        self._server.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.stop(timeout=1)


class Rig:
    """`addr` are the addresses of /svc/web. Close it: everything it made is then gone."""

    def __init__(self, addr: Addr, server: dict[str, Any] | None = None, **client: Any) -> None:
        self.addr: Var[Addr] = Var(addr)
        self.interpreter = ByHand()
        self.interpreter.set(WEB, leaf(self.addr))
        self.router = Router(router_config(**client), self.interpreter)
        self.book = Book()
        self.capacity = Capacity(2_000)
        self.logged: list[Record] = []
        listening = bind("127.0.0.1", 0, 128, "port")
        config = ServerConfig(port=0, dst_name=WEB, **(server or {}))
        self.server = Server(config, self.router, listening, self.book, self.capacity, Buffer(65536))
        self.server.log_access = self.logged.append
        self.server.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.server.local, timeout=5)

    def ended(self, count: int = 1) -> Record:
        """The record of the connection that ended last, once `count` have."""
        eventually(lambda: len(self.book.closed) >= count)
        return self.book.closed[-1]

    def close(self) -> None:
        gevent.spawn(self.server.stop_listening).get(timeout=5)
        eventually(lambda: not self.book.open)
        self.router.close()
        assert self.interpreter.open == []
        assert self.capacity.used == 0

"""From what runs now to what a configuration says: at start from nothing, at a reload from before.

`Transition` prepares everything that can fail (namers, interpreters, listeners) and touches nothing that runs;
`switch` then changes over, which cannot fail, or `undo` throws the preparations away. So a reload is applied whole
or not at all, and no open or waiting connection notices: a server that stays on its ip:port keeps its socket with
the queue of connections in it, a removed one serves its queue to the end. A worker is given its listeners, and makes
none itself.
"""

import logging
from _socket import socket as Socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import gevent

from linkerd_tcp import registry
from linkerd_tcp.book import Book
from linkerd_tcp.config.admin import AccessLogConfig, FileStorage, InMemoryStorage
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.router import RouterConfig
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.config.tls import ServerTls
from linkerd_tcp.logs import AccessLog
from linkerd_tcp.naming.namer import Interpreter, InterpreterContext, Namer, NamerContext
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.net.listener import bind
from linkerd_tcp.record import Record, address_text
from linkerd_tcp.router import Drained, Router
from linkerd_tcp.server import Server
from linkerd_tcp.transformers.build import asks_namers, build_interpreter, build_namer

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control
    from linkerd_tcp.controller.storage import Store
    from linkerd_tcp.terminator import Terminator

_log = logging.getLogger(__name__)


MOST_ERRORS: Final = 20
"""Lines of a refused reload that are kept."""


class Reloaded(NamedTuple):
    """How the last reload went, or the start; `at` is seconds since the epoch."""

    ok: bool
    at: float
    errors: tuple[str, ...] = ()

    @classmethod
    def now(cls, error: Exception | None = None) -> Self:
        """`error` is why it was refused."""
        return cls(error is None, time(), () if error is None else tuple(str(error).splitlines()[:MOST_ERRORS]))


class ServerKey(NamedTuple):
    """What makes a server the same one after a reload: its address; for port 0 also which of its router's it is."""

    ip: str
    port: int
    router: str = ""
    nth: int = 0


class Running:
    """What runs now, and what all of it shares."""

    def __init__(
        self, hosts: HostResolver, capacity: Capacity, buffer: Buffer, book: Book, say: Callable[[str], None]
    ) -> None:
        self.hosts = hosts
        self.capacity = capacity
        self.buffer = buffer
        self.book = book
        self.utilities: Namer = registry.load("utilities", "/$/")(hosts)
        self.say = say
        """Told when access-log lines are lost."""
        self.access_log: AccessLog | None = None
        self.access_log_config: AccessLogConfig | None = None
        self.namer_configs: dict[Path, Any] = {}
        self.namers: dict[Path, Namer] = {}
        self.interpreters_made_of: dict[str, tuple[Any, ...]] = {}
        """By router: the configuration, dtab and namers (by identity) that its interpreter was built with."""
        self.routers: dict[str, Router] = {}
        self.servers: dict[ServerKey, Server] = {}
        self.drained: Drained = {}
        self.store: Store | None = None
        self.storage: InMemoryStorage | FileStorage | None = None
        """What `store` was made of, or goes by since."""
        self.control: Control | None = None
        self.leaving: list[Router] = []
        """Routers that no file names any more, until nobody waits there to be connected."""
        self.leaving_namers: list[Namer] = []
        """As long as those routers may ask them."""

    def log(self, record: Record) -> None:
        """To the access log there is now: also what a server that is leaving still ends after a reload."""
        if self.access_log is not None:
            self.access_log.log(record)

    def sweep(self) -> None:
        """Evict what is idle; see Router.sweep."""
        for router in self.routers.values():
            router.sweep()
        for server in self.servers.values():
            server.sweep()
        self.see_off()

    def see_off(self) -> None:
        """Close what is leaving, once it is not needed."""
        for router in list(self.leaving):
            if not router.has_waiters:
                self.leaving.remove(router)
                router.close()
        if not self.leaving:
            for namer in self.leaving_namers:
                namer.close()
            self.leaving_namers.clear()

    def close(self) -> None:
        """End the routers, the control plane, namers and the access log; the servers have stopped before."""
        for router in (*self.routers.values(), *self.leaving):
            router.close()
        if self.control is not None:
            self.control.close()
        if self.store is not None:
            self.store.close()
        for namer in (*self.namers.values(), *self.leaving_namers):
            namer.close()
        self.utilities.close()
        if self.access_log is not None:
            self.access_log.close()


class Transition:
    """See the module. Building one raises StartError, with nothing left behind, where the system refuses something.

    `given` are the listeners of new servers, where this process does not make them itself; they are its own to close.
    """

    def __init__(self, running: Running, config: AppConfig, given: Mapping[ServerKey, Socket] | None = None) -> None:
        self._running = running
        self._config = config
        self._given = given
        self._made: list[Any] = []
        self._namers: dict[Path, Namer] = {}
        self._interpreters: dict[str, Interpreter] = {}
        self._made_of: dict[str, tuple[Any, ...]] = {}
        self._listeners: dict[ServerKey, Socket] = {}
        self._terminators: dict[ServerKey, Terminator] = {}
        self.changes: list[str] = []
        """What `switch` changes, a line each, for people."""
        try:
            self._prepare()
        except BaseException:
            self.undo()
            raise

    def _prepare(self) -> None:
        running, config = self._running, self._config
        for namer_config in config.namers:
            self._namers[namer_config.prefix] = self._keep_or_build(namer_config)
        for router_config in config.routers:
            self._interpreters[router_config.label] = self._keep_or_bind(router_config)
        self._store = None if config.namerd is None else self._keep_or_open(config.namerd.storage)
        for listening in (self._given or {}).values():
            self._remember(listening)
        for key, at, _, server_config in servers_of(config):
            if server_config.tls is not None:
                self._terminators[key] = self._keep_or_make(key, server_config.tls)
            if key not in running.servers:
                self._listeners[key] = self._listener(key, server_config, at)
        self._access_log = running.access_log
        if config.access_log != running.access_log_config:
            new = config.access_log
            self._access_log = None if new is None else self._remember(AccessLog(new, say=running.say))
        self.changes = list(_changes(running, config))

    def _listener(self, key: ServerKey, config: ServerConfig, at: str) -> Socket:
        if self._given is not None:
            return self._given[key]
        listening: Socket = self._remember(bind(config.ip, config.port, config.socket_options.backlog, at))
        return listening

    def _keep_or_build(self, config: Any) -> Namer:
        """A namer whose configuration is the same goes on, with all it knows."""
        running = self._running
        if running.namer_configs.get(config.prefix) == config:
            return running.namers[config.prefix]
        namer: Namer = self._remember(build_namer(config, NamerContext(running.hosts), running.utilities))
        namer.start()
        return namer

    def _keep_or_bind(self, config: RouterConfig) -> Interpreter:
        """An interpreter for which nothing changed goes on, with all it knows: what it asks may be away just now."""
        running = self._running
        namers = tuple(self._namers.values())
        dtab = config.effective_dtab(self._config.namers)
        # One that asks elsewhere has no use for the namers here, and a change of theirs is none of its own.
        made_of = (config.interpreter, dtab, tuple(map(id, namers)) if asks_namers(config.interpreter) else ())
        self._made_of[config.label] = made_of
        if running.interpreters_made_of.get(config.label) == made_of:
            return running.routers[config.label].interpreter
        context = InterpreterContext(config.label, dtab, namers, running.utilities)
        interpreter: Interpreter = self._remember(build_interpreter(config.interpreter, context))
        return interpreter

    def _keep_or_open(self, config: InMemoryStorage | FileStorage) -> "Store":
        """A store of the same kind and place goes on, with all that was written to it."""
        from linkerd_tcp.controller.stores import is_same_store, new_store

        running = self._running
        if running.store is not None and running.storage is not None and is_same_store(running.storage, config):
            return running.store
        store: Store = self._remember(new_store(config))
        store.start()
        return store

    def _keep_or_make(self, key: ServerKey, tls: ServerTls) -> "Terminator":
        """One whose configuration is the same goes on: it follows its files by itself."""
        server = self._running.servers.get(key)
        if server is not None and server.terminator is not None and server.terminator.config == tls:
            return server.terminator
        from linkerd_tcp.terminator import Terminator

        made: Terminator = self._remember(Terminator(tls))
        return made

    def _remember(self, made: Any) -> Any:
        self._made.append(made)
        return made

    def undo(self) -> None:
        for made in reversed(self._made):
            made.close()
        self._made.clear()

    def switch(self) -> None:
        """Change over. Blocks for as long as the queues of removed servers last, some tenths of a second."""
        running, config = self._running, self._config
        self._made.clear()
        old_namers, running.namers = running.namers, self._namers
        running.namer_configs = {namer_config.prefix: namer_config for namer_config in config.namers}
        old_access_log, running.access_log = running.access_log, self._access_log
        running.access_log_config = config.access_log
        self._switch_control()
        removed = self._switch_routers()
        self._switch_servers()
        # Only now: the queues of removed servers were still served through them.
        running.leaving.extend(removed)
        running.leaving_namers.extend(
            namer for prefix, namer in old_namers.items() if self._namers.get(prefix) is not namer
        )
        running.see_off()
        if old_access_log is not None and old_access_log is not running.access_log:
            old_access_log.close()

    def _switch_control(self) -> None:
        """Whoever watches goes on watching. To be done while the namers of before are still there."""
        running, config, store = self._running, self._config.namerd, self._store
        if config is None or store is None:
            return
        namers, before = tuple(self._namers.values()), running.store
        if running.control is None:
            from linkerd_tcp.controller.control import Control

            running.control = Control(store, namers, running.utilities)
        else:
            running.control.switch(store, namers)
        if before is store and running.storage != config.storage:
            store.apply(config.storage)
        elif before is not None and before is not store:
            before.close()
        running.store, running.storage = store, config.storage

    def _switch_routers(self) -> list[Router]:
        """Returns those that are not there any more."""
        running = self._running
        before, running.routers = running.routers, {}
        running.interpreters_made_of = self._made_of
        for config in self._config.routers:
            router = before.pop(config.label, None)
            if router is None:
                router = Router(config, self._interpreters[config.label], drained=running.drained)
            else:
                router.switch(config, self._interpreters[config.label])
            running.routers[config.label] = router
        return list(before.values())

    def _switch_servers(self) -> None:
        running = self._running
        before, running.servers = running.servers, {}
        for key, _, router_config, config in servers_of(self._config):
            router = running.routers[router_config.label]
            server = before.pop(key, None)
            if server is None:
                listening = self._listeners[key]
                shared = (running.book, running.capacity, running.buffer)
                server = Server(config, router, listening, *shared, self._terminators.get(key))
                server.start()
            else:
                server.reconfigure(config, router, self._terminators.get(key))
            server.log_access = running.log
            running.servers[key] = server
        stop_listening(list(before.values()))


def stop_listening(servers: Sequence[Server]) -> None:
    """All of them at once; returns when every queue is empty and every listener closed."""
    gevent.joinall([gevent.spawn(server.stop_listening) for server in servers], raise_error=True)


def servers_of(config: AppConfig) -> Iterator[tuple[ServerKey, str, RouterConfig, ServerConfig]]:
    """Each server with its key, and where the file says its port."""
    for r, router in enumerate(config.routers):
        unnumbered = 0
        for s, server in enumerate(router.servers):
            key = ServerKey(server.ip, server.port)
            if server.port == 0:
                key = key._replace(router=router.label, nth=unnumbered)
                unnumbered += 1
            yield key, f"routers[{r}].servers[{s}].port", router, server


def _changes(running: Running, config: AppConfig) -> Iterator[str]:
    namers = {namer_config.prefix: namer_config for namer_config in config.namers}
    yield from _differences(
        "namer",
        {f"/#{at}": its for at, its in running.namer_configs.items()},
        {f"/#{at}": its for at, its in namers.items()},
    )
    routers = {label: router.config.model_copy(update={"servers": ()}) for label, router in running.routers.items()}
    if config.access_log != running.access_log_config:
        yield "accessLog changed"
    if config.namerd is not None and running.storage not in (None, config.namerd.storage):
        yield "namerd.storage changed"
    yield from _differences(
        "router", routers, {new.label: new.model_copy(update={"servers": ()}) for new in config.routers}
    )
    yield from _differences(
        "server",
        {server.label: (server.router.label, server.config) for server in running.servers.values()},
        {
            running.servers[key].label if key in running.servers else address_text((new.ip, new.port)): (of.label, new)
            for key, _, of, new in servers_of(config)
        },
    )


def _differences(what: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in new:
        if name not in old:
            yield f"{what} {name} added"
        elif old[name] != new[name]:
            yield f"{what} {name} changed"
    for name in old:
        if name not in new:
            yield f"{what} {name} removed"

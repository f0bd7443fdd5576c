"""The whole program from one configuration: started, reloaded, drained, stopped.

Start, in this order, so that nothing is accepted before everything is there:

1. the descriptor limit is raised;
2. namers, the control plane, routers and listeners are made (`transition`), or a StartError names what was refused
   and all is undone;
3. servers accept, the sweeper runs, namerd's API and admin answer.

Stop:

1. /ready says 503, for `drainDelaySecs`, so that whoever balances over us looks elsewhere;
2. what waits in the listen queues is accepted and served, listeners close, and the grace begins; every watch
   of the control plane is ended in order;
3. open connections go on until they end; one second before the grace is over the quiet ones are ended with FIN;
4. at the grace the rest are reset, cause `shutdown`;
5. routers, namers and the access log end; admin last.

A worker (`linkerd_tcp.workers`) is the same program on listeners that it was `Given`, and its steps come from outside:
`open` and `begin` for start, `prepare` and `switch` or `undo` for a reload, since all workers do them together.
"""

import logging
import os
from _socket import socket as Socket
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Final, NamedTuple

import gevent
from gevent.event import AsyncResult, Event
from gevent.lock import Semaphore

from linkerd_tcp.admin.server import AdminServer
from linkerd_tcp.book import Book, clock_numbers
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import admin_changes, keep_running, restart_only_changes
from linkerd_tcp.errors import Cause, LinkerdTcpError, StartError
from linkerd_tcp.history import History
from linkerd_tcp.logs import Logs
from linkerd_tcp.naming.namer import Discovery
from linkerd_tcp.net.descriptors import Capacity, raise_limit
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.router import Drain, Drained, Router
from linkerd_tcp.server import Server, end_connection
from linkerd_tcp.staleness import remarks
from linkerd_tcp.transition import Reloaded, Running, ServerKey, Transition, stop_listening

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control
    from linkerd_tcp.controller.server import ControlServer
    from linkerd_tcp.net.keys import Identity

SWEEP_INTERVAL_SECS: Final = 1.0
QUIET_ENDS_SECS: Final = 1.0
"""How long before the end of the grace quiet connections are ended."""

RESETS_SECS: Final = 1.0
"""How long after the grace connections that were reset may take to be gone; nothing should take any of it."""

POLL_SECS: Final = 0.02

_log = logging.getLogger(__name__)


class Given(NamedTuple):
    """What a worker has from its supervisor. The sockets listen already, and others go on holding them."""

    worker: int
    listeners: Mapping[ServerKey, Socket]
    admin: Socket
    """A UNIX socket, on which its own admin app answers."""


class App:
    """See the module. `load` reads the configuration again for a reload; ConfigError where that cannot be."""

    def __init__(
        self, config: AppConfig, load: Callable[[], AppConfig], logs: Logs, given: Given | None = None
    ) -> None:
        self.config = config
        self.logs = logs
        self.started_at = time()
        self.last_reload = Reloaded(True, self.started_at)
        self.book = Book() if given is None else Book(worker=given.worker, numbers=clock_numbers())
        self.history = History()
        self.deaf = Event()
        """Set once nothing listens any more, at a stop."""
        self._given = given
        self._load = load
        capacity, buffer = Capacity(raise_limit()), Buffer(config.buffer_size_bytes)
        self._running = Running(HostResolver(), capacity, buffer, self.book, logs.say)
        self._accepting = False
        self._prepared: tuple[AppConfig, Transition] | None = None
        self._handed_over = False
        self._stop_asked: AsyncResult[float | None] = AsyncResult()
        self._grace_until = inf
        """When the grace ends at the latest, time.monotonic seconds."""
        self._reload_lock = Semaphore()
        self._admin = AdminServer(self)
        self._control_server: ControlServer | None = None
        self._sweeper: gevent.Greenlet[[], None] | None = None

    # What admin shows

    @property
    def routers(self) -> dict[str, Router]:
        return self._running.routers

    @property
    def servers(self) -> list[Server]:
        return list(self._running.servers.values())

    @property
    def namers(self) -> list[Discovery]:
        """Every namer, in the file's order; what interpreters ask; the control plane's dtabs; host names looked up."""
        hosts, store = self._running.hosts, self._running.store
        asked = [source for router in self.routers.values() for source in router.interpreter.sources]
        beside: list[Discovery] = [*([] if store is None else [store]), *([hosts] if hosts.in_use else [])]
        return [*self._running.namers.values(), *asked, *beside]

    @property
    def admin_address(self) -> tuple[str, int]:
        return self._admin.address

    @property
    def admin_identities(self) -> Mapping[str, "Identity"]:
        return self._admin.identities

    @property
    def control(self) -> "Control | None":
        """The control plane, where the file has a namerd section."""
        return self._running.control

    @property
    def namerd_address(self) -> tuple[str, int] | None:
        """Where namerd's API is served."""
        return None if self._control_server is None else self._control_server.address

    @property
    def ready(self) -> tuple[bool, list[str]]:
        """Whether every listener is open and stays so; and what a person should know besides. To be asked in a
        greenlet.
        """
        stale = remarks(self.namers)
        return self._accepting, stale

    @property
    def last_reload_ok(self) -> bool:
        return self.last_reload.ok

    @property
    def drained(self) -> Drained:
        return self._running.drained

    @property
    def capacity(self) -> Capacity:
        return self._running.capacity

    @property
    def dropped_lines(self) -> dict[tuple[str, str], int]:
        """Lines that were lost, by log (`log`, `access_log`) and reason."""
        access_log = self._running.access_log
        logs = {"log": self.logs.dropped} | ({} if access_log is None else {"access_log": access_log.dropped})
        return {(name, reason): times for name, dropped in logs.items() for reason, times in dropped.items()}

    # Life

    def start(self) -> None:
        """Start everything; StartError, with nothing left running, where the system refuses something."""
        self.open()
        self.begin()

    def open(self) -> None:
        """All of the start that can fail. Nothing is accepted yet."""
        given = self._given
        try:
            if given is None:
                self._admin.bind()
            else:
                self._admin.adopt(given.admin)
            self._bind_control_server()
            self.prepare(self.config, None if given is None else given.listeners)
        except LinkerdTcpError:
            self.close()
            raise

    def begin(self) -> None:
        """The rest of it: serve."""
        self.switch()
        self._accepting = True
        self._sweeper = gevent.spawn(self._sweep)
        if self._control_server is not None:
            self._control_server.start()
        self._admin.start()

    def _bind_control_server(self) -> None:
        if self.config.namerd is not None:
            # Only where it is wanted: importing it takes a while.
            from linkerd_tcp.controller.server import ControlServer

            self._control_server = ControlServer(lambda: self._running.control, self._running.capacity)
            self._control_server.bind(self.config.namerd)

    def _close_control_server(self) -> None:
        if self._control_server is not None:
            self._control_server.close()

    def run_until_stopped(self) -> None:
        """Serve until `shutdown` or `hand_over`, then stop as the module says."""
        grace_secs = self._stop_asked.get()
        self._drain(self.config.admin.grace_secs if grace_secs is None else grace_secs)
        self.close()

    def hand_over(self) -> None:
        """Ask for the stop of a worker whose replacement serves already, on the same sockets: their queues are its."""
        self._handed_over = True
        self.shutdown()

    def shutdown(self, grace_secs: float | None = None) -> None:
        """Ask for the stop, with another grace than the configured one if given; returns at once.

        Asked again, a grace that is given counts from now, where that is sooner.
        """
        if not self._stop_asked.ready():
            self._accepting = False
            self._stop_asked.set(grace_secs)
        elif grace_secs is not None:
            self._grace_until = min(self._grace_until, monotonic() + grace_secs)

    @property
    def stopping(self) -> bool:
        return bool(self._stop_asked.ready())

    def abort(self) -> None:
        """Exit at once, status 1: nothing is closed in order, the kernel resets what is open."""
        _log.warning("aborted, with %d connections open", len(self.book.open))
        self.logs.close(0.2)
        os._exit(1)

    def reload(self) -> list[str]:
        """Apply the configuration as it is now on disk, whole or not at all; a line for each thing changed.

        Raises ConfigError or StartError, and has changed nothing then.
        """
        self._refuse_when_stopping()  # rather than wait for the end of the grace
        with self._reload_lock:
            self._refuse_when_stopping()
            try:
                new = self._load()
                changes = self.prepare(keep_running(self.config, new))
            except LinkerdTcpError as error:
                self.last_reload = Reloaded.now(error)
                for line in str(error).splitlines():
                    _log.error("not reloaded, everything stays as it was: %s", line)
                raise
            changes += restart_only_changes(self.config, new)
            self.switch()
            self.last_reload = Reloaded.now()
            _log.info("reloaded: %s", "; ".join(changes) or "nothing changed")
            return changes

    def prepare(self, config: AppConfig, listeners: Mapping[ServerKey, Socket] | None = None) -> list[str]:
        """Make ready for `config`, with new `listeners` where they are not made here; a line for each thing it changes.

        StartError, and then nothing is prepared. Else `switch` or `undo` comes next.
        """
        transition = Transition(self._running, config, listeners)
        self._prepared = (config, transition)
        return transition.changes + admin_changes(self.config, config)

    def switch(self) -> None:
        """Change over to what is prepared."""
        assert self._prepared is not None, "prepare comes first"
        (self.config, transition), self._prepared = self._prepared, None
        transition.switch()
        self._admin.reconfigure()
        if self.config.namerd is not None and self._control_server is not None:
            self._control_server.reconfigure(self.config.namerd)

    def undo(self) -> None:
        """Throw away what is prepared, if anything is."""
        if self._prepared is not None:
            self._prepared[1].undo()
            self._prepared = None

    def _refuse_when_stopping(self) -> None:
        if self.stopping:
            raise StartError("not reloaded: the program is stopping")

    def reopen_logs(self) -> None:
        """After rotation: go on in new files of the same names."""
        if self._running.access_log is not None:
            self._running.access_log.reopen()

    # What admin does

    def end_connection(self, number: str) -> bool:
        """Close the open connection of this id; False if there is none."""
        record = next((record for record in self.book.open.values() if record.id == number), None)
        if record is not None:
            end_connection(record, Cause.CLOSED_BY_ADMIN)
        return record is not None

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        """Give (or no longer give) the endpoint weight 0 in every router that knows it; False if none does. `by` is the
        address that asked.
        """
        known = [router.drain(bound, address, on, by) for router in self.routers.values()]
        return any(known)

    def keep_drained(self, bound: str, address: str, drain: Drain) -> None:
        """Drain it from the moment that it is first known here; another worker knows it."""
        self._running.drained[bound, address] = drain

    # Inside

    def _sweep(self) -> None:
        while True:
            gevent.sleep(SWEEP_INTERVAL_SECS)
            self._running.sweep()
            self.history.sample(self)

    def _drain(self, grace_secs: float) -> None:
        delay_secs = 0.0 if self._handed_over else self.config.admin.drain_delay_secs
        delay_until = monotonic() + delay_secs
        while monotonic() < min(delay_until, self._grace_until):
            gevent.sleep(POLL_SECS)
        with self._reload_lock:  # a reload under way is finished first; none begins any more
            if self._handed_over:
                for server in self.servers:
                    server.hand_over()
                self._admin.close()  # its socket is the replacement's now, too
            else:
                stop_listening(self.servers)
            self.deaf.set()
            self._grace_until = min(self._grace_until, monotonic() + grace_secs)
            # Whoever watches a name here keeps what was last good, and looks for another control plane.
            self._close_control_server()
            _log.info("stopping: open connections %d, grace %g s", len(self.book.open), grace_secs)
            if not self._wait_until_empty(lambda: self._grace_until - QUIET_ENDS_SECS):
                self._each_open_flow_ends_when_quiet()
            if not self._wait_until_empty(lambda: self._grace_until):
                for record in list(self.book.open.values()):
                    end_connection(record, Cause.SHUTDOWN, reset=True)
                resets_until = monotonic() + RESETS_SECS
                self._wait_until_empty(lambda: resets_until)

    def _each_open_flow_ends_when_quiet(self) -> None:
        turns = Turns()
        for record in list(self.book.open.values()):
            if record.flow is not None:
                record.flow.end_when_quiet(Cause.SHUTDOWN)
            turns.rest()

    def _wait_until_empty(self, until: Callable[[], float]) -> bool:
        """False if there are open connections at `until`, which may come nearer meanwhile."""
        while self.book.open and monotonic() < until():
            gevent.sleep(POLL_SECS)
        return not self.book.open

    def close(self) -> None:
        """The end; alone it is that of a start that failed or was given up."""
        self.undo()
        if self._sweeper is not None:
            self._sweeper.kill()
        self._close_control_server()
        self._running.close()
        self._running.hosts.close()
        self._admin.close()

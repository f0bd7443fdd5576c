"""What the command becomes with several workers: one process that holds what must survive, and lets others serve.

It has no hub, no greenlet, no thread and no watcher, so that it can fork at any time: it waits for signals and for what
its children say (`pump`), keeps N workers and an admin process in their places (`keeper`), and decides on whatever
concerns all of them. Everything here blocks, and has a deadline.

Start: every listener is opened; workers and the admin process are forked and make all that can fail; when all have,
they begin. Stop: all workers drain at once (in App's order), then the admin process ends. A second signal kills all.
"""

import gc
import logging
import os
import shutil
import signal
from _socket import socket as Socket
from collections.abc import Callable, Mapping
from time import monotonic, time

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import warnings
from linkerd_tcp.errors import ConfigError, LinkerdTcpError, StartError
from linkerd_tcp.logs import Logs
from linkerd_tcp.net.descriptors import raise_limit
from linkerd_tcp.transition import Reloaded
from linkerd_tcp.workers.admin_process import AdminProcess
from linkerd_tcp.workers.channel import Message
from linkerd_tcp.workers.children import ADMIN, Child, fork
from linkerd_tcp.workers.keeper import START_SECS, Keeper
from linkerd_tcp.workers.listeners import Listeners
from linkerd_tcp.workers.pump import Pump
from linkerd_tcp.workers.reload import Reload
from linkerd_tcp.workers.settings import Opened, number_of_workers
from linkerd_tcp.workers.spread import Spread
from linkerd_tcp.workers.stop import Stop
from linkerd_tcp.workers.worker import Worker

OK, FAILED = 0, 1

_log = logging.getLogger(__name__)


class _Abort(Exception):
    """A second signal, or POST /abort."""


class Supervisor:
    """`load` reads the configuration again, as App's does; `announce` is called once, when all serve."""

    def __init__(
        self,
        config: AppConfig,
        load: Callable[[], AppConfig],
        announce: Callable[[Opened], None],
        environ: Mapping[str, str],
        ports: tuple[int, int] | None = None,
    ) -> None:
        self.config = config.without_places()
        self.started_at = time()
        self.last_reload = Reloaded.now()
        self._warnings = warnings(config)
        self._load = load
        self._announce = announce
        self._ports = ports
        self._number = number_of_workers(config)
        self._logs = Logs(environ, direct=True)
        self._listeners = Listeners(self._number)
        self._pump = Pump()
        self._keeper = Keeper([*range(self._number), ADMIN], self._pump, self._fork, self._signalled, self._changed)
        self._spread = Spread(self._keeper)
        self._signalled_to_stop = False
        self._stop_wanted = False
        self._stop = Stop(self._keeper, self._listeners, self._number)
        self._pid = os.getpid()

    def run(self) -> int:
        """Until the stop; the exit status. StartError, with nothing left behind, where the system refuses something."""
        self._pump.forget_hub()
        raise_limit()  # a listener for each worker and server is held here
        try:
            self._listeners.open(self.config)
            if not self._start():
                return OK
            for warning in self._warnings:
                _log.warning("%s", warning)
            self._announce(self._opened())
            while not self._stop.over:
                self._turn()
        except _Abort:
            _log.warning("aborted")
            return FAILED
        finally:
            self._end()
        return FAILED if self._stop.killed else OK

    # Start

    def _start(self) -> bool:
        """False if it was told to stop meanwhile."""
        keeper = self._keeper
        gc.collect()
        gc.freeze()  # what is there now is shared with the children for as long as nobody writes to it
        for number in keeper.places:
            self._fill(number)
        if not self._all(lambda child: child.prepared):
            return False
        keeper.replacing = True
        keeper.tell(keeper.current, {"do": "begin"})
        return self._all(lambda child: child.state == "serving")

    def _fill(self, number: int) -> None:
        try:
            self._keeper.fill(number)
        except OSError as error:
            raise StartError(f"workers: no process can be started: {error.strerror}") from error

    def _all(self, done: Callable[[Child], bool]) -> bool:
        """Wait until all are so far; False if it was told to stop meanwhile, StartError if one is not."""
        keeper, until = self._keeper, monotonic() + START_SECS
        children = keeper.current
        while not all(done(child) for child in children):
            if self._stop_wanted:
                return False
            for child in children:
                if child.gone:
                    raise StartError(child.failure or f"{child.name} {child.how_it_ended()} at the start")
            if monotonic() > until:
                raise StartError(f"not all workers have started within {START_SECS:g} s")
            keeper.turn(until - monotonic())
        return True

    def _opened(self) -> Opened:
        listeners = self._listeners
        assert listeners.admin is not None, "open comes first"
        namerd = None if listeners.namerd is None else listeners.namerd.getsockname()[:2]
        admin = listeners.admin.getsockname()[:2]
        return Opened(listeners.addresses(self.config), namerd, admin, self.config.admin.scheme)

    def _fork(self, number: int) -> Child:
        listeners = self._listeners

        def tidy() -> None:
            self._pump.forget()
            for child in self._keeper.children:
                child.line.close()
            self._logs.close()
            if number == ADMIN:
                listeners.keep_only_admin()
            else:
                listeners.keep_only_worker(number)

        def live(end: Socket) -> int:
            if number != ADMIN:
                return self._worker(number).run(end)
            assert listeners.admin is not None, "open comes first"
            return AdminProcess(
                self.config,
                self._state(),
                listeners.admin,
                listeners.namerd,
                ports=self._ports,
                levels=self._spread.levels,
                remove_folder=lambda: shutil.rmtree(listeners.folder, ignore_errors=True),
            ).run(end)

        return fork(number, tidy, live)

    def _worker(self, number: int) -> Worker:
        listeners = self._listeners
        return Worker(
            number,
            self.config,
            listeners.of_worker(number),
            listeners.admin_of_worker(number),
            drains=self._spread.drains,
            levels=self._spread.levels,
            leave_folder=lambda: listeners.leave_folder(number),
        )

    # What it does all the time

    def _turn(self) -> None:
        keeper = self._keeper
        keeper.turn(min(keeper.next_due, self._stop.until, self._spread.levels.next_due) - monotonic())
        self._spread.end_those_due()
        if self._stop_wanted and not self._stop.begun:
            self._begin_stop(None)
        while keeper.requests:
            self._do(*keeper.requests.popleft())
        if keeper.replacing:
            keeper.replace()
        if self._stop.begun:
            self._stop.go_on()

    def _begin_stop(self, grace_secs: float | None) -> None:
        self._stop_wanted = True
        self._stop.begin(self.config.admin, grace_secs)
        self._changed()

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._signalled_to_stop:
                raise _Abort
            self._signalled_to_stop = self._stop_wanted = True
        elif number == signal.SIGHUP:
            self._keeper.requests.append((None, {"request": "reload"}))
        elif number == signal.SIGUSR1:
            self._keeper.tell(self._keeper.children, {"do": "reopen"})

    def _do(self, child: Child | None, request: Message) -> None:
        """What the admin process, or a signal, asks for."""
        match request["request"]:
            case "reload":
                self._answer(child, request, self._reload)
            case "drain":
                self._answer(child, request, lambda: {"known": self._spread.drain(request)})
            case "level":
                self._answer(child, request, lambda: {"known": self._spread.set_level(request)})
            case "log":
                self._answer(child, request, lambda: {"lines": list(self._logs.last_lines(request["after"]))})
            case "shutdown":
                self._begin_stop(request["graceSecs"])
            case "abort":
                raise _Abort

    def _answer(self, child: Child | None, request: Message, work: Callable[[], Message]) -> None:
        try:
            answer = work()
        except ConfigError as error:
            answer = {"problems": error.problems}
        except LinkerdTcpError as error:
            answer = {"error": str(error)}
        if child is not None and not child.gone:
            self._keeper.tell([child], {"do": "answered", "id": request["id"], **answer})

    def _reload(self) -> Message:
        try:
            if self._stop_wanted:
                raise StartError("not reloaded: the program is stopping")
            try:
                new = self._load()
            finally:
                self._pump.forget_hub()
            reload = Reload(self._keeper, self._listeners, lambda: self._stop_wanted)
            changes = reload.prepare(self.config, new)
        except LinkerdTcpError as error:
            self.last_reload = Reloaded.now(error)
            self._changed()
            for line in str(error).splitlines():
                _log.error("not reloaded, everything stays as it was: %s", line)
            raise
        self.config = reload.config
        self.last_reload = Reloaded.now()
        reload.switch()
        self._changed()
        _log.info("reloaded: %s", "; ".join(changes) or "nothing changed")
        return {"changed": changes}

    def _changed(self) -> None:
        """The admin process shows what is so now."""
        admin = self._keeper.places[ADMIN].child
        if admin is not None and not admin.gone:
            self._keeper.tell([admin], {"do": "state", **self._state()})

    def _state(self) -> Message:
        rows = []
        for number, place in self._keeper.places.items():
            if number != ADMIN:
                child = place.child
                pid, started_at, state = (
                    (0, 0.0, "gone") if child is None else (child.pid, child.started_at, child.state)
                )
                path = self._listeners.unix_path(number)
                rows.append([number, pid, started_at, state, place.restarts, path])
        return {
            "workers": rows,
            "servers": self._listeners.addresses(self.config),
            "supervisor": self._pid,
            "startedAt": self.started_at,
            "stopping": self._stop.begun,
            "lastReload": self.last_reload,
        }

    def _end(self) -> None:
        """Whatever is left goes, whyever that is."""
        self._keeper.replacing = False
        self._keeper.kill_all()
        self._listeners.close()
        for child in self._keeper.children:
            child.line.close()
            child.wait()
        self._pump.close()
        self._logs.close()

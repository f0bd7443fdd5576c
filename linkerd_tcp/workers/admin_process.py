"""The admin process: the front for all workers and, where the file has a namerd section, the control plane."""

import signal
from _socket import socket as Socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from linkerd_tcp.backends import ExampleBackends
from linkerd_tcp.book import Book
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.errors import StartError
from linkerd_tcp.levels import Changes
from linkerd_tcp.naming.namer import Discovery
from linkerd_tcp.net.descriptors import Capacity, raise_limit
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.transition import Running, Transition
from linkerd_tcp.workers.channel import ChildEnd, Frame, Message
from linkerd_tcp.workers.front import FrontServer
from linkerd_tcp.workers.remote import Remote
from linkerd_tcp.workers.settings import config_of_admin, read_config, spare_the_collector
from linkerd_tcp.workers.worker import LOGS_SECS, Answer, Follower, logs_of_child, say, set_level

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control
    from linkerd_tcp.controller.server import ControlServer


class AdminProcess:
    """Its life: `run`, in the process that was forked for it. `ports` are those of the example backends."""

    def __init__(
        self,
        config: AppConfig,
        state: Message,
        listening: Socket,
        namerd: Socket | None,
        *,
        ports: tuple[int, int] | None = None,
        levels: Changes | None = None,
        remove_folder: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._state = state
        self._listening = listening
        self._namerd_listening = namerd
        self._ports = ports
        self._levels = levels
        self._remove_folder = remove_folder
        self._over = Event()
        self._prepared: tuple[AppConfig, Transition] | None = None
        self._control_server: ControlServer | None = None
        self._backends: ExampleBackends | None = None

    def run(self, end: Socket) -> int:
        """Answer until the stop; the exit status."""
        self._channel = ChildEnd(end)
        self._logs = logs_of_child("admin", self._levels)
        self._remote = Remote(self._config, self._state, self._channel)
        capacity, buffer = Capacity(raise_limit()), Buffer(self._config.buffer_size_bytes)
        self._running = Running(HostResolver(), capacity, buffer, Book(), self._logs.say)
        gevent.signal_handler(signal.SIGTERM, say, self._channel, "leaving")
        try:
            self._open(capacity)
        except StartError as error:
            self._channel.send({"say": "failed", "error": str(error)})
            self._logs.close(LOGS_SECS)
            return 1
        self._logs.capture_stderr()
        self._channel.send({"say": "prepared"})
        Follower(self._channel, self._answers(), self._orphaned).start()
        self._over.wait()
        self._close()
        return 0

    def _open(self, capacity: Capacity) -> None:
        """All of the start that can fail."""
        if self._ports is not None:
            self._backends = ExampleBackends(*self._ports)
            self._backends.start()
        if self._config.namerd is not None and self._namerd_listening is not None:
            # Only where it is wanted: importing it takes a while.
            from linkerd_tcp.controller.server import ControlServer

            self._control_server = ControlServer(lambda: self._running.control, capacity)
            self._control_server.adopt(self._config.namerd, self._namerd_listening)
        self._front = FrontServer(self._remote, self._listening, self, self._logs)
        self._prepared = (self._config, Transition(self._running, config_of_admin(self._config), {}))

    # What the front shows besides the workers

    @property
    def control(self) -> "Control | None":
        return self._running.control

    @property
    def namerd_address(self) -> tuple[str, int] | None:
        return None if self._control_server is None else self._control_server.address

    @property
    def namers(self) -> list[Discovery]:
        """What the control plane asks, and its store."""
        hosts, store = self._running.hosts, self._running.store
        beside: list[Discovery] = [*([] if store is None else [store]), *([hosts] if hosts.in_use else [])]
        return [*self._running.namers.values(), *beside]

    # What the supervisor says

    def _answers(self) -> dict[str, Answer]:
        return {
            "begin": self._begin,
            "state": lambda frame: self._remote.take_state(frame.message),
            "answered": lambda frame: self._remote.take_answer(frame.message),
            "prepare": self._prepare,
            "switch": self._switch,
            "undo": self._undo,
            "level": lambda frame: set_level(self._logs, frame.message),
            "reopen": lambda _: None,
            "end_watches": self._end_watches,
            "hand_over": self._stop,
            "stop": self._stop,
        }

    def _begin(self, frame: Frame) -> None:
        self._switch(frame)
        if self._control_server is not None:
            self._control_server.start()
        self._front.start()
        spare_the_collector()
        self._channel.send({"say": "serving"})

    def _prepare(self, frame: Frame) -> Message:
        config = read_config(frame.attached)
        transition = Transition(self._running, config_of_admin(config), {})
        self._prepared = (config, transition)
        return {"changes": transition.changes}

    def _switch(self, _frame: Frame) -> Message:
        assert self._prepared is not None, "prepare comes first"
        (config, transition), self._prepared = self._prepared, None
        self._remote.take_config(config)
        transition.switch()
        if config.namerd is not None and self._control_server is not None:
            self._control_server.reconfigure(config.namerd)
        return {}

    def _undo(self, _frame: Frame) -> None:
        if self._prepared is not None:
            self._prepared[1].undo()
            self._prepared = None

    def _end_watches(self, _frame: Frame) -> None:
        """Whoever watches a name here keeps what was last good, and looks for another control plane."""
        if self._control_server is not None:
            self._control_server.close()

    def _stop(self, _frame: Frame) -> None:
        self._over.set()

    def _orphaned(self) -> None:
        self._remove_folder()
        self._over.set()

    def _close(self) -> None:
        if self._backends is not None:
            self._backends.close()
        if self._control_server is not None:
            self._control_server.close()
        self._front.close()
        self._running.close()
        self._running.hosts.close()
        self._logs.close(LOGS_SECS)

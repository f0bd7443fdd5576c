"""A worker: the whole program on listeners that it was given, led by its supervisor."""

import logging
import os
import signal
from _socket import socket as Socket
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

import gevent

from linkerd_tcp.app import App, Given
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.errors import ConfigError, LinkerdTcpError, StartError
from linkerd_tcp.levels import Changes
from linkerd_tcp.logs import Logs
from linkerd_tcp.router import Drain, Drained
from linkerd_tcp.transition import ServerKey
from linkerd_tcp.workers.channel import ChannelError, ChildEnd, Frame, Message
from linkerd_tcp.workers.settings import config_of_worker, read_config, spare_the_collector

LOGS_SECS: Final = 1.0
"""What the last lines of the log get at the end."""

_log = logging.getLogger(__name__)

Answer = Callable[[Frame], Message | None]
"""What is done for a message, and what is said to it."""


class Follower:
    """Reads what the supervisor says, one message after another, and answers each. For workers and the admin process.

    An answer carries the `token` of its question; a failure is said as `error`, and ends nothing.
    """

    def __init__(self, channel: ChildEnd, answers: Mapping[str, Answer], orphaned: Callable[[], None]) -> None:
        self._channel = channel
        self._answers = answers
        self._orphaned = orphaned

    def start(self) -> None:
        gevent.spawn(self._follow)

    def _follow(self) -> None:
        try:
            while True:
                self._take(self._channel.receive())
        except (EOFError, ChannelError):
            _log.error("the supervisor has gone: this process drains and ends, too")
            self._orphaned()

    def _take(self, frame: Frame) -> None:
        message = frame.message
        try:
            answer = self._answers[message["do"]](frame)
        except LinkerdTcpError as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - the supervisor waits for an answer, and must hear what went wrong
            _log.exception("%s failed; please report this", message.get("do"))
            answer = {"error": f"{type(error).__name__}: {error}"}
        if answer is not None and "token" in message:
            self._channel.send({"token": message["token"], **answer})


class Worker:
    """One worker's life: `run`, in the process that was forked for it."""

    def __init__(
        self,
        number: int,
        config: AppConfig,
        listeners: Mapping[ServerKey, Socket],
        admin: Socket,
        *,
        drains: Drained | None = None,
        levels: Changes | None = None,
        leave_folder: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config_of_worker(config)
        self._given = Given(number, listeners, admin)
        self._drains = dict(drains or {})
        self._levels = levels
        self._leave_folder = leave_folder
        self._begun = False

    def run(self, end: Socket) -> int:
        """Serve until the stop; the exit status."""
        self._channel = ChildEnd(end)
        self._logs = logs_of_child(str(self._given.worker), self._levels)
        app = self._app = App(self._config, _refuse_to_load, self._logs, self._given)
        gevent.signal_handler(signal.SIGTERM, say, self._channel, "leaving")
        gevent.signal_handler(signal.SIGUSR1, app.reopen_logs)
        try:
            app.open()
        except StartError as error:
            self._channel.send({"say": "failed", "error": str(error)})
            self._logs.close(LOGS_SECS)
            return 1
        for (bound, address), drain in self._drains.items():
            app.keep_drained(bound, address, drain)
        self._logs.capture_stderr()
        self._channel.send({"say": "prepared"})
        Follower(self._channel, self._answers(), self._orphaned).start()
        gevent.spawn(self._tell_when_deaf)
        app.run_until_stopped()
        self._logs.close(LOGS_SECS)
        return 0

    def _answers(self) -> dict[str, Answer]:
        return {
            "begin": self._begin,
            "prepare": self._prepare,
            "switch": self._switch,
            "undo": self._undo,
            "drain": self._drain,
            "keep_drained": self._keep_drained,
            "level": lambda frame: set_level(self._logs, frame.message),
            "reopen": self._reopen,
            "hand_over": self._hand_over,
            "stop": self._stop,
        }

    def _begin(self, _frame: Frame) -> None:
        self._app.begin()
        self._begun = True
        spare_the_collector()
        self._channel.send({"say": "serving"})

    def _prepare(self, frame: Frame) -> Message:
        if self._app.stopping:
            raise StartError("it is stopping")
        config = config_of_worker(read_config(frame.attached))
        keys = [ServerKey(*key) for key in frame.message["listeners"]]
        changes = self._app.prepare(config, dict(zip(keys, frame.sockets, strict=True)))
        return {"changes": changes}

    def _switch(self, _frame: Frame) -> Message:
        self._app.switch()
        return {}

    def _undo(self, _frame: Frame) -> None:
        self._app.undo()

    def _drain(self, frame: Frame) -> Message:
        message = frame.message
        return {"known": self._app.drain(message["bound"], message["address"], message["on"], message["by"])}

    def _keep_drained(self, frame: Frame) -> None:
        message = frame.message
        self._app.keep_drained(message["bound"], message["address"], Drain(message["since"], message["by"]))

    def _reopen(self, _frame: Frame) -> None:
        self._app.reopen_logs()

    def _hand_over(self, _frame: Frame) -> None:
        self._app.hand_over()

    def _stop(self, frame: Frame) -> None:
        if not self._begun:
            self._logs.close(LOGS_SECS)
            os._exit(0)  # nobody was accepted
        self._app.shutdown(frame.message["graceSecs"])

    def _tell_when_deaf(self) -> None:
        self._app.deaf.wait()
        say(self._channel, "deaf")

    def _orphaned(self) -> None:
        self._leave_folder()
        if not self._begun:
            os._exit(1)
        self._app.shutdown()


def say(channel: ChildEnd, what: str) -> None:
    """What the supervisor need not be there to hear."""
    try:
        channel.send({"say": what})
    except ChannelError as error:
        _log.debug("%s", error)


def logs_of_child(worker: str, levels: Changes | None) -> Logs:
    """The log of this process, with the levels that were set meanwhile."""
    return Logs(os.environ, worker=worker, changes=levels)


def set_level(logs: Logs, message: Message) -> Message:
    """{"known": whether there is such a logger}; ConfigError if there is no such level."""
    try:
        logs.change_level(*(message[key] for key in ("logger", "level", "at", "by", "due")))
    except LookupError:
        return {"known": False}
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    return {"known": True}


def _refuse_to_load() -> NoReturn:
    raise StartError("a worker is not reloaded alone; ask the admin server, which reloads all of them")

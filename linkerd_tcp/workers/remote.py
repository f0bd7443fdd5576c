"""What the admin process knows of the supervisor and the workers, and how it asks: the `Fleet` of the real thing."""

from itertools import count
from typing import Final

import gevent
from gevent.event import AsyncResult

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.errors import ConfigError, StartError
from linkerd_tcp.last_lines import LogLine, printable
from linkerd_tcp.levels import START, parse_level
from linkerd_tcp.transition import Reloaded
from linkerd_tcp.workers.channel import ChannelError, ChildEnd, Message
from linkerd_tcp.workers.fleet import WorkerRow

RELOAD_SECS: Final = 28.0
"""The supervisor gives each child ten seconds to prepare and ten to switch; who asked over HTTP has thirty."""

ANSWER_SECS: Final = 5.0

LOG_SECS: Final = 2.0
"""Whoever looks at the log sees that of the others meanwhile."""


class Remote:
    """See `Fleet`. `state` is what the supervisor says of all; each later one goes to `take_state`."""

    def __init__(self, config: AppConfig, state: Message, channel: ChildEnd) -> None:
        self._config = config
        self._channel = channel
        self._numbers = count(1)
        self._asked: dict[int, AsyncResult[Message]] = {}
        self.take_state(state)

    def take_state(self, state: Message) -> None:
        self._workers = [WorkerRow(*row) for row in state["workers"]]
        self._servers = [(label, (ip, port)) for label, (ip, port) in state["servers"]]
        self._supervisor_pid: int = state["supervisor"]
        self._started_at: float = state["startedAt"]
        self._stopping: bool = state["stopping"]
        ok, at, errors = state["lastReload"]
        self._last_reload = Reloaded(ok, at, tuple(errors))

    def take_config(self, config: AppConfig) -> None:
        self._config = config

    def take_answer(self, message: Message) -> None:
        """To a request of before; nobody may wait for it any more."""
        asked = self._asked.get(message["id"])
        if asked is not None:
            asked.set(message)

    @property
    def config(self) -> AppConfig:
        return self._config

    @property
    def workers(self) -> list[WorkerRow]:
        return self._workers

    @property
    def supervisor_pid(self) -> int:
        return self._supervisor_pid

    @property
    def started_at(self) -> float:
        return self._started_at

    @property
    def servers(self) -> list[tuple[str, tuple[str, int]]]:
        return self._servers

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def last_reload(self) -> Reloaded:
        return self._last_reload

    def reload(self) -> list[str]:
        changed: list[str] = self._ask({"request": "reload"}, RELOAD_SECS)["changed"]
        return changed

    def shutdown(self, grace_secs: float | None = None) -> None:
        self._stopping = True
        self._send({"request": "shutdown", "graceSecs": grace_secs})

    def abort(self) -> None:
        self._send({"request": "abort"})

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        request = {"request": "drain", "bound": bound, "address": address, "on": on, "by": by}
        return bool(self._ask(request, ANSWER_SECS)["known"])

    def log_lines(self, after: float = 0.0) -> list[LogLine]:
        lines = self._ask({"request": "log", "after": after}, LOG_SECS)["lines"]
        return [LogLine(*row)._replace(worker="supervisor") for row in lines]

    def set_level(self, logger: str, level: str, by: str = "", for_secs: float | None = None) -> None:
        if level.strip().lower() != START:
            parse_level(level)  # ValueError, and nobody need be asked
        request = {"request": "level", "logger": logger, "level": level, "by": by, "forSecs": for_secs}
        if not self._ask(request, ANSWER_SECS)["known"]:
            raise LookupError(f"there is no logger {printable(logger)!r}")

    def _ask(self, request: Message, secs: float) -> Message:
        number = next(self._numbers)
        asked = self._asked[number] = AsyncResult()
        try:
            self._send({**request, "id": number})
            answer: Message = asked.get(timeout=secs)
        except gevent.Timeout:
            raise StartError(f"the supervisor did not answer within {secs:g} s; its log may say why") from None
        finally:
            del self._asked[number]
        if "problems" in answer:
            raise ConfigError(answer["problems"])
        if "error" in answer:
            raise StartError(answer["error"])
        return answer

    def _send(self, request: Message) -> None:
        try:
            self._channel.send(request)
        except ChannelError as error:
            raise StartError(str(error)) from error

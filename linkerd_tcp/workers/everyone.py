"""All workers and the supervisor, as the admin paths see them: what one process's `App` is to its own."""

import json
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from linkerd_tcp.admin import controls
from linkerd_tcp.admin.connections import place
from linkerd_tcp.admin.private import PREFIX
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.naming.namer import Discovery
from linkerd_tcp.net.lines import Reason
from linkerd_tcp.staleness import remarks
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.workers.fleet import Fleet, WorkerRow
from linkerd_tcp.workers.gather import Asker, Question, Reply, Silence, bodies
from linkerd_tcp.workers.merge import Shape, merge_levels, merge_ready

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control
    from linkerd_tcp.net.keys import Identity
    from linkerd_tcp.terminator import Terminator

PROBE_SECS: Final = 0.8
"""For who asks whether all are ready: a probe waits for a second as a rule."""


class OwnLogs(controls.OwnLogs, Protocol):
    """Those of the admin process itself."""

    @property
    def dropped(self) -> Mapping[Reason, int]: ...


class Beside(Protocol):
    """What runs in the admin process itself, where the file has a namerd section."""

    @property
    def control(self) -> "Control | None": ...

    @property
    def namerd_address(self) -> tuple[str, int] | None: ...

    @property
    def namers(self) -> Sequence[Discovery]:
        """What the control plane asks, and its store."""


class Nothing:
    """The `Beside` of a file without that section."""

    control = None
    namerd_address = None
    namers: Sequence[Discovery] = ()


class Everyone:
    """All workers and the supervisor, as the paths see them."""

    def __init__(self, fleet: Fleet, beside: Beside, own_logs: OwnLogs) -> None:
        self.fleet = fleet
        self.beside = beside
        self.own_logs = own_logs
        self.terminator: Terminator | None = None
        """Of the admin server, where it speaks TLS."""
        self.asker = Asker()
        self.logs = _Levels(self)

    @property
    def config(self) -> AppConfig:
        return self.fleet.config

    @property
    def admin_identities(self) -> Mapping[str, "Identity"]:
        """What the admin server shows where it speaks TLS, by name."""
        return {} if self.terminator is None else self.terminator.identities

    @property
    def ready(self) -> tuple[bool, list[str]]:
        """Whether all workers are. One that is being replaced may take a moment: its questions wait for the new one."""
        return self.readiness(*self.states())

    def readiness(self, states: Mapping[int, Shape], missing: Mapping[int, str]) -> tuple[bool, list[str]]:
        """The same, where `states` has been asked already."""
        is_ready, words = merge_ready(states, missing, remarks(self.beside.namers))
        return is_ready and not self.fleet.stopping, words

    def states(self) -> tuple[dict[int, Shape], dict[int, str]]:
        """What each worker says of itself within PROBE_SECS; and of the others, why there is nothing."""
        found, missing = self.ask("/state", PROBE_SECS)
        return {worker: json.loads(body) for worker, body in found.items()}, missing

    def ask(
        self, path: str, deadline_secs: float | None = None, of: Container[int] | None = None
    ) -> tuple[dict[int, bytes], dict[int, str]]:
        """What workers (`of`, or all) answer to a private path; and of the others, why there is nothing."""
        rows = [row for row in self.fleet.workers if of is None or row.number in of]
        return bodies(self.asker.ask(rows, Question(PREFIX + path), deadline_secs))

    def ask_one(self, row: WorkerRow, question: Question, deadline_secs: float | None = None) -> Reply:
        return self.asker.ask((row,), question, deadline_secs)[row.number]

    def worker(self, text: str) -> WorkerRow:
        """That of a request; 404 if there is none of this number."""
        rows = {str(row.number): row for row in self.fleet.workers}
        if text not in rows:
            refuse(f"no worker {text!r}; there are {', '.join(rows)}", 404)
        return rows[text]

    def reload(self) -> list[str]:
        return self.fleet.reload()

    def shutdown(self, grace_secs: float | None = None) -> None:
        self.fleet.shutdown(grace_secs)

    def abort(self) -> None:
        self.fleet.abort()

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        return self.fleet.drain(bound, address, on, by)

    def end_connection(self, number: str) -> bool:
        """By the worker whose it is; 504 where that does not answer."""
        try:
            _, of = place(number)
        except ValueError:
            return False
        row = next((row for row in self.fleet.workers if row.number == of), None)
        if row is None:
            return False
        reply = self.ask_one(row, Question(f"/connections/{quote(number, safe='')}/close", "POST"))
        if isinstance(reply, Silence):
            refuse(f"worker {of} does not answer: {reply.why}", 504)
        return reply.status == 200


class _Levels:
    """The levels of all processes: each logger once, as the first that has it says."""

    def __init__(self, everyone: Everyone) -> None:
        self._everyone = everyone

    def levels(self) -> list[dict[str, Any]]:
        question = Question("/logging.json")
        found, _ = bodies(self._everyone.asker.ask(self._everyone.fleet.workers, question))
        return merge_levels([*map(json.loads, found.values()), self._everyone.own_logs.levels()])

    def set_level(self, logger: str, level: str, by: str = "", for_secs: float | None = None) -> None:
        self._everyone.fleet.set_level(logger, level, by, for_secs)

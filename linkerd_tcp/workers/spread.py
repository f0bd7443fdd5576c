"""What is said to one process and holds in all of them, and in whoever replaces one: drains and log levels."""

import logging
from time import monotonic, time
from typing import Final

from linkerd_tcp.balancers.endpoints import MAX_DRAINED
from linkerd_tcp.errors import StartError
from linkerd_tcp.levels import Changes, change_level
from linkerd_tcp.router import Drain, Drained
from linkerd_tcp.workers.channel import Message
from linkerd_tcp.workers.children import ADMIN, Child
from linkerd_tcp.workers.keeper import Keeper, Question

ANSWER_SECS: Final = 2.0

_log = logging.getLogger(__name__)


class Spread:
    """What was set so far, and how more is."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.drains: Drained = {}
        """The newest last."""
        self.levels = Changes()
        """Those of this process, and of each that is forked from it."""

    def drain(self, request: Message) -> bool:
        """Drain an endpoint, or no longer, in every worker; False if none knows it."""
        bound, address, on, by = request["bound"], request["address"], request["on"], request["by"]
        workers = [child for child in self._keeper.serving if child.place != ADMIN]
        answers = self._ask(workers, {"do": "drain", "bound": bound, "address": address, "on": on, "by": by})
        known = any(answer.get("known") for answer in answers.values())
        if on and known:
            drain = self.drains.setdefault((bound, address), Drain(time(), by))
            if len(self.drains) > MAX_DRAINED:
                del self.drains[next(iter(self.drains))]
            # One that has had no connection for that name yet knows no endpoint of it: it will.
            others = [child for child in self._workers() if not answers.get(child, {}).get("known")]
            which = {"bound": bound, "address": address}
            self._keeper.tell(others, {"do": "keep_drained", **which, **drain._asdict()})
        elif not on:
            known |= self.drains.pop((bound, address), None) is not None
        self._complain(workers, answers)
        return known

    def set_level(self, request: Message) -> bool:
        """In every process, this one included; False if no process has such a logger."""
        for_secs = request.get("forSecs")
        change = {
            **{key: request[key] for key in ("logger", "level")},
            "at": time(),
            "by": request.get("by", ""),
            "due": None if for_secs is None else monotonic() + for_secs,
        }
        children = self._keeper.serving
        answers = self._ask(children, {"do": "level", **change})
        known = any(answer.get("known") for answer in answers.values())
        if known:
            change_level(self.levels, **change)
            # Those that start have the levels of when they were forked.
            starting = [child for child in self._keeper.children if child not in children and not child.gone]
            self._keeper.tell(starting, {"do": "level", **change})
        self._complain(children, answers)
        return known

    def end_those_due(self) -> None:
        """Levels that were set for a time, in this process; each of the others does the same by itself."""
        for logger in self.levels.expire():
            _log.info("the level of %s was for a time, and is as before", logger)

    def _workers(self) -> list[Child]:
        return [child for child in self._keeper.children if child.place != ADMIN and not child.gone]

    def _ask(self, children: list[Child], message: Message) -> dict[Child, Message]:
        return self._keeper.ask({child: Question(message) for child in children}, ANSWER_SECS)

    def _complain(self, asked: list[Child], answers: dict[Child, Message]) -> None:
        """Of those that have not answered: they will do it when they go on, but nobody knows when."""
        silent = [child.name for child in asked if child not in answers and not child.gone]
        if silent:
            raise StartError(
                f"{', '.join(silent)} did not answer within {ANSWER_SECS:g} s; the others did as was asked"
            )

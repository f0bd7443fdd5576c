"""A reload of all processes together: all switch, or none does."""

import logging
from _socket import socket as Socket
from collections.abc import Callable
from typing import Final

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import admin_changes, keep_running, restart_only_changes
from linkerd_tcp.errors import StartError
from linkerd_tcp.workers.channel import Message
from linkerd_tcp.workers.children import ADMIN, Child
from linkerd_tcp.workers.keeper import Keeper, Question
from linkerd_tcp.workers.listeners import Claimed, Listeners, withdraw
from linkerd_tcp.workers.settings import written_config

PREPARE_SECS: Final = 10.0
SWITCH_SECS: Final = 10.0

_log = logging.getLogger(__name__)


class Reload:
    """One reload: `prepare`, and if that says nothing against it, `switch`.

    A child that is only starting is not asked: it is ended, and begins again with the configuration that comes out.
    """

    def __init__(self, keeper: Keeper, listeners: Listeners, give_up: Callable[[], bool]) -> None:
        self._keeper = keeper
        self._listeners = listeners
        self._give_up = give_up
        self._children: list[Child] = []
        self._claimed: Claimed = {}
        self.config: AppConfig
        """What runs after it; there after `prepare`."""

    def prepare(self, old: AppConfig, new: AppConfig) -> list[str]:
        """Have everything made that can fail, in every process; a line for each thing that changes.

        StartError, and nothing has been changed anywhere, if one process cannot, ends or does not answer.
        """
        self.config = keep_running(old, new).without_places()
        self._claimed = self._listeners.claim_new(self.config)
        try:
            changes = self._prepare_all()
        except BaseException:
            self._keeper.tell((child for child in self._children if not child.gone), {"do": "undo"})
            withdraw(self._claimed)
            raise
        return [*changes, *admin_changes(old, self.config), *restart_only_changes(old, new)]

    def _prepare_all(self) -> list[str]:
        for child in self._keeper.current:
            if child.state == "starting":
                child.kill()
        self._children = self._keeper.serving
        if not any(child.place != ADMIN for child in self._children):
            raise StartError("no worker serves just now; try again")
        attached = written_config(self.config)
        questions = {child: self._question(child, attached) for child in self._children}
        answers = self._keeper.ask(questions, PREPARE_SECS, self._give_up)
        refusals = list(dict.fromkeys(each["error"] for each in answers.values() if "error" in each))
        refusals += [f"{child.name} {self._why_silent(child)}" for child in self._children if child not in answers]
        if refusals:
            raise StartError("\n".join(refusals))
        return _together([answers[child]["changes"] for child in self._children])

    def _question(self, child: Child, attached: bytes) -> Question:
        message: Message = {"do": "prepare"}
        sockets: list[Socket] = []
        if child.place != ADMIN:
            message["listeners"] = list(self._claimed)
            sockets = [each[child.place] for each in self._claimed.values()]
        return Question(message, attached, sockets)

    def _why_silent(self, child: Child) -> str:
        if child.gone:
            return child.how_it_ended()
        if self._give_up():
            return "was not waited for: the program is stopping"
        return f"did not answer within {PREPARE_SECS:g} s"

    def switch(self) -> None:
        """Change over. One that has ended since is replaced with the new configuration, and so is one that sticks."""
        self._listeners.add(self._claimed)
        asked = {child: Question({"do": "switch"}) for child in self._children if not child.gone}
        answers = self._keeper.ask(asked, SWITCH_SECS)
        for child in asked:
            if child.gone:
                continue
            if child not in answers:
                _log.error("%s did not switch within %g s and is ended", child.name, SWITCH_SECS)
                child.kill()
            elif "error" in answers[child]:
                _log.error("%s could not switch and is ended: %s", child.name, answers[child]["error"])
                child.kill()
        self._listeners.retire(self.config)


def _together(changes: list[list[str]]) -> list[str]:
    """Each line once: workers say the same, the admin process has the control plane's."""
    return list(dict.fromkeys(line for each in changes for line in each))

"""N + 1 places, each with a process in it: one that ends is replaced, and all can be asked something at once."""

import logging
from _socket import socket as Socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from math import inf
from time import monotonic
from typing import Final, NamedTuple

from linkerd_tcp.net.backoff import Backoff
from linkerd_tcp.workers.channel import ChannelError, Message
from linkerd_tcp.workers.children import Child, name_of
from linkerd_tcp.workers.pump import Pump

START_SECS: Final = 60.0
"""From the fork to serving; one that takes longer is ended and replaced."""

STEADY_SECS: Final = 1.0
"""Who served for less had no time to do anything but fail: its replacement waits, longer each time."""

BACKOFF_SECS: Final = (0.1, 5.0)

LEAVE_SECS: Final = 0.1
"""What stops all processes at once (systemd, `kill -TERM -GROUP`) may reach a worker before the supervisor: it is only
replaced if the supervisor is not stopping so much later."""

_log = logging.getLogger(__name__)


REAP_SECS: Final = 0.02
"""How soon a child that has closed its channel is looked at again: it ends a moment later, and the signal that says so
may have been lost to a library.
"""


class Question(NamedTuple):
    """What one child is asked, with what goes beside it."""

    message: Message
    attached: bytes = b""
    sockets: Sequence[Socket] = ()


class Place:
    """A worker's number or ADMIN, whoever is in it just now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.child: Child | None = None
        self.restarts = 0
        self.due: float | None = None
        """When it gets a new process, time.monotonic seconds."""
        self.gone = ""
        """Who was in it and how that ended, in words."""
        self.backoff = Backoff(*BACKOFF_SECS)
        self.failed_before = False


class Keeper:
    """`fork` makes the process of a place; `signalled` hears of each signal, `changed` of what is shown of workers."""

    def __init__(
        self,
        places: Iterable[int],
        pump: Pump,
        fork: Callable[[int], Child],
        signalled: Callable[[int], None],
        changed: Callable[[], None],
    ) -> None:
        self.places = {number: Place(number) for number in places}
        self.children: list[Child] = []
        """All there are, those that leave included."""
        self.requests: deque[tuple[Child | None, Message]] = deque()
        self.replacing = False
        """Until all have started, and from the stop on, nobody is replaced."""
        self._pump = pump
        self._fork = fork
        self._signalled = signalled
        self._changed = changed
        self._tokens = count(1)

    @property
    def current(self) -> list[Child]:
        """The children that are in their places."""
        return [place.child for place in self.places.values() if place.child is not None]

    @property
    def serving(self) -> list[Child]:
        """Also those that go on only until their replacement serves."""
        return [child for child in self.children if child.state == "serving"]

    def is_current(self, child: Child) -> bool:
        return self.places[child.place].child is child

    @property
    def next_due(self) -> float:
        """When `replace` has something to do, time.monotonic seconds."""
        if not self.replacing:
            return inf
        due = [place.due for place in self.places.values() if place.due is not None]
        starting = [child.born + START_SECS for child in self.children if child.state == "starting"]
        return min(due + starting, default=inf)

    def fill(self, number: int) -> Child:
        """A new process for that place. Whoever is still in it goes on until the new one serves."""
        place = self.places[number]
        place.due = None
        child = self._fork(number)
        place.child = child
        self.children.append(child)
        return child

    def replace(self) -> None:
        """Fill the places whose time has come."""
        now = monotonic()
        for child in self.children:
            if child.state == "starting" and now >= child.born + START_SECS and not child.unwanted:
                _log.error("%s does not start within %g s", child.name, START_SECS)
                child.kill()
        for place in self.places.values():
            if place.due is None or now < place.due:
                continue
            before = place.gone if place.child is None else f"{place.child.name} was told to end"
            try:
                child = self.fill(place.number)
            except OSError as error:
                wait_secs = place.backoff.next_secs()
                _log.error("%s: cannot be replaced: %s; trying again", before, error.strerror)
                place.due = now + wait_secs
                continue
            place.restarts += 1
            _log.warning("%s: replaced by pid %d", before, child.pid)
            self._changed()

    def tell(self, children: Iterable[Child], message: Message) -> None:
        for child in children:
            self._send(child, Question(message))

    def ask(
        self, questions: Mapping[Child, Question], secs: float, give_up: Callable[[], bool] | None = None
    ) -> dict[Child, Message]:
        """What each answers, with `error` in it where it says no; who has ended or does not answer in time is missing.

        With `give_up` it returns at once when that says so or one has ended.
        """
        token = next(self._tokens)
        for child, (message, attached, sockets) in questions.items():
            self._send(child, Question({**message, "token": token}, attached, sockets))
        answers: dict[Child, Message] = {}
        until = monotonic() + secs
        while True:
            for child in questions:
                if token in child.answers:
                    answers[child] = child.answers.pop(token)
            missing = [child for child in questions if child not in answers]
            ended = [child for child in missing if child.gone]
            if len(missing) == len(ended) or monotonic() >= until:
                return answers
            if give_up is not None and (ended or give_up()):
                return answers
            self.turn(until - monotonic(), token)

    def turn(self, secs: float, token: int = 0) -> None:
        """Wait for news, for `secs` at most, and take it in. Of answers, those to `token` are kept."""
        if any(child.line.ended for child in self.children):
            secs = min(secs, REAP_SECS)
        for number in self._pump.wait([child.line for child in self.children], secs):
            self._signalled(number)
        for child in list(self.children):
            self._read(child, token)
            if child.line.complaint and not child.gone:
                self._broken(child, child.line.complaint)
            if child.reap():
                child.line.receive()  # what it said last
                self._read(child, token)
                self._ended(child)

    def kill_all(self) -> None:
        for child in self.children:
            child.kill()

    def _send(self, child: Child, question: Question) -> None:
        try:
            child.line.send(*question)
        except ChannelError as error:
            self._broken(child, str(error))

    def _broken(self, child: Child, why: str) -> None:
        child.line.complaint = ""
        _log.error("%s is ended: %s", child.name, why)
        child.kill()
        child.unwanted = False  # it is replaced like any that failed

    def _read(self, child: Child, token: int) -> None:
        while child.line.inbox:
            message = child.line.inbox.popleft()
            if "token" in message:
                if message["token"] == token:
                    child.answers[token] = message
            elif "request" in message:
                self.requests.append((child, message))
            else:
                self._said(child, message)

    def _said(self, child: Child, message: Message) -> None:
        match message.get("say"):
            case "prepared":
                child.prepared = True
                if self.replacing:
                    self.tell([child], {"do": "begin"})
            case "serving":
                self._serves(child)
            case "failed":
                child.failure = str(message.get("error", ""))
            case "leaving":
                self._wants_to_leave(child)
            case "deaf":
                child.deaf = True

    def _serves(self, child: Child) -> None:
        child.state = "serving"
        child.serving_since = monotonic()
        for other in self.children:
            if other.place == child.place and other is not child and other.state != "leaving":
                other.state = "leaving"
                self.tell([other], {"do": "hand_over"})
        self._changed()

    def _wants_to_leave(self, child: Child) -> None:
        if not child.wants_to_leave and self.is_current(child) and self.replacing:
            child.wants_to_leave = True
            self.places[child.place].due = monotonic() + LEAVE_SECS

    def _ended(self, child: Child) -> None:
        self.children.remove(child)
        child.line.close()
        if not self.is_current(child):
            if child.status or child.unwanted:
                _log.warning("%s, which was leaving, %s", child.name, child.how_it_ended())
            else:
                _log.info("%s has left", child.name)
            return
        place = self.places[child.place]
        place.child = None
        if not self.replacing:
            return
        why = f": {child.failure}" if child.failure else ""
        place.gone = f"{child.name} {child.how_it_ended()}{why}"
        wait_secs = self._wait_secs(place, child)
        place.due = monotonic() + wait_secs
        if wait_secs:
            _log.error("%s; %s is replaced in %.1f s", place.gone, name_of(place.number), wait_secs)
        self._changed()

    def _wait_secs(self, place: Place, child: Child) -> float:
        """The first that fails at once is replaced at once: it may have been one bad moment."""
        served = child.serving_since is not None and monotonic() - child.serving_since >= STEADY_SECS
        if served:
            place.backoff.reset()
        failed_before, place.failed_before = place.failed_before, not served
        return 0.0 if served or child.unwanted or not failed_before else place.backoff.next_secs()

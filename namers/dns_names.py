"""Names followed in DNS: each asked for again when its time to live is over, by a bounded number of greenlets.

Whoever watches a name is told of its changes and waits for nothing. One question serves everybody who watches it; a
name that nobody watches is asked for no more, and what was said of it is remembered for as long as that holds.
"""

import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import monotonic, time
from typing import Any, Final, NamedTuple

import gevent
from gevent.event import Event
from gevent.pool import Group

from linkerd_tcp.naming.addr import NEG, Address, Bound, Failed, Pending
from linkerd_tcp.naming.namer import NamerFigures
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.backoff import Backoff
from linkerd_tcp.net.literal import ip_literal
from namers.dns_client import QUERY_SECS, AskError
from namers.dns_questions import HostQuestion, Outcome, Question, ServiceQuestion, Value
from namers.dns_servers import LOOK_SECS, Chosen

MAX_NAMES: Final = 10_000
"""Names watched at a time, the targets of SRV records among them."""

MAX_REMEMBERED: Final = 1_000
WORKERS: Final = 16
"""Names asked for at a time. Each takes a socket per family and server while all are silent: 128 at most."""

SHARE: Final = 12
"""Of the workers, how many may be busy with names that were answered the last time, and how many with others: so that
neither waits for the other, however many dead names strangers ask for.
"""

REFRESHES_PER_SEC: Final = 200
"""Each takes about a millisecond of the loop; with more names the refreshes come later than their time to live."""

JITTER: Final = 0.1
LINES_PER_WINDOW: Final = 20
WINDOW_SECS: Final = 10.0

_log: Final = logging.getLogger(__name__)


class Lives(NamedTuple):
    """How long answers are believed, in seconds: never less than `min_secs`, never more than the two others."""

    min_secs: float = 5.0
    max_secs: float = 300.0
    max_negative_secs: float = 30.0

    def of(self, ttl_secs: float, *, is_negative: bool) -> float:
        most = self.max_negative_secs if is_negative else self.max_secs
        return max(self.min_secs, min(ttl_secs, most))

    def backoff(self) -> Backoff:
        """Waits after failures: 1 to 10 s by default, never much longer than a refresh takes."""
        most = min(10.0, 2 * self.min_secs)
        return Backoff(min(1.0, most / 2), most)


class Asked(Var[Any]):
    """The watch of one question; `question` says how that goes. None where nothing is asked."""

    __slots__ = ("question",)

    def __init__(
        self, value: Any, question: Question | None = None, on_close: Callable[[], None] | None = None
    ) -> None:
        super().__init__(value, on_close)
        self.question = question

    @property
    def error(self) -> str | None:
        """Why the last attempt failed, or why there is none."""
        if self.question is not None:
            return self.question.error
        return self.value.cause if isinstance(self.value, Failed) else None

    @property
    def next_attempt_at(self) -> float | None:
        """Seconds since the epoch; None while it is being asked for, and where nothing is."""
        if self.question is None or self.question.next_at <= monotonic():
            return None
        return time() + self.question.next_at - monotonic()


class DnsNames:
    """See the module. NXDOMAIN, and no record of the type, are Neg; whatever else goes wrong keeps the last good
    answer and is Failed only before there was one.
    """

    def __init__(self, chosen: Chosen, lives: Lives, figures: NamerFigures, query_secs: float = QUERY_SECS) -> None:
        self.chosen = chosen
        self.lives = lives
        self.figures = figures
        self.query_secs = query_secs
        self._questions: dict[tuple[type[Question], str], Question] = {}
        self._remembered: OrderedDict[tuple[type[Question], str], Question] = OrderedDict()
        self._due: list[tuple[float, int, Question]] = []
        self._waiting: dict[bool, dict[Question, None]] = {True: {}, False: {}}
        """In order; those that were answered the last time by themselves."""
        self._pushes = 0
        self._busy = {True: 0, False: 0}
        self._paced_until = 0.0
        self._workers = Group()
        self._wake = Event()
        self._scheduler: gevent.Greenlet[[], None] | None = None
        self._closed = False
        self._complaints = _Complaints()

    def host(self, name: str) -> Asked:
        """The live addresses (Addr, port 0) of `name`, in lower case; an IP literal is Bound at once, for ever."""
        literal = ip_literal(name)
        if literal is not None:
            return Asked(Bound((Address(literal, 0),)))
        return self._watch(HostQuestion, name)

    def services(self, name: str) -> Asked:
        """The live SRV records of `name`, in lower case: Services, Neg, Pending or Failed."""
        return self._watch(ServiceQuestion, name)

    def close(self) -> None:
        """End every greenlet; nobody is told anything any more. Closing twice is harmless."""
        self._closed = True
        for question in self._questions.values():
            question.holders.clear()
        self._questions.clear()
        self._remembered.clear()
        self._due.clear()
        for waiting in self._waiting.values():
            waiting.clear()
        block = gevent.getcurrent() is not gevent.get_hub()
        if self._scheduler is not None:
            self._scheduler.kill(block=block)
            self._scheduler = None
        self._workers.kill(block=block)

    # -- who watches what

    def _watch(self, kind: type[Question], name: str) -> Asked:
        if self._closed:
            return Asked(NEG)
        key = (kind, name)
        question = self._questions.get(key)
        if question is None:
            if len(self._questions) >= MAX_NAMES:
                self.figures.error("limit")
                return Asked(Failed(f"{name}: more than {MAX_NAMES} names are watched"))
            question = self._questions[key] = self._recall(kind, name)
        asked = question

        def release() -> None:
            if holder in asked.holders:
                asked.holders.remove(holder)
            if not asked.holders and self._questions.get(key) is asked:
                self._forget(key, asked)

        holder = Asked(asked.value, asked, release)
        asked.holders.append(holder)
        return holder

    def _recall(self, kind: type[Question], name: str) -> Question:
        """The question, with what was said of it the last time if that still holds."""
        question = self._remembered.pop((kind, name), None)
        if question is None:
            question = kind(name, self.lives.backoff())
        if question.asking:
            return question
        if question.next_at > monotonic():
            self._push(question)
        else:
            question.restart()
            self._waiting[False][question] = None
        self._run_scheduler()
        return question

    def _forget(self, key: tuple[type[Question], str], question: Question) -> None:
        del self._questions[key]
        self._waiting[question.answered].pop(question, None)
        if question.asking or not isinstance(question.value, Pending):
            self._remembered[key] = question
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        if len(self._due) > 64 and len(self._due) > 4 * len(self._questions):
            self._due = [entry for entry in self._due if self._is_due(entry)]
            heapify(self._due)

    # -- when

    def _run_scheduler(self) -> None:
        if self._scheduler is None:
            self._scheduler = gevent.spawn(self._schedule)
        self._wake.set()

    def _push(self, question: Question) -> None:
        self._pushes += 1
        heappush(self._due, (question.next_at, self._pushes, question))

    def _is_due(self, entry: tuple[float, int, Question]) -> bool:
        """Whether the entry still holds: the question is watched, and not asked for now or at another time."""
        at, _, question = entry
        return bool(question.holders) and question.next_at == at and not question.asking

    def _schedule(self) -> None:
        while True:
            self._wake.wait(self._wait_secs())
            self._wake.clear()
            try:
                self._turn()
            except Exception:  # noqa: BLE001  were this to end, every name would silently grow old
                _log.exception("asking for names goes on")
                gevent.sleep(1)

    def _turn(self) -> None:
        if self.chosen.look():
            self._ask_everything_again()
        now = monotonic()
        self._paced_until = max(self._paced_until, now - 0.1)
        while self._due and self._due[0][0] <= now and self._paced_until <= now:
            entry = heappop(self._due)
            if self._is_due(entry):
                self._waiting[entry[2].answered][entry[2]] = None
                self._paced_until += 1 / REFRESHES_PER_SEC
        self._start_waiting()

    def _wait_secs(self) -> float | None:
        """None: until somebody wakes."""
        secs = [max(self._due[0][0], self._paced_until) - monotonic()] if self._due else []
        if self.chosen.follows_system and self._questions:
            secs.append(LOOK_SECS)
        return max(0.0, min(secs)) if secs else None

    def _ask_everything_again(self) -> None:
        """This machine is in another network, perhaps: whatever was said or failed before counts no more."""
        servers = ", ".join(map(str, self.chosen.current.servers))
        _log.info("the DNS servers are now %s: %d names are asked for again", servers, len(self._questions))
        self._remembered.clear()
        now = monotonic()
        for question in self._questions.values():
            question.backoff.reset()
            if not question.asking and question not in self._waiting[question.answered]:
                question.next_at = now + random.random()
                self._push(question)

    def _start_waiting(self) -> None:
        for answered, waiting in self._waiting.items():
            while waiting and self._busy[answered] < SHARE and sum(self._busy.values()) < WORKERS:
                question = next(iter(waiting))
                del waiting[question]
                question.asking = True
                self._busy[answered] += 1
                self._workers.spawn(self._ask, question, answered)

    # -- what came of it

    def _ask(self, question: Question, answered: bool) -> None:
        settings = self.chosen.current
        try:
            outcome = question.ask(settings, self.query_secs)
        except AskError as error:
            outcome = Outcome(None, 0.0, error)
        except Exception as error:  # noqa: BLE001  whatever it is, this name must be asked for again
            _log.exception("%s: asking failed", question.name)
            outcome = Outcome(None, 0.0, AskError("internal", f"{question.name}: {error!r}"))
        finally:
            question.asking = False
            self._busy[answered] -= 1
            self._wake.set()
        if not self._closed:
            self._apply(question, outcome)

    def _apply(self, question: Question, outcome: Outcome) -> None:
        question.answered = outcome.value is not None
        secs = self.lives.of(outcome.ttl_secs, is_negative=outcome.value is NEG)
        if outcome.problem is not None:
            backoff_secs = question.backoff.next_secs()
            secs = backoff_secs if outcome.value is None else min(secs, backoff_secs)
        else:
            question.backoff.reset()
            secs *= 1 + JITTER * random.random()
        question.next_at = monotonic() + secs
        if question.holders:
            self._push(question)
        self._note(question, outcome)
        if outcome.value is not None:
            question.last_good_at = self.figures.last_good_at = time()
            self._tell(question, outcome.value)
        elif isinstance(question.value, Pending | Failed):
            self._tell(question, Failed(str(outcome.problem)))

    def _note(self, question: Question, outcome: Outcome) -> None:
        """Count and remember the problem, or that there is none; say what is new, once."""
        error = outcome.problem
        if error is None:
            if question.error is not None:
                self._complaints.say(logging.INFO, f"{question.name} is answered again")
            question.error = question.error_at = None
            return
        self.figures.error(error.cause)
        words = str(error)
        # The same trouble with A and with AAAA is one.
        if words.partition(" of ")[2] != (question.error or "").partition(" of ")[2] and question.holders:
            kept = not isinstance(question.value, Pending | Failed)
            done = "the last good answer is kept" if kept else "nothing is known of it yet"
            self._complaints.say(logging.WARNING, f"{words}: {done}, and it is asked for again")
        question.error, question.error_at = words, time()

    def _tell(self, question: Question, value: Value) -> None:
        if value == question.value:
            return
        self.figures.updates += 1
        question.value = value
        for holder in tuple(question.holders):
            try:
                holder.set(value)
            except Exception:  # noqa: BLE001  one observer must not end the following of all the other names
                _log.exception("%s: an observer failed", question.name)


class _Complaints:
    """The log's lines about names: when a server goes away thousands change at once, and a few of them say it all."""

    def __init__(self) -> None:
        self._window_ends = 0.0
        self._left = 0
        self._unsaid = 0

    def say(self, level: int, words: str) -> None:
        now = monotonic()
        if now >= self._window_ends:
            self._window_ends, self._left = now + WINDOW_SECS, LINES_PER_WINDOW
        if not self._left:
            self._unsaid += 1
            return
        self._left -= 1
        more, self._unsaid = (f" ({self._unsaid} more of other names were left unsaid)" if self._unsaid else ""), 0
        _log.log(level, "%s%s", words, more)

"""One name of namerd's, asked for again and again in a greenlet of its own.

A watch is a request whose answer has no end: each document on it is the state from then on. It is begun anew when it
was silent for a while (a frozen namerd, or a connection that died unnoticed, is silent too), at once when it ended
cleanly after a good life, and after a backoff when anything went wrong. A poll is asked again after its period.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from enum import Enum, auto
from time import monotonic, time
from typing import Any, Final

import gevent

from linkerd_tcp.namerd.dial import HEAD_SECS, FindHost
from linkerd_tcp.namerd.failures import RequestFailed, misread
from linkerd_tcp.namerd.figures import NamerdFigures
from linkerd_tcp.namerd.gate import Gate
from linkerd_tcp.namerd.http import Answer, Http
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.net.backoff import Backoff
from linkerd_tcp.net.throttle import Throttle
from linkerd_tcp.wire.json_documents import MAX_DOCUMENT_BYTES, JsonDocuments
from linkerd_tcp.wire.parsing import WireError

STABLE_SECS: Final = 5.0
"""A watch that lived this long was a good one: what follows it is a first failure again."""

_SAYS_NOTHING: Final = frozenset({"cut", "ended", "silence"})
_JITTER: Final = 0.1
_QUIET_JITTER: Final = 0.25
"""Larger: what began together is not to be begun anew together."""

_log: Final = logging.getLogger(__name__)


class _End(Enum):
    """How a request ended that did not fail."""

    CLEAN = auto()
    QUIET = auto()
    POLLED = auto()


class Link:
    """What all followers of one client share: how to ask, what is counted, what was said of namerd as a whole."""

    def __init__(self, options: NamerdOptions, find_host: FindHost, figures: NamerdFigures) -> None:
        self.gate = Gate()
        self.http = Http(options, find_host, self.gate)
        self.options = options
        self.figures = figures
        self.throttle = Throttle()
        self._said = ""

    def failed(self, failure: RequestFailed) -> None:
        """Said once until it changes, however many names it concerns; now and then, should it change all the time."""
        words = str(failure)
        if words != self._said and (unsaid := self.throttle.ask(failure.cause)) is not None:
            self._said = words
            _log.warning("%s: what is known is kept%s", words, f" ({unsaid} more like this)" if unsaid else "")

    def answered(self) -> None:
        """namerd has answered a request well."""
        if self._said and self.throttle.ask("answered") is not None:
            self._said = ""
            _log.info("%s answers again", self.http.shown)


class Follower:
    """Hands each document that namerd has for one name to `take`, from the first call of `start` until `close`.

    `take` may raise WireError: the document is refused, and asked for again later. `trouble` is told of each failure
    but silence and an end before its time, which say nothing. Neither is called after `close`, but by the call that
    closes.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        endpoint: str,
        query: Mapping[str, str],
        take: Callable[[Any], None],
        trouble: Callable[[str], None],
    ) -> None:
        options = link.options
        self.name = name
        self.error: str | None = None
        self.error_at: float | None = None
        self.last_good_at: float | None = None
        self.next_attempt_at: float | None = None
        self.is_live = False
        """The last request that was made has given a document, and has not failed since."""
        self._link = link
        self._watches = endpoint != "resolve" or options.watches
        self._endpoint = endpoint
        self._target = link.http.target(endpoint, {**query, "watch": "1"} if self._watches else query)
        self._take = take
        self._trouble = trouble
        self._backoff = Backoff(options.retry.base_seconds, options.retry.max_seconds)
        self._may_hurry = True
        self._said = ""
        self._left_out = ""
        self.greenlet: gevent.Greenlet | None = None
        self._closed = False

    def start(self) -> None:
        """Ask for the first time; blocks nobody."""
        self.greenlet = gevent.spawn(self._run)
        self.greenlet.name = f"namerd {self._endpoint} {self.name}"[:200]

    def end(self) -> None:
        """Call nobody back any more."""
        self._closed = True

    def close(self) -> None:
        """End the request, whatever it waits for, and the greenlet: in the next turn of the loop."""
        self._closed = True
        if self.greenlet is not None:
            self.greenlet.kill(block=False)

    # -- again and again

    def _run(self) -> None:
        while not self._closed:
            self._link.gate.enter()
            pause_secs = self._ask(monotonic())
            if pause_secs > 0:
                self.next_attempt_at = time() + pause_secs
                gevent.sleep(pause_secs)
                self.next_attempt_at = None

    def _ask(self, began: float) -> float:
        """One request, to its end; how long to wait before the next."""
        try:
            end = self._watch(began) if self._watches else self._poll(began)
        except RequestFailed as failure:
            if failure.of_namerd:
                self._link.failed(failure)
            return self._failed(began, failure.cause, str(failure), say=not failure.of_namerd)
        except WireError as error:
            return self._failed(began, "protocol", misread(self._link.http.shown, error))
        if end is _End.POLLED:
            self._backoff.reset()
            return self._link.options.poll_secs * random.uniform(1 - _JITTER, 1 + _JITTER)
        return 0.0 if end is _End.QUIET else self._ended(began)

    def _failed(self, began: float, cause: str, words: str, *, say: bool = True) -> float:
        self.fail(cause, words, say=say)
        self.is_live = False
        if cause not in _SAYS_NOTHING and not self._closed:
            self._guarded(self._trouble, words)
        if self._watches and monotonic() - began >= STABLE_SECS:
            self._calm()
        wait_secs = self._backoff.next_secs()
        return wait_secs if self._watches else min(wait_secs, self._link.options.poll_secs)

    def _ended(self, began: float) -> float:
        """A clean end: namerd was stopped, or something between here and there ends what lasts."""
        words = f"{self._link.http.shown} ended the watch"
        if monotonic() - began >= STABLE_SECS:
            self._calm()
        if not self._may_hurry or not self.is_live:
            return self._failed(began, "ended", words)
        self._may_hurry = False
        self._link.figures.error("ended")
        _log.debug("%s: %s: watching it again", self.name, words)
        return 0.0

    def _calm(self) -> None:
        self._backoff.reset()
        self._may_hurry = True

    # -- one request

    def _watch(self, began: float) -> _End:
        quiet_secs = self._link.options.read_timeout_secs * random.uniform(1 - _QUIET_JITTER, 1)
        with closing(self._link.http.open(self._target, HEAD_SECS)) as answer:
            self._link.answered()
            documents = JsonDocuments()
            took = False
            until = monotonic() + quiet_secs
            while True:
                chunk = answer.read(until - monotonic())
                self._link.gate.enter()
                if chunk is None:
                    return self._quiet(documents.is_partial, took, quiet_secs)
                if self._taken(documents.feed(chunk) if chunk else documents.end(), began, took):
                    took = True
                if not chunk:
                    self.is_live = self.is_live and took
                    return _End.CLEAN
                if not documents.is_partial:  # a document that never ends is silence, too
                    until = monotonic() + quiet_secs

    def _quiet(self, is_partial: bool, took: bool, quiet_secs: float) -> _End:
        """Nothing new for a while is how a good watch is, too: it is only begun anew."""
        shown = self._link.http.shown
        if is_partial:
            raise RequestFailed("silence", f"{shown}: the rest of a document did not come within {quiet_secs:.0f} s")
        if not took and self.last_good_at is not None:
            raise RequestFailed("silence", f"{shown} says nothing of it for {quiet_secs:.0f} s")
        return _End.QUIET

    def _poll(self, began: float) -> _End:
        most_secs = self._link.options.read_timeout_secs
        until = began + most_secs
        try:
            with closing(self._link.http.open(self._target, most_secs)) as answer:
                self._link.answered()
                if not self._taken(read_all(answer, until), began, False):
                    raise RequestFailed("protocol", f"{self._link.http.shown}: an empty answer")
        except RequestFailed as failure:
            if failure.cause != "timeout" or monotonic() < until:
                raise
            # Of a name that is pending there, namerd says nothing at all.
            words = f"{self._link.http.shown}: no answer within {most_secs:g} s"
            raise RequestFailed("silence", words) from None
        return _End.POLLED

    def _taken(self, documents: Any, began: float, took: bool) -> bool:
        """Take the last of `documents`, which came together: those before it are over already."""
        newest: list[Any] = []
        error: WireError | None = None
        try:
            for document in documents:
                newest = [document]
        except WireError as wrong:
            error = wrong
        if newest and not took:
            self._link.figures.requests.observe(monotonic() - began)
        if newest and not self._closed:
            self.is_live = True
            self._guarded(self._take, newest[0])
        if error is not None:
            raise error
        return bool(newest)

    def _guarded(self, tell: Callable[[Any], None], what: Any) -> None:
        """One observer that fails must not end the following of a name."""
        try:
            tell(what)
        except WireError:
            raise
        except Exception:  # noqa: BLE001
            _log.exception("%s: an observer failed", self.name)

    # -- what is known of it, for people

    def good(self) -> None:
        """What came is to be relied on."""
        if self.error is not None:
            _log.log(logging.INFO if self._said else logging.DEBUG, "%s: namerd says it again", self.name)
        self.error = self.error_at = None
        self._said = ""
        self.good_meanwhile()

    def good_meanwhile(self) -> None:
        """Something good is known, from elsewhere: what was asked for here is still to come."""
        self.last_good_at = self._link.figures.last_good_at = time()

    def left_out(self, words: str) -> None:
        """What could not be used of a document that was good otherwise; nothing of it, with no words."""
        if not words:
            self._left_out = ""
            return
        self._link.figures.error("left_out")
        if words != self._left_out and self._link.throttle.ask(("left_out", self.name)) is not None:
            self._left_out = words
            _log.warning("%s: namerd gives an address that cannot be used: %s", self.name, words)

    def fail(self, cause: str, words: str, *, say: bool = True) -> None:
        """The attempt failed; said once until it changes, unless that was done already for all names together."""
        self._link.figures.error(cause)
        self.error, self.error_at = words, time()
        if not say or words == self._said or (unsaid := self._link.throttle.ask((cause,))) is None:
            return
        self._said = words
        kept = "nothing is known of it yet" if self.last_good_at is None else "what is known is kept"
        _log.warning("%s: %s: %s%s", self.name, words, kept, f" ({unsaid} more like this)" if unsaid else "")


def read_all(answer: Answer, until: float) -> list[Any]:
    """The last document, if there is one, of an answer that ends by `until` (time.monotonic seconds) and is no longer
    than a document may be. RequestFailed, WireError.
    """
    documents = JsonDocuments()
    newest: deque[Any] = deque(maxlen=1)
    count_bytes = 0
    while True:
        chunk = answer.read(until - monotonic())
        if chunk is None:
            raise RequestFailed("timeout", "the answer did not end in time")
        count_bytes += len(chunk)
        if count_bytes > MAX_DOCUMENT_BYTES:
            raise WireError(MAX_DOCUMENT_BYTES, f"an answer of at most {MAX_DOCUMENT_BYTES} bytes", "more")
        newest.extend(documents.feed(chunk) if chunk else documents.end())
        if not chunk:
            return list(newest)

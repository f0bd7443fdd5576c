"""What many clients watch, kept once for all of them: its live value, and the document that shows it."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, TypeAlias

from gevent.lock import RLock

from linkerd_tcp.interpreters.tracked import Read, Tracked
from linkerd_tcp.net.turns import Turns

IDLE_SECS: Final = 30.0
"""What nobody watches stays warm this long, for those who ask now and then: linkerd-tcp's example does every 20 s."""

MAX_IDLE: Final = 1_000
MAX_RENDERED: Final = 16
"""Documents kept of one topic."""


@dataclass(frozen=True, slots=True)
class Failure:
    """It cannot be known now; `words` say why, to the client."""

    words: str


State: TypeAlias = Any
"""A Failure, None for what is not known yet and not to be told, or what a topic of that kind shows."""


def _never(_: State) -> Hashable:
    return None


@dataclass(frozen=True, slots=True)
class Kind:
    """How topics of one kind come by their state and show it."""

    compute: Callable[[Read], State]
    """From watches, read through what it is given: it is called again when one of them changes."""
    render: Callable[[State], Iterable[str]]
    """In small pieces."""
    same: Callable[[State, State], bool] = lambda before, after: bool(before == after)
    """Whether those who saw `before` need not be told `after`."""
    epoch: Callable[[State], Hashable] = _never
    """What a choice by chance is for: where it changes, each client chooses again."""
    choose: Callable[[State, float], State] = lambda state, _seed: state
    """What of the state one client is shown, or None as in a state; `seed` is its own, from 0 to 1."""


class Topic:
    """One thing that is watched. `document` and `wait` belong into greenlets; all else may be called from the hub."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.version = 0
        """Grows when there is news."""
        self._computed = 0
        self._rendered: dict[int, tuple[State, bytes]] = {}
        """By the identity of what is shown, which is kept alive beside the document."""
        self._rendering = RLock()
        self._wakes: dict[Callable[[], object], None] = {}
        self.state: State = None
        """As it was computed last; those who saw one that is the same have not been told."""
        self._tracked: Tracked[State] = Tracked(self._compute, lambda _: True, self._same, lambda _: None)
        self._tracked.observe(self._changed)

    def epoch(self) -> Hashable:
        return None if self._is_silent(self.state) else self._kind.epoch(self.state)

    def shown(self, seed: float) -> State:
        """What of `state` a client with this `seed` is shown."""
        return self.state if self._is_silent(self.state) else self._kind.choose(self.state, seed)

    def document(self, shown: State) -> bytes:
        """That, as bytes; it is neither None nor a Failure. Rendered once for all who are shown the same."""
        with self._rendering:
            kept = self._rendered.get(id(shown))
            if kept is not None:
                return kept[1]
            computed, turns, parts = self._computed, Turns(), []
            for piece in self._kind.render(shown):
                parts.append(piece.encode("utf-8", "backslashreplace"))
                turns.rest()
            document = b"".join(parts)
            if computed == self._computed:  # else something that is shown has changed while others had their turn
                if len(self._rendered) >= MAX_RENDERED:
                    self._rendered.clear()
                self._rendered[id(shown)] = (shown, document)
            return document

    @contextmanager
    def heard_by(self, wake: Callable[[], object]) -> Iterator[None]:
        """`wake` at every change."""
        self._wakes[wake] = None
        try:
            yield
        finally:
            del self._wakes[wake]

    def refresh(self) -> None:
        """Look again: the watches that it is computed from are others now."""
        self._tracked.changed()

    def close(self) -> None:
        self._tracked.close()

    @staticmethod
    def _is_silent(state: State) -> bool:
        return state is None or isinstance(state, Failure)

    def _compute(self, read: Read) -> State:
        # Whatever it was, it may be part of what is shown, even if it is no news.
        self._rendered.clear()
        self._computed += 1
        self.state = self._kind.compute(read)
        return self.state

    def _same(self, before: State, after: State) -> bool:
        if self._is_silent(before) or self._is_silent(after):
            return bool(before == after)
        return self._kind.same(before, after)

    def _changed(self, _: State) -> None:
        self.version += 1
        for wake in tuple(self._wakes):
            wake()


class Topics:
    """Topics by key, each for as long as somebody uses it and IDLE_SECS more."""

    def __init__(self) -> None:
        self._used: dict[Hashable, tuple[Topic, int]] = {}
        self._idle: OrderedDict[Hashable, tuple[Topic, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used) + len(self._idle)

    def __iter__(self) -> Iterator[Topic]:
        return iter([topic for topic, _ in (*self._used.values(), *self._idle.values())])

    @contextmanager
    def use(self, key: Hashable, make: Callable[[], Kind]) -> Iterator[Topic]:
        """The topic of `key`, made if it is not there."""
        topic = self._take(key, make)
        try:
            yield topic
        finally:
            self._give_back(key)

    def _take(self, key: Hashable, make: Callable[[], Kind]) -> Topic:
        topic, uses = self._used.get(key, (None, 0))
        if topic is None:
            idle = self._idle.pop(key, None)
            topic = Topic(make()) if idle is None else idle[0]
        self._used[key] = (topic, uses + 1)
        return topic

    def _give_back(self, key: Hashable) -> None:
        topic, uses = self._used.pop(key)
        if uses > 1:
            self._used[key] = (topic, uses - 1)
            return
        self._idle[key] = (topic, monotonic() + IDLE_SECS)
        while len(self._idle) > MAX_IDLE:
            self._drop_oldest()

    def sweep(self) -> None:
        """Close what has been idle for too long. In a greenlet."""
        turns = Turns()
        while self._idle and next(iter(self._idle.values()))[1] <= monotonic():
            self._drop_oldest()
            turns.rest()

    def _drop_oldest(self) -> None:
        _, (topic, _) = self._idle.popitem(last=False)
        topic.close()

    def close(self) -> None:
        """Close those that nobody uses; the others when their users have left."""
        while self._idle:
            self._drop_oldest()
        for topic, _ in self._used.values():
            topic.close()

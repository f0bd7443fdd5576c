"""The control plane: dtabs in a store, bound over the namers of the file, for many who ask and watch."""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from random import random
from time import monotonic
from typing import Final

import gevent
from gevent.event import Event

from linkerd_tcp.controller.namespaces import Namespaces
from linkerd_tcp.controller.storage import Store
from linkerd_tcp.controller.topic import Failure, Kind, State, Topics
from linkerd_tcp.naming.namer import Namer
from linkerd_tcp.web.following import Follower

ANSWER_SECS: Final = 10.0
"""How long a request waits for what is not known yet."""

SWEEP_SECS: Final = 5.0

_log: Final = logging.getLogger(__name__)

Make = Callable[[Namespaces], Kind]


class Control:
    """Of one store and the namers that run. The store is another's to start and to close, and so are the namers."""

    def __init__(self, store: Store, namers: Sequence[Namer], utilities: Namer) -> None:
        self.topics = Topics()
        self.namespaces = Namespaces(store, namers, utilities, self._refresh)
        self._sweeper = gevent.spawn(self._sweep)

    @property
    def store(self) -> Store:
        return self.namespaces.store

    def switch(self, store: Store, namers: Sequence[Namer]) -> None:
        """Go on with these: whoever watches goes on watching, and hears only of what has changed. In a greenlet."""
        self.namespaces.switch(store, namers)

    def ask(self, key: Hashable, make: Make) -> bytes | Failure | None:
        """The document as it is now, or as soon as it is known; None if that is not within ANSWER_SECS."""
        until, seed, woken = monotonic() + ANSWER_SECS, random(), Event()
        with self.topics.use(key, lambda: make(self.namespaces)) as topic, topic.heard_by(woken.set):
            while True:
                woken.clear()
                shown = topic.shown(seed)
                if isinstance(shown, Failure):
                    return shown
                if shown is not None:
                    return topic.document(shown)
                if not woken.wait(max(0.0, until - monotonic())):
                    return None

    def settle(self, ns: str) -> bool:
        """Whether what is bound in `ns` goes by its dtab; waits until it does, since whoever wrote it expects that."""
        namespace = self.namespaces.held(ns)
        return namespace is None or bool(namespace.settled.wait(ANSWER_SECS))

    def follow(self, key: Hashable, make: Make, follower: Follower) -> Iterator[bytes]:
        """Each document in turn, until the client has gone; after a failure in words, the end.

        `follower` is closed at the end. Every client chooses by chance for itself (`Kind.choose`).
        """
        try:
            with self.topics.use(key, lambda: make(self.namespaces)) as topic, topic.heard_by(follower.wake):
                follower.start()
                version, seed, epoch, last = -1, random(), topic.epoch(), b""
                while not follower.gone:
                    if version == topic.version:
                        follower.wait()
                        continue
                    version = topic.version
                    if epoch != topic.epoch():
                        epoch, seed = topic.epoch(), random()
                    shown: State = topic.shown(seed)
                    if isinstance(shown, Failure):
                        yield (" ".join(shown.words.split()) + "\n").encode("utf-8", "backslashreplace")
                        return
                    document = last if shown is None else topic.document(shown)
                    if document is not last and document != last:
                        last = document
                        yield from follower.blocks(document)
        finally:
            follower.close()

    def _refresh(self, rest: Callable[[], object]) -> None:
        for topic in self.topics:
            try:
                topic.refresh()
            except Exception:  # noqa: BLE001  a namer of somebody else's must not end the news of all other names
                _log.exception("what is watched could not be computed anew")
            rest()

    def _sweep(self) -> None:
        while True:
            gevent.sleep(SWEEP_SECS)
            self.topics.sweep()

    def close(self) -> None:
        """Watch nothing any more. Those who follow are the server's to end, before."""
        self._sweeper.kill()
        self.topics.close()
        self.namespaces.close()

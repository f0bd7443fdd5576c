"""Changes of dtab files, one after another, by a greenlet of its own: whoever asks may go away meanwhile."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import gevent
from gevent.event import AsyncResult, Event

from linkerd_tcp.controller.storage import Exists, Mismatch, Missing, StoreError
from linkerd_tcp.controller.threads import NativeThread
from linkerd_tcp.naming.namer import NamerFigures

WRITE_SECS: Final = 15.0
"""The longest that somebody waits for a change: longer than the lock of another process is waited for."""

MAX_WAITING: Final = 1000

_NORMAL: Final = (Exists, Missing, Mismatch)


class Order:
    """One change of `ns`. Before it `begin` is called; `work` is done in a native thread and returns the new version;
    then, before whoever asked hears of it, `settle` is called with that, or with None if it was refused.
    """

    __slots__ = ("begin", "done", "given_up", "ns", "settle", "started", "work")

    def __init__(
        self,
        ns: str,
        begin: Callable[[], None],
        work: Callable[[], bytes],
        settle: Callable[[bytes | None], None],
    ) -> None:
        self.ns = ns
        self.begin = begin
        self.work = work
        self.settle = settle
        self.done = AsyncResult()
        self.started = False
        self.given_up = False


class Writer:
    """See the module. `what` is written, as a person would call it."""

    def __init__(self, what: str, figures: NamerFigures, log: logging.Logger) -> None:
        self._what = what
        self._figures = figures
        self._log = log
        self._orders: deque[Order] = deque()
        self._wake = Event()
        self._thread = NativeThread()
        self._greenlet: gevent.Greenlet | None = None
        self._said = ""
        self._closed = False

    def ask(self, order: Order) -> None:
        """Do it; returns when it is done and settled. StoreError."""
        if self._closed:
            raise StoreError(f"{self._what} is closed")
        if len(self._orders) >= MAX_WAITING:
            raise StoreError(f"{self._what}: {MAX_WAITING} changes wait to be written: nothing was changed, try later")
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)
            self._greenlet.name = f"write {self._what}"
        self._orders.append(order)
        self._wake.set()
        order.done.wait(WRITE_SECS)
        if not order.done.ready():
            order.given_up = True  # if it has not begun, it never will
            outcome = "it may still be written" if order.started else "nothing was changed"
            raise StoreError(f"{self._what}: no answer from the disk within {WRITE_SECS:g} s: {outcome}")
        order.done.get()

    def close(self) -> None:
        """Who waits gets StoreError. A change that is being written is finished, if the disk is quick about it."""
        self._closed = True
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill(block=gevent.getcurrent() is not gevent.get_hub())
        self._thread.close()
        while self._orders:
            self._orders.popleft().done.set_exception(StoreError(f"{self._what} is closed: nothing was changed"))

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._orders:
                order = self._orders.popleft()
                if not order.given_up:
                    self._do(order)

    def _do(self, order: Order) -> None:
        order.started = True
        refused: Exception | None = StoreError(f"{self._what} is closed: what was being written may be there or not")
        try:
            version, refused = self._try(order)
            order.settle(version)
        finally:  # also when `close` ends this greenlet
            if refused is None:
                order.done.set(None)
            else:
                order.done.set_exception(refused)

    def _try(self, order: Order) -> tuple[bytes | None, StoreError | None]:
        version: bytes | None = None
        refused: StoreError | None = None
        try:
            order.begin()
            version = self._thread.run(order.work)
        except StoreError as error:
            refused = error
        except Exception as error:  # noqa: BLE001  whatever it is, whoever asked hears of it
            self._log.exception("%s: the change of %s failed", self._what, order.ns)
            refused = StoreError(f"{self._what}: the change of {order.ns!r} failed: {error!r}")
        if not isinstance(refused, _NORMAL):
            self._say(refused)
        return version, refused

    def _say(self, refused: StoreError | None) -> None:
        """Once, until it changes."""
        words = "" if refused is None else str(refused)
        if refused is not None:
            self._figures.error("write")
        if words and words != self._said:
            self._log.warning("%s", words)
        elif self._said and not words:
            self._log.info("%s can be written again", self._what)
        self._said = words

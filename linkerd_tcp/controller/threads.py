"""Blocking work in a native thread, one piece after another, while the loop goes on."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import gevent
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

T = TypeVar("T")

CLOSE_SECS: Final = 2.0


class NativeThread:
    """One thread, begun when it is first needed. What hangs in it cannot be ended: `close` leaves it to itself."""

    def __init__(self) -> None:
        self._pool: ThreadPool | None = None
        self._job: AsyncResult | None = None

    def run(self, work: Callable[..., T], *args: Any) -> T:
        """What `work(*args)` returns or raises. Only for one greenlet at a time."""
        if self._pool is None:
            self._pool = ThreadPool(1)
        self._job = self._pool.spawn(_outcome, work, args)
        value, error = self._job.get()
        if error is not None:
            raise error
        result: T = value
        return result

    def close(self) -> None:
        """Once the greenlet that runs things here has ended: end the thread when its work is done, waiting CLOSE_SECS
        for that at most.
        """
        pool, self._pool = self._pool, None
        job = self._job
        if pool is None or job is None:
            return
        if gevent.getcurrent() is not gevent.get_hub():
            job.wait(CLOSE_SECS)
        if job.ready():
            pool.kill()
        else:
            job.rawlink(lambda _: pool.kill())


def _outcome(work: Callable[..., T], args: tuple[Any, ...]) -> tuple[T | None, BaseException | None]:
    """An exception as a value: the pool would print it."""
    try:
        return work(*args), None
    except BaseException as error:  # noqa: BLE001  it is raised again where the work was asked for
        return None, error

"""Waiting without a hub: for signals, for what children say, and for a time to come."""

import contextlib
import os
import select
import signal
from collections.abc import Collection
from typing import Any, Final

from gevent import monkey
from gevent._hub_local import get_hub_if_exists

from linkerd_tcp.workers.channel import Line

_poll = monkey.get_original("select", "poll")
_signal = monkey.get_original("signal", "signal")
_native_close = monkey.get_original("os", "close")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)

LONGEST_SECS: Final = 3600.0


class Pump:
    """Makes a wait of signals and of the channels' news. `close` where it was made, `forget` in a child."""

    def __init__(self) -> None:
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)
        # The interpreter writes each signal's number there, at the moment that it comes, also before poll has begun.
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._before = {number: _signal(number, _noted) for number in SIGNALS}

    def forget_hub(self) -> None:
        """End the hub, if importing or loading something has made one: libraries open a socket to see whether they can.

        A fork would take it along, and there it would go on with what it was at here.
        """
        hub = get_hub_if_exists()
        if hub is not None:
            hub.destroy(destroy_loop=True)
            for number in SIGNALS:
                _signal(number, _noted)  # its loop has taken SIGCHLD

    def wait(self, lines: Collection[Line], secs: float) -> list[int]:
        """Wait for a signal, for news of a line, or for `secs`; the signals. What lines say is in their inboxes."""
        news = _poll()
        news.register(self._woken, select.POLLIN)
        by_number = {line.fileno(): line for line in lines if not line.ended}
        for number, line in by_number.items():
            news.register(number, select.POLLIN | (select.POLLOUT if line.wants_write else 0))
        signals: list[int] = []
        for number, events in news.poll(max(0.0, min(secs, LONGEST_SECS)) * 1000):
            if number == self._woken:
                with contextlib.suppress(BlockingIOError):
                    signals += os.read(self._woken, 4096)
                continue
            if events & select.POLLOUT:
                by_number[number].flush()
            if events & ~select.POLLOUT:
                by_number[number].receive()
        return signals

    def forget(self) -> None:
        """In a child, which has handlers of its own."""
        _native_close(self._woken)
        _native_close(self._wake)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            _signal(number, before)
        self.forget()


def _noted(_number: int, _frame: Any) -> None:
    """The number is in the pipe already."""

"""A child process of the supervisor: its fork, what is known of it, how it ended."""

import contextlib
import os
import signal
import sys
import traceback
from _socket import socket as Socket
from collections.abc import Callable
from time import monotonic, time
from typing import Final, NoReturn

from gevent import monkey

from linkerd_tcp.workers.channel import Line, Message, pair
from linkerd_tcp.workers.fleet import WorkerState

# gevent's fork and waitpid, and its signal.signal for SIGCHLD, are for a process with a hub.
_fork = monkey.get_original("os", "fork")
_waitpid = monkey.get_original("os", "waitpid")
_signal = monkey.get_original("signal", "signal")

ADMIN: Final = -1
"""The admin process's place; workers' are 0 and up."""

LEFT_TO_THE_SUPERVISOR: Final = (signal.SIGINT, signal.SIGHUP)
"""A terminal sends these to all processes at once: the supervisor says what becomes of them."""

Life = Callable[[Socket], int]
"""What a child does with its end of the channel, to its exit status."""


class Child:
    """One process. `place` is a worker's number or ADMIN; what replaces it has the same."""

    def __init__(self, place: int, pid: int, line: Line) -> None:
        self.place = place
        self.pid = pid
        self.line = line
        self.started_at = time()
        self.born = monotonic()
        self.serving_since: float | None = None
        """time.monotonic seconds."""
        self.state: WorkerState = "starting"
        self.status: int | None = None
        """As waitpid gives it, once it has ended."""
        self.failure = ""
        """Why it could not start, in its own words."""
        self.unwanted = False
        """It was ended by the supervisor, which says so itself."""
        self.wants_to_leave = False
        self.prepared = False
        """Whether all of its start that can fail has been done."""
        self.deaf = False
        """Whether it listens no more, at the stop."""
        self.answers: dict[int, Message] = {}

    @property
    def name(self) -> str:
        return f"{name_of(self.place)} (pid {self.pid})"

    @property
    def gone(self) -> bool:
        return self.status is not None

    def kill(self) -> None:
        """At once, and unasked."""
        self.unwanted = True
        if not self.gone:
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> bool:
        """Whether it has just been found to have ended."""
        if self.gone:
            return False
        try:
            pid, status = _waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self.pid, 0  # somebody else waited for it
        if pid:
            self.status = status
            self.state = "gone"
        return bool(pid)

    def wait(self) -> None:
        """After `kill`: until it has gone, which takes no time worth a deadline."""
        if not self.gone:
            with contextlib.suppress(ChildProcessError):
                self.status = _waitpid(self.pid, 0)[1]

    def how_it_ended(self) -> str:
        """`was killed by SIGKILL`, `ended with status 1`."""
        assert self.status is not None
        if os.WIFSIGNALED(self.status):
            number = os.WTERMSIG(self.status)
            try:
                return f"was killed by {signal.Signals(number).name}"
            except ValueError:
                return f"was killed by signal {number}"
        return f"ended with status {os.WEXITSTATUS(self.status)}"


def name_of(place: int) -> str:
    return "the admin process" if place == ADMIN else f"worker {place}"


def fork(place: int, tidy: Callable[[], None], life: Life) -> Child:
    """A child that lives `life`, after `tidy` has closed there what is not for it. OSError if there can be none."""
    ours, theirs = pair()
    sys.stdout.flush()
    sys.stderr.flush()
    # Blocked, or a signal could reach the child while it still has the supervisor's handlers, and the supervisor would
    # take it for one of its own.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = _fork()
        if pid == 0:
            _live(ours, theirs, before, tidy, life)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return Child(place, pid, Line(ours))


def _live(
    ours: Socket, theirs: Socket, mask: set[int | signal.Signals], tidy: Callable[[], None], life: Life
) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        _signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (*LEFT_TO_THE_SUPERVISOR, signal.SIGTERM, signal.SIGUSR1):
            _signal(number, signal.SIG_IGN)  # the last two until `life` handles them
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ours.close()
        tidy()
        status = life(theirs)
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a second supervisor
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

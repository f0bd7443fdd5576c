"""Lines written at once, in a process that has no thread and no loop, and must not be held up either."""

import os
import select
from collections.abc import Mapping
from typing import Final

from gevent import monkey

from linkerd_tcp.net.lines import Reason

_poll = monkey.get_original("select", "poll")

MOST_BYTES: Final = select.PIPE_BUF
"""Of a line: as much is taken whole or not at all by a pipe, and other processes' lines stay out of it."""


class DirectLines:
    """Writes each line to `fd`; one that the target does not take just now is dropped and counted."""

    losing: Final = False
    """Nothing is kept to be written later, so nothing is waited for."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._dropped: dict[Reason, int] = {"stalled": 0, "disk_full": 0, "error": 0, "closed": 0}

    @property
    def dropped(self) -> Mapping[Reason, int]:
        return self._dropped

    def write(self, line: str) -> bool:
        """False if it was dropped. What is longer than MOST_BYTES is cut."""
        data = line.encode("utf-8", "backslashreplace")[: MOST_BYTES - 1] + b"\n"
        target = _poll()
        target.register(self._fd, select.POLLOUT)
        try:
            ready = [events for _, events in target.poll(0)]
            if ready and ready[0] & select.POLLOUT:
                # Room for PIPE_BUF is what POLLOUT says of a pipe, so this does not wait.
                return os.write(self._fd, data) == len(data)
        except OSError:
            self._dropped["error"] += 1
            return False
        self._dropped["stalled"] += 1
        return False

    def close(self, timeout_secs: float) -> bool:
        """Nothing waits here."""
        return True

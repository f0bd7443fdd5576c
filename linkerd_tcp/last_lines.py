"""The last lines of a process's log, for who looks at them in a browser instead of at its standard error."""

from collections import deque
from typing import Final, NamedTuple

MOST_LINES: Final = 500
MOST_WARNINGS: Final = 200
"""Of level `warning` and above, kept by themselves: a flood of debug lines cannot push them out."""

MOST_CHARS: Final = 4000
"""Of one line: a traceback is shorter. All in all some megabytes, if every line is as long."""


def printable(text: str) -> str:
    """`text` with all but visible characters and spaces escaped: control characters, line breaks, direction marks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """The same, line breaks left: for who gives each line a place of its own."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


class LogLine(NamedTuple):
    at: float
    """Seconds since the epoch."""
    level: str
    logger: str
    message: str
    """All visible characters but for line breaks, which a traceback has."""
    worker: str
    """A worker's number, `admin` or `supervisor`; empty where there is one process."""


class LastLine(NamedTuple):
    """As it was said; strangers' text may be in it."""

    at: float
    level: int
    logger: str
    message: str


class LastLines:
    """A bounded memory. `add` is for any thread and takes no lock; `after` is for one reader at a time or many."""

    __slots__ = ("_all", "_warnings", "_warnings_from")

    def __init__(self, warnings_from: int) -> None:
        """Lines of the level `warnings_from` and above are kept for longer."""
        self._all: deque[LastLine] = deque(maxlen=MOST_LINES)
        self._warnings: deque[LastLine] = deque(maxlen=MOST_WARNINGS)
        self._warnings_from = warnings_from

    def add(self, at: float, level: int, logger: str, message: str) -> None:
        line = LastLine(at, level, logger, message if len(message) <= MOST_CHARS else message[: MOST_CHARS - 1] + "…")
        self._all.append(line)
        if level >= self._warnings_from:
            self._warnings.append(line)

    def after(self, at: float = 0.0) -> list[LastLine]:
        """Those said later than `at`, the newest last."""
        # Each copy is one step of the interpreter: no other thread's `add` comes between.
        warnings, lines = list(self._warnings), list(self._all)
        here = {id(line) for line in lines}
        found = [line for line in warnings if id(line) not in here] + lines
        return [line for line in found if line.at > at]

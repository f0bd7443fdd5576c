"""Log levels by their words, and those that were changed while the program runs: since when, by whom, until when, and
the way back.
"""

import logging
from math import inf
from time import monotonic, time
from typing import Final, NamedTuple

from linkerd_tcp.last_lines import printable

TRACE: Final = 5
OFF: Final = logging.CRITICAL + 10
LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": OFF,
}
START: Final = "start"
"""In the place of a level: that which the logger had at the start."""

_WORDS: Final = {**LEVELS, "all": TRACE, "warn": logging.WARNING, "fatal": logging.CRITICAL}
_NAMES: Final = {number: word for word, number in LEVELS.items()}

MOST_SECS: Final = 86_400
"""A level for a time is for a day at most; what is wanted for longer is wanted until it is undone."""

OURS: Final = ("linkerd_tcp", "namers")
"""The loggers that a level with no name before it is for. Libraries are heard from `warning` on."""


def level_name(level: int) -> str:
    return _NAMES.get(level) or str(level)


def parse_level(word: str) -> int:
    """The number of `debug`, `WARN`, `off`, ...; ValueError naming those that there are."""
    level = _WORDS.get(word.strip().lower())
    if level is None:
        raise ValueError(f"{printable(word)!r} is no log level: {', '.join(LEVELS)}")
    return level


def parse_directives(text: str) -> tuple[dict[str, int], list[str]]:
    """`info,namers=trace` -> ({"": 20, "namers": 5}, []): levels by logger ("": all of ours), and what is wrong.

    The grammar is that of RUST_LOG: parts between commas, each `level`, `logger` (all it says) or `logger=level`;
    `linkerd_tcp::balancer` is linkerd_tcp.balancer. The last of two for one logger counts.
    """
    levels: dict[str, int] = {}
    complaints: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, word = (piece.strip() for piece in part.partition("="))
        if not equals and name.lower() in _WORDS:
            name, word = "", name
        name = name.replace("::", ".")
        if (equals or name) and not all(piece.isidentifier() for piece in name.replace("-", "_").split(".")):
            complaints.append(f"{printable(part)!r} is not understood: expected level, logger or logger=level")
            continue
        try:
            levels[name] = parse_level(word) if word else TRACE
        except ValueError as error:
            complaints.append(str(error))
    return levels, complaints


class Change(NamedTuple):
    level: int
    at: float
    """Seconds since the epoch."""
    by: str
    """The address that asked for it; empty if that is not known."""
    due: float | None = None
    """When it ends by itself, time.monotonic seconds, which all processes of a machine share."""

    @property
    def ends_at(self) -> float | None:
        """The same in seconds since the epoch."""
        return None if self.due is None else time() + self.due - monotonic()


class Changes:
    """Of all loggers of a process. Every method sets the levels themselves, too.

    A change for a time lies over one that lasts, and leaves it as it is. A process that is forked has its parent's.
    """

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        """What each logger had at the start, logging.NOTSET where it went by another."""
        self._lasting: dict[str, Change] = {}
        self._passing: dict[str, Change] = {}

    def set(self, logger: str, change: Change) -> None:
        self._first.setdefault(logger, logging.getLogger(logger).level)
        if change.due is None:
            self._passing.pop(logger, None)
            self._lasting[logger] = change
        else:
            self._passing[logger] = change
        self._apply(logger)

    def undo(self, logger: str) -> None:
        """As it was at the start."""
        self._passing.pop(logger, None)
        self._lasting.pop(logger, None)
        self._apply(logger)

    def of(self, logger: str) -> Change | None:
        """What is in force."""
        return self._passing.get(logger) or self._lasting.get(logger)

    @property
    def changed(self) -> list[str]:
        return sorted({*self._passing, *self._lasting})

    @property
    def next_due(self) -> float:
        """When the next one ends, time.monotonic seconds."""
        return min((change.due for change in self._passing.values() if change.due is not None), default=inf)

    def expire(self) -> list[str]:
        """End those that are due; the loggers whose they were."""
        now = monotonic()
        over = [logger for logger, change in self._passing.items() if change.due is not None and change.due <= now]
        for logger in over:
            del self._passing[logger]
            self._apply(logger)
        return over

    def apply(self) -> None:
        """Once more, where something else has set levels meanwhile."""
        for logger in self._first:
            self._apply(logger)

    def _apply(self, logger: str) -> None:
        change = self.of(logger)
        first = self._first.get(logger)
        if change is not None:
            logging.getLogger(logger).setLevel(change.level)
        elif first is not None:
            logging.getLogger(logger).setLevel(first)


def change_level(changes: Changes, logger: str, level: str, at: float, by: str, due: float | None) -> None:
    """Set `logger` to `level` or, for the word START, as it was; ValueError if there is no such level."""
    if level.strip().lower() == START:
        changes.undo(logger)
    else:
        changes.set(logger, Change(parse_level(level), at, by, due))

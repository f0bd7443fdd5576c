"""Rows of loggers and of lines of the log."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from linkerd_tcp.dashboard.cells import BAD, WARN, Cell, Row, age, clock, cut, mark, moment
from linkerd_tcp.last_lines import LogLine
from linkerd_tcp.levels import LEVELS, OURS, START, parse_level

SHOWN_AT_FIRST: Final = 200
MOST_SHOWN: Final = 1000
MOST_FILTER_CHARS: Final = 200
MOST_CHARS: Final = 300
"""Of a line; the whole is folded away below it."""

MOST_LOGGERS: Final = 1000

FILTERS: Final = ("trace", "debug", "info", "warning", "error")
_STATES: Final = {"warning": WARN, "error": BAD, "critical": BAD}


# -- lines


class Filter(NamedTuple):
    """Which lines: of this level and above, with this text in them."""

    level: str = "trace"
    text: str = ""
    after: float = 0.0
    limit: int = SHOWN_AT_FIRST

    @staticmethod
    def read(arguments: Mapping[str, str]) -> "Filter":
        """Of a request's; ValueError that says what is wrong with them."""
        level = arguments.get("level") or "trace"
        parse_level(level)
        text = arguments.get("text", "")
        if len(text) > MOST_FILTER_CHARS:
            raise ValueError(f"text has at most {MOST_FILTER_CHARS} characters")
        try:
            after, limit = float(arguments.get("after") or 0.0), int(arguments.get("limit") or SHOWN_AT_FIRST)
        except ValueError:
            raise ValueError("after is a time in seconds since the epoch, limit a number of lines") from None
        if not 0 <= limit <= MOST_SHOWN:
            raise ValueError(f"limit is a number of lines from 0 to {MOST_SHOWN}")
        return Filter(level.lower(), text, after, limit)

    def of(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        least, text = parse_level(self.level), self.text.casefold()
        for line in lines:
            if line.at > self.after and _number(line.level) >= least and (not text or text in _searched(line)):
                yield line


def _number(level: str) -> int:
    return LEVELS.get(level) or (int(level) if level.isdecimal() else 0)


def _searched(line: LogLine) -> str:
    return f"{line.logger} {line.worker} {line.message}".casefold()


def line_row(line: LogLine, now: float) -> Row:
    """`folded` are the lines of a message that is too long to be shown at once."""
    first, *rest = line.message.split("\n")
    state = _STATES.get(line.level)
    is_long = bool(rest) or len(first) > MOST_CHARS
    level: Cell = mark(line.level, state) if state else line.level
    return {
        "at": {"text": _time_of(line.at, now), "value": moment(line.at), "title": moment(line.at)},
        "level": level,
        "who": worker_name(line.worker),
        "logger": cut(line.logger, 60),
        "message": cut(first, MOST_CHARS),
        "folded": [cut(each, len(each)) for each in line.message.split("\n")] if is_long else [],
    }


def _time_of(at: float, now: float) -> str:
    """With the day, where that is another one."""
    day = "" if int(at // 86_400) == int(now // 86_400) else f"{moment(at)[:10]} "
    return f"{day}{clock(at)[:8]}.{int(at % 1 * 1000):03d}"


def worker_name(worker: str) -> str:
    """`worker 1`, `admin`."""
    return f"worker {worker}" if worker.isdecimal() else worker


def line_json(line: LogLine) -> dict[str, Any]:
    return line._asdict()


# -- loggers


def level_rows(levels: Iterable[dict[str, Any]], now: float) -> list[Row]:
    """All of them, as /logging.json has them."""
    return [_level_row(level, now) for level in list(levels)[:MOST_LOGGERS]]


def own_rows(rows: Iterable[Row]) -> list[Row]:
    """Those that have a level of their own: the others go by them."""
    return [row for row in rows if row["own"]]


def _level_row(level: dict[str, Any], now: float) -> Row:
    logger, source = level["logger"], level.get("from", level["logger"])
    changed_at = level.get("changedAt")
    return {
        "key": logger,
        "own": source == logger or changed_at is not None or logger in ("root", *OURS),
        "logger": cut(logger),
        "name": cut(logger),
        "level": level["level"],
        "from": "its own" if source == logger else f"as {cut(source)}",
        "changed": "no" if changed_at is None else _change(level, now),
        "unchanged": "" if changed_at is not None else "hidden",
    }


def _change(level: dict[str, Any], now: float) -> Cell:
    at, by, ends_at = level["changedAt"], level.get("changedBy"), level.get("endsAt")
    who = f" by {cut(by)}" if by else ""
    end = "back at restart" if ends_at is None else f"back in {age(ends_at - now + 0.5)}, at {clock(ends_at)}"
    return {"text": f"at {clock(at)}{who}; {end}", "value": moment(at)}


def back_at_start(logger: str) -> dict[str, str]:
    """What is posted to undo."""
    return {"logger": logger, "level": START}

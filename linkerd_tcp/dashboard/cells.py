"""What a person reads, as text: figures with their unit, ages, and strangers' names made harmless.

A cell is a text, or a text with what belongs to it (`Cell`). Its exact value goes with it, so that a copy or a test
gets 123456 where a person reads 123 k.
"""

from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, TypedDict

MOST_CHARS: Final = 200
NOTHING: Final = "—"
"""There is nothing to say. A zero is said only of what was counted."""

GOOD, WARN, BAD, OFF = "good", "warn", "bad", "off"
"""How it stands: each has a shape and a colour, and comes with a word."""


class Full(TypedDict, total=False):
    """`text` is always there."""

    text: str
    value: float | str
    """The exact value, of a figure or a time."""
    state: str
    title: str
    href: str


Cell: TypeAlias = str | Full
Row: TypeAlias = dict[str, Any]
"""`key`, which says who it is from one moment to the next, and cells by name."""

_STEPS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float | None) -> Cell:
    """`1 234`, `12.3 k`, `4.56 M`; three figures are enough to look at."""
    if value is None:
        return NOTHING
    return {"text": _short(value), "value": value}


def rate(per_second: float | None) -> Cell:
    """As a number; under ten with one decimal, and a trace of something is not nothing."""
    if per_second is None:
        return NOTHING
    if 0 < per_second < 0.1:
        return {"text": "< 0.1", "value": per_second}
    text = f"{per_second:.1f}" if 0 < per_second < 10 else _short(per_second)
    return {"text": text, "value": per_second}


def size(value: float | None) -> Cell:
    """Bytes: `512 B`, `12.3 kB`, `4.56 GB`."""
    if value is None:
        return NOTHING
    text = _short(value)
    return {"text": f"{text}B" if text[-1].isalpha() else f"{text} B", "value": value}


def _short(value: float) -> str:
    if -999.5 < value < 999.5:
        return str(round(value))
    for step, letter in _STEPS:
        if abs(value) >= step * 0.9995 and abs(value) >= 10_000:
            return f"{_three(value / step)} {letter}"
    return f"{round(value):,}".replace(",", "\u202f")


def _three(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def seconds(value: float | None) -> Cell:
    """A duration: `0.4 ms`, `12 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if value is None:
        return NOTHING
    return {"text": duration(value), "value": value}


def duration(value: float) -> str:
    if value < 0.0995:
        return f"{value * 1e3:.1f} ms" if value < 0.00995 else f"{value * 1e3:.0f} ms"
    if value < 0.9995:
        return f"{value * 1e3:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    return _parts(round(value))


def _parts(whole: int) -> str:
    minutes, secs = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min {secs} s" if secs else f"{minutes} min"


def age(value: float) -> str:
    """How long, as one says it: whole seconds, then minutes, hours, days; one unit."""
    whole = max(int(value), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * length or (whole >= length and unit != "min"):
            return f"{whole // length} {unit}"
    return f"{whole} s"


def ago(at: float | None, now: float) -> Cell:
    """`4 min ago` of a moment in seconds since the epoch, the moment itself with it."""
    if at is None:
        return NOTHING
    return {"text": f"{age(now - at)} ago", "value": moment(at), "title": moment(at)}


def clock(at: float) -> str:
    """`02:13:41 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def moment(at: float) -> str:
    """`2026-01-31T02:13:41Z`, as a `time` element has it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def mark(text: str, state: str, title: str = "") -> Full:
    """A word that says how something stands."""
    cell: Full = {"text": text, "state": state}
    if title:
        cell["title"] = title
    return cell


def cut(text: str, most: int = MOST_CHARS) -> str:
    """At most `most` characters of `text`, what cannot be seen escaped: direction marks and controls of strangers."""
    short = text if len(text) <= most else text[: most - 1] + "…"
    if short.isprintable():
        return short
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in short)


def causes(counts: dict[str, int]) -> str:
    """`refused 41, timeout 3`, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{cause} {times:,}".replace(",", "\u202f") for cause, times in ordered if times) or NOTHING

"""A text to attach to a bug report: versions, state, figures, configuration, log. Bounded, and without secrets.

The configuration is what /config.json shows: names of files and never what is in them. Whatever looks like credentials
in an address is left out everywhere, also of lines of the log.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from linkerd_tcp.config.lines import yaml_lines
from linkerd_tcp.dashboard.about import about, libraries
from linkerd_tcp.dashboard.cells import age, cut, moment
from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.dashboard.log_rows import SHOWN_AT_FIRST, worker_name
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.last_lines import LogLine
from linkerd_tcp.record import address_text

MOST_BYTES: Final = 256 * 1024
"""Of each part; there are six."""

MOST_CHARS: Final = 1000
"""Of a line."""

READ_IT: Final = (
    "Read it before you send it: it names your addresses, services and files. It has no keys and no passwords."
)

_ONE: Final = {
    "routers": "router", "servers": "server", "destinations": "destination", "endpoints": "endpoint", "namers": "namer",
    "watches": "watch", "certificates": "certificate", "workers": "worker", "drains": "drain",
}  # fmt: skip

_USER_INFO: Final = re.compile(r"://[^/\s\"']*@")


def report(shown: Shown) -> Iterator[str]:
    """In pieces, each a line at most."""
    frame = shown.frame()
    said = shown.log_lines()
    parts: list[tuple[str, Iterable[str]]] = [
        ("Program", _program(shown, frame)),
        ("State", _state(frame)),
        ("Figures", _shape({key: frame[key] for key in ("routers", "namers", "certificates")})),
        ("Configuration", (line.text for line in yaml_lines(shown.config))),
        ("Log", _log(said.lines, said.missing)),
    ]
    return _written(frame["at"], parts)


def _written(at: float, parts: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    yield f"linkerd-tcp, a report of {moment(at)}\n{READ_IT}\n"
    for title, lines in parts:
        yield f"\n== {title}\n\n"
        for line in _bounded(lines):
            yield f"{clean(line)}\n"


def clean(line: str) -> str:
    """One line that a terminal can be shown, without credentials."""
    return cut(_USER_INFO.sub("://", line), MOST_CHARS)


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    left = MOST_BYTES
    for line in lines:
        left -= min(len(line), MOST_CHARS) + 1
        if left < 0:
            yield "... and more, which is left out here"
            return
        yield line


def _program(shown: Shown, frame: Frame) -> Iterator[str]:
    for what, which in about():
        yield f"{what}: {which}"
    yield f"Libraries: {', '.join(libraries())}"
    yield f"Workers: {shown.config.workers}"
    yield f"Process: {shown.pid}, up {age(frame['at'] - frame['startedAt'])}"
    yield f"Descriptors for connections: {frame['descriptors']} of {frame['mostDescriptors']}"
    yield f"Admin: {address_text(shown.address)}{', read only' if frame['readOnly'] else ''}"
    for label, address in shown.listening:
        yield f"Listening: {address} for {label}"


def _state(frame: Frame) -> Iterator[str]:
    yield "stopping" if frame["stopping"] else "ready" if frame["ready"] else "not ready"
    yield from frame["remarks"]
    reload = frame["reload"]
    yield f"last reload or start: {'good' if reload['ok'] else 'refused'}, {moment(reload['at'])}"
    yield from (f"  {error}" for error in reload["errors"])
    yield from _shape({"workers": frame["workers"], "drains": frame["drains"]})


def _shape(value: Mapping[str, Any], indent: int = 0, head: str = "") -> Iterator[str]:
    """JSON as lines to read: what holds no other objects is one line."""
    blank = " " * indent
    plain = {key: each for key, each in value.items() if not _is_deep(each)}
    words = " ".join(f"{key}={json.dumps(each, default=str)}" for key, each in plain.items())
    if head or words:
        yield f"{blank}{head}{words}"
    for key, each in value.items():
        if key in plain:
            continue
        if isinstance(each, Mapping):
            yield from _shape(each, indent + 2, f"{key}: ")
        else:
            for one in each:
                yield from _shape(one, indent + 2, f"{_ONE.get(key, key)}: ")


def _is_deep(value: Any) -> bool:
    """Whether there are objects in it that get lines of their own."""
    return (isinstance(value, list) and any(isinstance(each, Mapping) for each in value)) or (
        isinstance(value, Mapping) and any(isinstance(each, Mapping | list) for each in value.values())
    )


def _log(lines: list[LogLine], missing: Mapping[str, str]) -> Iterator[str]:
    for who, why in missing.items():
        yield f"(without the lines of {who}: {why})"
    kept, left = [], MOST_BYTES
    for line in reversed(lines[-SHOWN_AT_FIRST:]):
        said = list(_said(line))
        left -= sum(min(len(each), MOST_CHARS) + 1 for each in said)
        if left < 0:
            yield "(older ones are left out here)"
            break
        kept.append(said)
    for said in reversed(kept):
        yield from said
    if not lines:
        yield "(no line yet)"


def _said(line: LogLine) -> Iterator[str]:
    who = f" [{worker_name(line.worker)}]" if line.worker else ""
    first, *rest = line.message.split("\n")
    yield f"{moment(line.at)} {line.level.upper()} {line.logger}{who} {first}"
    yield from (f"    {each}" for each in rest)

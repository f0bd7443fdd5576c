"""What the delegator's page shows, of a dtab, a text to try in its place, and a path."""

from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Any, Final

from werkzeug.exceptions import HTTPException

from linkerd_tcp.dashboard.cells import BAD, GOOD, WARN, Cell, mark
from linkerd_tcp.dashboard.dtab_text import MOST_CHARS, Spot, Text, spot
from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.dashboard.overview_rows import standing
from linkerd_tcp.dashboard.sentence import summary
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.dashboard.sources import ROUTER, Source, Sources, words_of
from linkerd_tcp.dashboard.tree import Tree, tree
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.turns import Turns

MOST_PATH_CHARS: Final = 8192
MOST_PATHS: Final = 100
"""Offered to choose from."""

FRESH_SECS: Final = 1.0

IN_USE: Final = "In use"
EDITED: Final = "Edited here: not used for traffic"


class Views:
    """Makes them. To be called in a greenlet."""

    def __init__(self, shown: Shown) -> None:
        self.sources = Sources(shown)
        self._shown = shown
        self._frame: tuple[float, Frame | None] = (-inf, None)

    def view(self, source: Source, path: str, text: str | None) -> dict[str, Any]:
        """`text` is tried in the place of the source's own, or behind it; None: what is in use.

        `summary`, `badge` (cells), `rows` and `more` (the tree), `lines` and `moreLines` (the text), `error` (what is
        wrong, and with what), `pending`. Without `rows` there is no answer to this text.
        """
        turns = Turns()
        read = Text(source.text if text is None else text[: MOST_CHARS + 1], turns.rest)
        is_used = text is None or _says_the_same(read, source, turns)
        base = {
            "badge": badge(source, is_used),
            "error": None,
            "pending": False,
            "rows": None,
            "more": "",
            "summary": "",
        }
        if read.error is not None:
            return {**base, **_lines(read, set()), "error": _error("dtab", read.error)}
        if not path.strip():
            return {
                **base,
                **_lines(read, set()),
                "rows": [],
                "summary": "Type a path, as /svc/web, to see where it leads.",
            }
        try:
            name = _path(path)
        except DtabError as error:
            return {**base, **_lines(read, set()), "error": _error("path", spot(error))}
        try:
            shape = self.sources.delegation(source, name, None if is_used else read.dtab, read.text)
        except HTTPException as error:
            return {**base, **_lines(read, set()), "rows": [], "summary": mark(words_of(error), BAD)}
        drawn = tree(shape, read.numbers, self._states(source))
        return {
            **base,
            **_lines(read, drawn.used),
            "summary": summary(shape, str(name), is_used),
            "rows": drawn.rows,
            "more": _more(drawn),
            "pending": drawn.pending,
        }

    def paths(self, source: Source) -> list[str]:
        """Those that connections came for lately."""
        frame = self._now()
        if frame is None or source.kind != ROUTER:
            return []
        found = [
            path
            for router in frame["routers"]
            if router["label"] == source.name
            for destination in router["destinations"]
            for path in destination["paths"]
        ]
        return list(dict.fromkeys(found))[:MOST_PATHS]

    def _states(self, source: Source) -> dict[str, dict[str, Cell]]:
        """How the balancers of a router find its endpoints; for a namespace, those of any router here."""
        frame = self._now()
        if frame is None:
            return {}
        drains = {(each["bound"], each["address"]): each for each in frame["drains"]}
        states: dict[str, dict[str, Cell]] = {}
        for router in frame["routers"]:
            if source.kind == ROUTER and router["label"] != source.name:
                continue
            for destination in router["destinations"]:
                bound = destination["bound"]
                known = states.setdefault(bound, {})
                for endpoint in destination["endpoints"]:
                    state, note, then = standing(endpoint, drains.get((bound, endpoint["address"])), frame["at"])
                    known[endpoint["address"]] = _with(state, note, then)
        return states

    def _now(self) -> Frame | None:
        """The frame of now, or of a second ago: who types asks several times a second."""
        at, frame = self._frame
        if monotonic() - at >= FRESH_SECS:
            try:
                frame = self._shown.frame()
            except HTTPException:
                frame = None  # no worker answers: nothing is known of endpoints
            self._frame = (monotonic(), frame)
        return frame


def badge(source: Source, is_used: bool) -> Cell:
    if not is_used:
        return mark(EDITED, WARN)
    if not source.replaces:
        return mark(IN_USE, GOOD, "no entry is added here")
    return mark(IN_USE, GOOD)


def _with(state: Cell, *notes: str) -> Cell:
    said = ", ".join(note for note in notes if note)
    if not said or isinstance(state, str):
        return state
    return {**state, "text": f"{state['text']} {said}"}


def _says_the_same(read: Text, source: Source, turns: Turns) -> bool:
    """Whether the text is what is in use, comments and blanks aside."""
    if read.error is not None:
        return False
    return read.dtab == (Text(source.text, turns.rest).dtab if source.replaces else Dtab())


def _path(text: str) -> Path:
    if len(text) > MOST_PATH_CHARS:
        raise DtabError(f"at most {MOST_PATH_CHARS} characters", text, MOST_PATH_CHARS)
    return Path.read(text.strip())


def _lines(read: Text, used: set[int]) -> dict[str, Any]:
    rows, more = read.lines(used)
    return {"lines": rows, "moreLines": f"and {more} more lines" if more else ""}


def _error(field: str, wrong: Spot) -> Mapping[str, Any]:
    words = wrong.words if field == "dtab" else wrong.words.partition(", ")[2]
    return {
        "field": field,
        "words": words[0].upper() + words[1:],
        "start": wrong.start,
        "end": wrong.end,
        "line": wrong.line,
    }


def _more(drawn: Tree) -> str:
    return f"and {drawn.more} more steps, which /delegator.json has" if drawn.more else ""

"""`io.l5d.rewrite`: a path made from the parts of another."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from linkerd_tcp.config.fields import PathText, PatternText, marked, refuse
from linkerd_tcp.config.namers import NamerOptions
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.name import Found
from linkerd_tcp.naming.namer import NamerContext, NamerFigures, WatchState
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.pattern import PathPattern, substitute
from linkerd_tcp.naming.watch import Var, Watch

KIND: Final = "io.l5d.rewrite"

_CAPTURE: Final = re.compile(r"\{([^{}]*)\}")


class RewriteConfig(NamerOptions):
    """Paths that match `pattern` become `name`."""

    kind: Literal["io.l5d.rewrite"] = KIND
    prefix: PathText
    """What follows `/#` in the paths that reach this namer."""
    pattern: PatternText
    """What follows the prefix begins like this: `/{a}/*/{b}`."""
    name: Annotated[str, Field(min_length=1, max_length=4096)]
    """The path instead, with what was captured put in: `/svc/{b}/{a}`. What is left of the old one is dropped."""

    @model_validator(mode="after")
    def _name_is_a_path(self) -> "RewriteConfig":
        for match in _CAPTURE.finditer(self.name):
            if match[1] not in self.pattern.names:
                there = ", ".join(f"{{{name}}}" for name in sorted(self.pattern.names)) or "none"
                refuse(f"the pattern captures no {match[0]} (it captures {there})", match.start(), key="name")
        # Letters as long as the braces were: a mistake has the same place in both.
        text = _CAPTURE.sub(lambda match: "x" * len(match[0]), self.name)
        try:
            Path.read(text)
        except DtabError as error:
            refuse(f"not a path: {marked(DtabError(error.expected, self.name, error.offset))}", error.offset, "name")
        return self

    def build(self, _context: NamerContext) -> "RewriteNamer":
        return RewriteNamer(self.prefix, self.pattern, self.name)


class RewriteNamer:
    """A path that does not match, or makes no path, is Neg. What it answers with goes through the dtab again."""

    kind = KIND

    def __init__(self, prefix: Path, pattern: PathPattern, name: str) -> None:
        self.prefix = prefix
        self.figures = NamerFigures()
        self._pattern = pattern
        self._name = name

    def start(self) -> None:
        """Nothing to begin."""

    def lookup(self, path: Path) -> Watch[Found]:
        captures = self._pattern.match(path)
        if captures is None:
            return Var[Found](NEG)
        try:
            return Var[Found](Leaf(Path.read(substitute(self._name, captures))))
        except DtabError:
            return Var[Found](NEG)  # a capture that is one half of an escaped byte

    def watches(self) -> Sequence[WatchState]:
        """None: nothing outside is asked."""
        return ()

    def close(self) -> None:
        """Nothing to end."""

"""Where a configuration was written: the file's name, and where in it each key stands."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from linkerd_tcp.config.document import Document


class Written(NamedTuple):
    """A text as the file has it, comments included, and `file:line` of its beginning."""

    text: str
    place: str


class Origin:
    """Kept beside a configuration. All are equal: a moved line changes nothing that is configured."""

    __slots__ = ("document", "dtabs", "name", "read_at")

    def __init__(self, name: str = "configuration", document: "Document | None" = None) -> None:
        self.name = name
        self.document = document
        self.read_at: float | None = None
        """Seconds since the epoch."""
        self.dtabs: dict[str, Written] = {}
        """By the label of the router."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0

    def line(self, loc: tuple[Any, ...], words: str, *, at_key: bool = True, offset: int = -1) -> str:
        """`file:line:column: key.path: words`; without a document, as for defaults, `file: key.path: words`."""
        key = f"{dotted(loc)}: " if loc else ""
        if self.document is None:
            return f"{self.name}: {key}{words}"
        line, column = self.document.spot(loc, at_key=at_key, offset=offset)
        return f"{self.name}:{line}:{column}: {key}{words}"


def dotted(loc: tuple[Any, ...]) -> str:
    """`routers[0].servers[1].port`; a key that is no plain word is quoted: `identities["*.example.com"].certs`."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("-", "_").isidentifier():
            text += f".{part}" if text else part
        else:
            text += '["' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in part[:80]) + '"]'
    return text

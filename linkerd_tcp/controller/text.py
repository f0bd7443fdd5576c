"""A dtab as the text of a file, and back, in short turns: a long one must not hold up the connections of the loop."""

from linkerd_tcp.controller.storage import MAX_DTAB_BYTES, TooLarge
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.nametree import show
from linkerd_tcp.net.turns import Turns


class NoDtab(ValueError):
    """What is in a file is no dtab; the text is `file:line:column: ...`, for people."""


def to_bytes(dtab: Dtab) -> bytes:
    """An entry a line. TooLarge above MAX_DTAB_BYTES."""
    turns = Turns()
    lines: list[str] = []
    size = 0
    for entry in dtab:
        line = f"{entry.prefix} => {show(entry.dst)} ;\n"
        size += len(line)
        if size > MAX_DTAB_BYTES:
            raise TooLarge(f"a dtab may have {MAX_DTAB_BYTES} bytes, an entry a line: this one has more")
        lines.append(line)
        turns.rest()
    return "".join(lines).encode()


def from_bytes(data: bytes, shown: str) -> Dtab:
    """The dtab in the file that is called `shown`. NoDtab."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise NoDtab(f"{shown}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8") from None
    turns = Turns()
    entries = []
    try:
        for entry in Dtab.entries(text):
            entries.append(entry)
            turns.rest()
    except DtabError as error:
        raise NoDtab(_marked(error, shown)) from None
    return Dtab(entries)


def _marked(error: DtabError, shown: str) -> str:
    """`web.dtab:2:6: expected '>', got '/'`: only the spot, since a dtab may have thousands of lines."""
    before = error.text[: error.offset]
    line = before.count("\n") + 1
    column = error.offset - before.rfind("\n")
    found = error.text[error.offset : error.offset + 1]
    got = "the end" if not found else "the end of the line" if found == "\n" else repr(found)
    return f"{shown}:{line}:{column}: expected {error.expected}, got {got}"

"""A dtab as the text of a file. The other way is `interpreters.dtab_file.read_dtab`."""

from typing import Final

from linkerd_tcp.controller.storage import MAX_DTAB_BYTES, TooLarge
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.nametree import show
from linkerd_tcp.net.turns import Turns

EMPTY: Final = b"# no entries\n"
"""A file without a word is taken for what a full disk has left."""


def to_bytes(dtab: Dtab) -> bytes:
    """An entry a line. TooLarge above MAX_DTAB_BYTES. In turns: not to be called from the hub."""
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
    return "".join(lines).encode() or EMPTY

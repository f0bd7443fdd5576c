"""The corpus of PROXY headers: X.bin is what arrives, X.txt what is to be thought of it.

A text is one line of meaning, `The text: ...` (what the specification says to do), `This parser: ...` (what `told`
returns, or the whole error) and, one a line, what other receivers did with the same bytes: accept, real (accepted, real
addresses), unix (accepted, with the paths), refuse, or wait (for ever, as if more were to come).
"""

from dataclasses import dataclass
from pathlib import Path

from linkerd_tcp.wire.proxy_protocol import Parsed

CORPUS = Path(__file__).parent / "corpus" / "proxy_protocol"


@dataclass(frozen=True)
class Case:
    """One header. `verdicts` are the lines of its text but the first."""

    name: str
    data: bytes
    verdicts: dict[str, str]

    @property
    def ours(self) -> str:
        return self.verdicts["This parser"]


def cases(folder: str) -> list[Case]:
    found = []
    for file in sorted((CORPUS / folder).glob("*.bin")):
        lines = file.with_suffix(".txt").read_text("utf-8").splitlines()[1:]
        found.append(Case(file.stem, file.read_bytes(), dict(line.split(": ", 1) for line in lines)))
    assert found
    return found


def told(parsed: Parsed) -> str:
    """All that a header says, in one line."""
    ends = "real addresses"
    if parsed.source and parsed.destination:
        ends = "{} {} -> {} {}".format(*parsed.source, *parsed.destination)
    kind = f"{parsed.command.name} {parsed.family.name} {parsed.transport.name}"
    parts = [f"{parsed.header_length} bytes", f"version {parsed.version}", kind, ends]
    return ", ".join(parts + [repr(tlv) for tlv in parsed.tlvs])


def verdict(case: Case) -> str:
    """What is done with the header here, in the words that are used for the others."""
    if case.ours.startswith("byte "):
        return "refuse"
    return "real" if "real addresses" in case.ours else "accept"

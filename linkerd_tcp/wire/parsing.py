"""The words that every parser of wire/ answers with.

A parser is a function of the bytes seen so far, from the first one, and keeps no state: it answers its own `Parsed`,
or `Incomplete`, or raises `WireError`. Nothing else comes out, whatever goes in, and bytes behind the message are
never looked at. Called again with more bytes it starts anew, so every parser bounds the length it can ask for.
"""

from dataclasses import dataclass

from linkerd_tcp.errors import LinkerdTcpError


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A true prefix of a valid message, as far as that can be told.

    `need` is a number of bytes counted from the start of the message: larger than what was given, at most the
    parser's maximum, and never beyond the message's end, so a reader may sleep until that many are there
    (SO_RCVLOWAT). When they are, the answer may be another Incomplete.
    """

    need: int


class WireError(LinkerdTcpError, ValueError):
    """Bytes that no continuation makes valid.

    `offset` is the index of the first byte of what is wrong, counted from the start of the message; `expected` says
    what the specification has there and `found` what came instead, in printable ASCII whatever a peer sends.
    """

    def __init__(self, offset: int, expected: str, found: str) -> None:
        super().__init__(f"byte {offset}: expected {expected}, found {found}")
        self.offset = offset
        self.expected = expected
        self.found = found

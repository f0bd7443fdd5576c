"""What can go wrong, in words for an operator, and the short list of causes that failures are counted under.

Builtin exceptions are used wherever they say enough; a class here exists because somebody catches it.
"""

from enum import StrEnum
from typing import Final, final


@final
class Cause(StrEnum):
    """Why a connection ended; the `cause` label of every metric, record and access-log line.

    The first two are the normal ends (who sent FIN first) and are not failures.
    """

    CLIENT_CLOSED = "client_closed"
    ENDPOINT_CLOSED = "endpoint_closed"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    NO_ENDPOINT = "no_endpoint"
    NOT_FOUND = "not_found"
    BINDING = "binding"
    PENDING = "pending"
    DENIED = "denied"
    LIMIT = "limit"
    TLS = "tls"
    PROXY_PROTOCOL = "proxy_protocol"
    IDENTIFY = "identify"
    IDLE = "idle"
    HALF_CLOSE = "half_close"
    LIFETIME = "lifetime"
    SHUTDOWN = "shutdown"
    CLOSED_BY_ADMIN = "closed_by_admin"
    OTHER = "other"

    @property
    def is_failure(self) -> bool:
        """False for the two normal ends."""
        return self not in _NORMAL


_NORMAL = frozenset({Cause.CLIENT_CLOSED, Cause.ENDPOINT_CLOSED})


class LinkerdTcpError(Exception):
    """Base of the errors that this package raises for its callers to catch."""


class ConfigError(LinkerdTcpError):
    """A configuration that cannot be used. `problems` are complete lines, ready to print."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StartError(LinkerdTcpError):
    """Something outside the file refused at start or reload: a taken port, a missing permission."""


class ConnectionFailed(LinkerdTcpError):
    """One connection cannot go on. `cause` is what it is counted under, the text is what its record says."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class DtabError(LinkerdTcpError, ValueError):
    """Text that is not a dtab, name tree or path.

    `text` is what was parsed, `offset` the index in it where `found` stood instead of `expected`;
    the message marks the spot as Finagle does: `'/foo[^]bar'`, with at most SPOT_CHARS of text on either side.
    """

    SPOT_CHARS: Final = 200

    def __init__(self, expected: str, text: str, offset: int) -> None:
        found = repr(text[offset])[1:-1] if offset < len(text) else "end of input"
        before, after = text[:offset], text[offset + 1 :]
        if len(before) > self.SPOT_CHARS:
            before = "..." + before[-self.SPOT_CHARS :]
        if len(after) > self.SPOT_CHARS:
            after = after[: self.SPOT_CHARS] + "..."
        spot = f"{before}[{text[offset : offset + 1]}]{after}"
        super().__init__(f"{expected} expected but {found} found at '{spot}'")
        self.expected = expected
        self.text = text
        self.offset = offset

"""Facts of a connection as phrases, which sentences are made of. Whatever strangers said is made harmless here."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from linkerd_tcp.dashboard import cells
from linkerd_tcp.dashboard.cells import BAD, GOOD, OFF, WARN, cut, duration
from linkerd_tcp.errors import Cause

Connection: TypeAlias = Mapping[str, Any]
"""As /connections.json has it."""

MOST_CHARS: Final = 1_000
"""Of a text in a story; in tables it is shorter."""

MOST_TRIED: Final = 3
"""Attempts that a sentence names."""


_MEANT: Final = {Cause.IDLE, Cause.HALF_CLOSE, Cause.LIFETIME, Cause.SHUTDOWN, Cause.CLOSED_BY_ADMIN}
"""Ends that were asked for here, by the configuration or by somebody."""


def outcome(connection: Connection) -> cells.Full:
    """A word, and how it stands."""
    cause = connection["cause"]
    if connection["state"] == "open":
        return cells.mark("open", GOOD) if is_connected(connection) else cells.mark("connecting", WARN)
    word = (cause or Cause.OTHER).replace("_", " ")
    if cause in (Cause.CLIENT_CLOSED, Cause.ENDPOINT_CLOSED):
        return cells.mark(word, OFF)
    return cells.mark(word, WARN if cause in _MEANT else BAD)


def is_connected(connection: Connection) -> bool:
    return any(step["what"] == "connected" for step in connection["steps"])


def said(value: Any) -> str:
    """A stranger's text, or what is told of one."""
    return cut(str(value), MOST_CHARS)


def moved(connection: Connection) -> str:
    """`1.2 kB in, 80 kB out`: from the client, and to it."""
    return f"{_size(connection['rxBytes'])} in, {_size(connection['txBytes'])} out"


def did(error: str | None, seconds: float) -> str:
    """What an endpoint did when it was tried."""
    took = took_text(seconds)
    match error:
        case None:
            return f"connected in {took}" if seconds else "a connection that was kept ready"
        case Cause.REFUSED:
            return f"refused after {took}"
        case Cause.TIMEOUT:
            return f"no answer within {took}"
        case Cause.RESET:
            return f"broke off after {took}"
        case Cause.UNREACHABLE:
            return f"cannot be reached (after {took})"
        case Cause.TLS:
            return f"the TLS handshake failed after {took}"
        case Cause.LIMIT:
            return f"could not be dialled, a limit of this machine was reached (after {took})"
        case _:
            return f"given up after {took} ({said(error)})"


def took_text(seconds: float) -> str:
    """Of what may take next to nothing, as a refusal on this machine does."""
    return duration(seconds) if seconds >= 0.00005 else "less than 0.1 ms"


def _size(value: int) -> str:
    cell = cells.size(value)
    return cell if isinstance(cell, str) else cell["text"]


def detail(connection: Connection, *prefixes: Any) -> str:
    """The words that go with the cause, without what the sentence has said already, and without a full stop."""
    text = said(connection["detail"] or "")
    for prefix in prefixes:
        if prefix is not None:
            text = text.removeprefix(said(prefix)).removeprefix(":").lstrip()
    return text.rstrip(".")


def after(connection: Connection) -> str:
    return f"after {duration(connection['ageSecs'])}"


def path_of(connection: Connection) -> str:
    return said(connection["path"] or "the destination")


def target(connection: Connection) -> str:
    """The path, and the name that it leads to."""
    bound = connection["bound"]
    return path_of(connection) if bound is None else f"{path_of(connection)}, bound to {said(bound)},"


def with_reason(sentence: str, reason: str) -> str:
    return f"{sentence}: {reason}." if reason else f"{sentence}."


def side_of(connection: Connection) -> tuple[str, str]:
    """Who broke an open connection, and how: of a detail as `client: Connection reset by peer`."""
    side, _, how = said(connection["detail"] or "").partition(": ")
    if side == "client":
        return f"client {said(connection['source'])}", how
    if side == "endpoint":
        return f"endpoint {said(connection['endpoint'] or '')}".rstrip(), how
    return "other side", said(connection["detail"] or "")


def failed(connection: Connection) -> list[Mapping[str, Any]]:
    return [attempt for attempt in connection["attempts"] if attempt["error"] is not None]


def listed(attempts: list[Mapping[str, Any]]) -> str:
    named = [f"{said(each['endpoint'])} {did(each['error'], each['seconds'])}" for each in attempts[:MOST_TRIED]]
    if len(attempts) > MOST_TRIED:
        named.append(f"and {len(attempts) - MOST_TRIED} more")
    return ", ".join(named)


def not_reached(connection: Connection, one: str, nothing: str) -> str:
    """`one` is what is said of a single attempt, behind the endpoint; `nothing`, where there was no attempt."""
    tried = failed(connection)
    if not tried or connection["endpoint"] is not None:
        # Nobody could be tried; or one was connected, and did not say what it should.
        return with_reason(nothing, detail(connection))
    if len(tried) > 1:
        return f"None of {len(tried)} attempts got through: {listed(tried)}."
    endpoint = said(tried[0]["endpoint"])
    took = took_text(tried[0]["seconds"])
    return f"{endpoint} {one.format(took=took)}: {detail(connection, endpoint) or 'it says no more'}."

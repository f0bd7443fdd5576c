"""The story of one connection of /connections.json: what happened when, why it ended, and what to do about it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from linkerd_tcp.dashboard.cells import BAD, GOOD, duration, moment
from linkerd_tcp.dashboard.explanation import Step, told
from linkerd_tcp.dashboard.phrases import Connection, did, is_connected, moved, outcome, said
from linkerd_tcp.dashboard.verdicts import verdict
from linkerd_tcp.errors import Cause
from linkerd_tcp.record import MAX_ATTEMPTS_KEPT

WAITED_SECS: Final = 0.001
"""A wait for a name that is worth telling."""


class Line(NamedTuple):
    """What happened `at` this many seconds after accept; None where that is not known."""

    at: float | None
    text: str
    state: str = ""


class Story(NamedTuple):
    verdict: str
    advice: str
    """Empty where nothing is to be done."""
    word: str
    state: str
    lines: list[Line]
    explanation: list[Step]
    """Of one that found no endpoint: each step of its delegation."""


def tell(connection: Connection, way: Sequence[str] = ()) -> Story:
    """`way` are the entries of the dtab that lead to where it is bound."""
    sentence, advice = verdict(connection)
    word = outcome(connection)
    explanation = connection["explanation"]
    return Story(
        sentence,
        advice,
        word["text"],
        word["state"],
        list(_lines(connection, way)),
        told(explanation) if explanation else [],
    )


def text(connection: Connection, story: Story) -> Iterator[str]:
    """All of it in lines of plain text."""
    yield f"Connection {connection['id']}: {story.word}"
    yield f"router {said(connection['router'])}, accepted {moment(connection['acceptedAt'])}"
    yield ""
    yield story.verdict
    if story.advice:
        yield story.advice
    yield ""
    times = [_plus(line.at) for line in story.lines]
    width = max(map(len, times))
    for time, line in zip(times, story.lines, strict=True):
        yield f"{time:>{width}}  {line.text}"
    if story.explanation:
        yield ""
        yield f"Where {said(connection['path'])} led:"
        for step in story.explanation:
            yield f"{'  ' * (step.depth + 1)}{step.text}"


def _plus(at: float | None) -> str:
    return "" if at is None else f"+{duration(at)}"


def _lines(connection: Connection, way: Sequence[str]) -> Iterator[Line]:
    yield from _before_routing(connection)
    identified = connection["identified"]
    if identified is not None:
        yield Line(identified["at"], _identified(connection, identified["by"]))
        yield from _connecting(connection, identified["at"], way)
    age = connection["ageSecs"]
    if connection["state"] == "open":
        yield Line(age, f"still open, {moved(connection)}" if is_connected(connection) else "not connected yet")
    else:
        yield Line(age, f"ended: {_end(connection)}", outcome(connection)["state"])


def _before_routing(connection: Connection) -> Iterator[Line]:
    source, server = said(connection["source"]), said(connection["server"])
    header = connection["proxyHeader"]
    for step in connection["steps"]:
        at, what = step["at"], step["what"]
        match what:
            case "accepted":
                # With a header, whose address it came from is not remembered: the client's stands in its place.
                yield Line(at, f"accepted on {server}" if header else f"accepted from {source} on {server}")
            case "PROXY header" if header:
                yield Line(at, f"PROXY header, version {header['version']}: {_header(header, source)}")
            case "TLS":
                yield Line(at, _agreed(connection["tls"] or {}))
            case "request for TLS":
                yield Line(at, "the client asked for TLS in plain text first, and was told yes")
            case "connected":
                pass
            case _:
                yield Line(at, said(what))


def _header(header: Mapping[str, Any], source: str) -> str:
    """What it said of the client."""
    facts = [f"the client is {source}" if header["command"] == "proxy" else "the proxy's own connection (LOCAL)"]
    if "authority" in header:
        facts.append(f'it asked for "{said(header["authority"])}"')
    if "alpn" in header:
        facts.append(f'ALPN "{said(header["alpn"])}"')
    if "uniqueId" in header:
        facts.append(f"unique id {said(header['uniqueId'])}")
    if "ssl" in header:
        tls = header["ssl"]
        facts.append(f"{said(tls['version'] or 'TLS')} to the proxy{_named(tls['cn'], tls['verified'])}")
    return "; ".join(facts)


def _named(name: str | None, verified: bool) -> str:
    if name is None:
        return ""
    return f', certificate of "{said(name)}"{"" if verified else ", not verified"}'


def _agreed(tls: Mapping[str, Any]) -> str:
    """The handshake that ended here."""
    version = said(tls.get("version") or "TLS").replace("TLSv", "TLS ")
    facts = [f"{version}, {said(tls['cipher'])}" if tls.get("cipher") else version]
    name, protocol, peer = tls.get("serverName"), tls.get("alpn"), tls.get("peer")
    facts.append("no server name (SNI)" if name is None else f'SNI "{said(name)}"')
    if protocol is not None:
        facts.append(f'ALPN "{said(protocol)}"')
    if peer is not None:
        names = [*peer["dns"], *peer["uris"]] or [peer["cn"] or "nobody"]
        facts.append("certificate of " + ", ".join(f'"{said(each)}"' for each in names))
    return ", ".join(facts)


def _identified(connection: Connection, by: str | None) -> str:
    path = said(connection["path"])
    return f"goes to {path}, as all that come to this server" if by is None else f"identified as {path} by {said(by)}"


def _connecting(connection: Connection, identified_at: float, way: Sequence[str]) -> Iterator[Line]:
    attempts = connection["attempts"]
    begins = _begins(connection, identified_at)
    if connection["bound"] is not None:
        at = begins[0] if begins else identified_at
        waited = 0.0 if at is None else at - identified_at
        after = f" after waiting {duration(waited)}" if waited >= WAITED_SECS else ""
        by = f" (by {_entries(way)})" if way else ""
        yield Line(at, f"bound to {said(connection['bound'])}{by}{after}")
    for at, attempt in zip(begins, attempts, strict=True):
        error = attempt["error"]
        yield Line(
            at, f"tried {said(attempt['endpoint'])}: {did(error, attempt['seconds'])}", GOOD if error is None else BAD
        )
    if len(attempts) >= MAX_ATTEMPTS_KEPT:
        yield Line(None, f"perhaps more were tried: the first {MAX_ATTEMPTS_KEPT} are remembered")


def _entries(way: Iterable[str]) -> str:
    return "; ".join(said(entry) for entry in way)


def _begins(connection: Connection, identified_at: float) -> list[float | None]:
    """When each attempt began: they follow one another, and the last ended as the connection was there, or failed."""
    attempts = connection["attempts"]
    if len(attempts) >= MAX_ATTEMPTS_KEPT or (connection["state"] == "open" and not is_connected(connection)):
        return [None] * len(attempts)
    until = next((step["at"] for step in connection["steps"] if step["what"] == "connected"), connection["ageSecs"])
    backwards = accumulate(
        (attempt["seconds"] for attempt in reversed(attempts)), lambda at, secs: at - secs, initial=until
    )
    return [max(at, identified_at) for at in [*backwards][:0:-1]]


def _end(connection: Connection) -> str:
    who = _FIRST.get(connection["cause"])
    if who is not None:
        return f"the {who} ended it first, {moved(connection)}"
    detail = connection["detail"]
    why = f" ({said(detail)})" if detail else ""
    how_much = f", {moved(connection)}" if is_connected(connection) else ""
    return f"{outcome(connection)['text']}{why}{how_much}"


_FIRST: Final = {Cause.CLIENT_CLOSED: "client", Cause.ENDPOINT_CLOSED: "endpoint"}

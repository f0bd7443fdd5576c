"""What became of a connection, in one sentence, and what can be done about it: one of /connections.json, in words."""

from collections.abc import Callable
from typing import Final, NamedTuple

from linkerd_tcp.dashboard.cells import duration
from linkerd_tcp.dashboard.explanation import ends
from linkerd_tcp.dashboard.phrases import (
    Connection,
    after,
    detail,
    failed,
    is_connected,
    listed,
    moved,
    not_reached,
    path_of,
    said,
    side_of,
    target,
    with_reason,
)
from linkerd_tcp.errors import Cause


class Verdict(NamedTuple):
    """What happened and why; what to do, empty where that is nothing."""

    sentence: str
    advice: str = ""


def verdict(connection: Connection) -> Verdict:
    """Of any connection, open or ended."""
    if connection["state"] == "open":
        return _open(connection)
    return SAYS[connection["cause"] or Cause.OTHER](connection)


# -- while it is open


def _open(connection: Connection) -> Verdict:
    source = said(connection["source"])
    since = duration(connection["ageSecs"])
    if is_connected(connection):
        return Verdict(
            f"{source} is connected to {said(connection['endpoint'])}, {since} after it came: {moved(connection)}."
        )
    if connection["path"] is None:
        return Verdict(
            f"{source} came {since} ago, and has not said yet where it wants to go.",
            "A PROXY header, TLS or a server name has to come first; detectTimeoutMs ends the wait.",
        )
    if connection["bound"] is None:
        return Verdict(
            f"{source} wants to go to {path_of(connection)}, and it is not known yet where that leads.",
            "The namers on the overview say what is waited for.",
        )
    tried = failed(connection)
    so_far = f"; tried so far: {listed(tried)}" if tried else ""
    return Verdict(f"{source} is being connected to an endpoint of {target(connection).rstrip(',')}{so_far}.")


def _timeout(connection: Connection) -> Verdict:
    if is_connected(connection):
        side, how = side_of(connection)
        return Verdict(
            with_reason(f"The {side} was lost while it was connected, {after(connection)}, {moved(connection)}", how),
            "Its host went down, or a firewall between forgot the connection: keepalive or a user timeout noticed it.",
        )
    return Verdict(
        not_reached(connection, "did not answer within {took}", "No endpoint could be connected to in time"),
        "Is the host up, does a firewall drop packets, is the server's accept queue full? For far hosts, raise "
        "connectTimeoutMs.",
    )


def _refused(connection: Connection) -> Verdict:
    return Verdict(
        not_reached(connection, "actively refused after {took}", "The connection was refused"),
        "Start the server there, or correct its address where it is listed. Endpoints that fail are left out for a "
        "while, and then tried again.",
    )


def _reset(connection: Connection) -> Verdict:
    side, how = side_of(connection)
    if is_connected(connection):
        return Verdict(
            with_reason(f"The {side} broke the connection {after(connection)}, {moved(connection)}", how),
            "Look at that side's log: a crash does this, and so does closing a connection with data unread.",
        )
    if side.startswith("client"):
        return Verdict(
            with_reason(f"The {side} left {after(connection)}, before it was connected", how),
            "A client that gave up, a scanner, or a health check that does not wait.",
        )
    return Verdict(
        not_reached(connection, "broke the connection off after {took}", "The connection was broken off"),
        "Look at that endpoint's log: it may be overloaded, or a firewall refuses.",
    )


def _unreachable(connection: Connection) -> Verdict:
    return Verdict(
        not_reached(connection, "cannot be reached (after {took})", "No endpoint can be reached"),
        "Look at the routes and the firewall of this machine; and does it have IPv6, if that is an IPv6 address?",
    )


# -- names


def _no_endpoint(connection: Connection) -> Verdict:
    why = detail(connection, connection["bound"], connection["path"])
    sentence = f"{target(connection)} has no endpoint to connect to"
    return Verdict(with_reason(sentence, why), "Add endpoints, or take back a drain or a weight of 0.")


def _not_found(connection: Connection) -> Verdict:
    bound = connection["bound"]
    if bound is not None:
        return Verdict(
            f"{path_of(connection)} leads to {said(bound)}, and its namer knows no such name.",
            "Was the file or the service removed? The delegator shows what is tried.",
        )
    explanation = connection["explanation"]
    why = "; ".join(ends(explanation)) if explanation else "no entry of it and no namer knows the name"
    return Verdict(
        with_reason(f"No rule of the dtab leads anywhere for {path_of(connection)}", why),
        "Add the name to its namer or an entry to the dtab; the delegator shows each step.",
    )


def _binding(connection: Connection) -> Verdict:
    why = detail(connection, connection["bound"], connection["path"])
    return Verdict(
        with_reason(f"{target(connection)} cannot be resolved", why.removeprefix("cannot be bound: ")),
        "What is said here names the file, the name server or the entry to look at; the delegator shows each step.",
    )


def _pending(connection: Connection) -> Verdict:
    identified = connection["identified"] or {"at": 0.0}
    waited = duration(max(connection["ageSecs"] - identified["at"], 0.0))
    sentence = f"{target(connection)} was not resolved in time (it waited {waited})"
    why = detail(connection, connection["bound"], connection["path"])
    return Verdict(with_reason(sentence, why), "What does its namer wait for? The namers on the overview say it.")


# -- before it was routed


def _denied(connection: Connection) -> Verdict:
    return Verdict(
        with_reason(
            f"{said(connection['source'])} may not connect to {said(connection['server'])}", detail(connection)
        ),
        "As the configuration has it: allow and deny of that server.",
    )


def _limit(connection: Connection) -> Verdict:
    return Verdict(
        with_reason(f"A limit was reached {after(connection)}", detail(connection)),
        "Raise what is named here, or find out why so many connections are there at once.",
    )


def _tls(connection: Connection) -> Verdict:
    if is_connected(connection):
        side, how = side_of(connection)
        return Verdict(
            with_reason(f"The {side} broke TLS {after(connection)}, {moved(connection)}", how),
            "What came was no TLS any more: a broken program, or something between that changes bytes.",
        )
    if connection["path"] is None:
        reason = detail(connection).removeprefix("TLS handshake with the client failed: ")
        return Verdict(
            with_reason(f"The TLS handshake with the client {said(connection['source'])} failed", reason),
            "The client and this server's tls settings have to agree: on a version, a name, and who trusts whom.",
        )
    return Verdict(
        not_reached(connection, "was connected, but not in TLS, after {took}", "TLS with the endpoint failed"),
        "Compare client.tls with what the endpoint speaks on that port, its certificate and who signed that.",
    )


def _proxy_protocol(connection: Connection) -> Verdict:
    why = detail(connection, connection["source"], "PROXY header")
    return Verdict(
        with_reason("A PROXY header was expected, and no good one came", why),
        "Should its sender be believed? Then add its network to proxyProtocol.trusted, and have it send the header.",
    )


def _identify(connection: Connection) -> Verdict:
    return Verdict(
        with_reason(f"{said(connection['source'])} did not say where it wants to go", detail(connection)),
        "Give the identifier a default, if such connections are to be served.",
    )


# -- ends


def _ended_by(who: str) -> Callable[[Connection], Verdict]:
    def say(connection: Connection) -> Verdict:
        rx, tx = connection["rxBytes"], connection["txBytes"]
        tried = failed(connection)
        before = f" Before {said(connection['endpoint'])} took it, {listed(tried)}." if tried else ""
        if not rx and not tx:
            sentence = f"The {who} ended it first, {after(connection)}, without a byte either way.{before}"
            return Verdict(sentence, "Health checks and scanners do that; behind TLS, a client that did not trust us.")
        sentence = f"It went well: the {who} ended it first, {after(connection)}, {moved(connection)}.{before}"
        return Verdict(sentence, "" if tx else "The endpoint answered nothing: its own log may say why.")

    return say


def _idle(connection: Connection) -> Verdict:
    return Verdict(
        with_reason(f"It was idle, and ended {after(connection)}, {moved(connection)}", detail(connection)),
        "Raise idleTimeoutMs, or have the application send something now and then.",
    )


def _half_close(connection: Connection) -> Verdict:
    return Verdict(
        with_reason(f"It was half open, and ended {after(connection)}, {moved(connection)}", detail(connection)),
        "Raise halfCloseTimeoutMs, if answers may take longer.",
    )


def _lifetime(connection: Connection) -> Verdict:
    sentence = f"It reached its limit, connectionLifetimeSecs, and ended {after(connection)}, {moved(connection)}"
    return Verdict(with_reason(sentence, detail(connection)), "As the configuration has it: clients connect again.")


def _shutdown(connection: Connection) -> Verdict:
    if not is_connected(connection):
        why = detail(connection, connection["bound"])
        return Verdict(with_reason("This process stopped while it was being connected", why), "Clients connect again.")
    why = detail(connection) or "the grace was over"
    return Verdict(
        f"This process stopped, and ended it {after(connection)}, {moved(connection)}: {why}.",
        "Raise admin.graceSecs if connections need longer to end by themselves.",
    )


def _closed_by_admin(connection: Connection) -> Verdict:
    why = detail(connection)
    sentence = f"Somebody closed it from the admin server {after(connection)}, {moved(connection)}"
    return Verdict(with_reason(sentence, why))


def _other(connection: Connection) -> Verdict:
    return Verdict(
        with_reason(f"It failed {after(connection)}", detail(connection) or "nothing was noted of why"),
        "If its greenlet failed, the log has the traceback: please report it.",
    )


SAYS: Final[dict[str, Callable[[Connection], Verdict]]] = {
    Cause.CLIENT_CLOSED: _ended_by("client"),
    Cause.ENDPOINT_CLOSED: _ended_by("endpoint"),
    Cause.TIMEOUT: _timeout,
    Cause.REFUSED: _refused,
    Cause.RESET: _reset,
    Cause.UNREACHABLE: _unreachable,
    Cause.NO_ENDPOINT: _no_endpoint,
    Cause.NOT_FOUND: _not_found,
    Cause.BINDING: _binding,
    Cause.PENDING: _pending,
    Cause.DENIED: _denied,
    Cause.LIMIT: _limit,
    Cause.TLS: _tls,
    Cause.PROXY_PROTOCOL: _proxy_protocol,
    Cause.IDENTIFY: _identify,
    Cause.IDLE: _idle,
    Cause.HALF_CLOSE: _half_close,
    Cause.LIFETIME: _lifetime,
    Cause.SHUTDOWN: _shutdown,
    Cause.CLOSED_BY_ADMIN: _closed_by_admin,
    Cause.OTHER: _other,
}
"""A sentence for each cause that there is."""

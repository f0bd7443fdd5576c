"""One thing that needs attention: a sentence of what, since when, why, and what is done about it. And those sentences
for endpoints and the destinations that they belong to.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from linkerd_tcp.dashboard.cells import BAD, WARN, Cell, Row, age, clock, cut, mark, moment
from linkerd_tcp.dashboard.frame import Certificate, Destination, Endpoint, Router, Unbound

MOST_NAMED: Final = 3
"""Of a kind, one by one; more than that are told of together."""

_DAY_SECS: Final = 86_400


class Item(NamedTuple):
    """`row` is drawn: `mark`, `what`, `happened`, `since`, `why`, `does`. Lower ranks are worse."""

    rank: int
    row: Row
    said: str
    """In a few words, to be read out when it comes up."""


def anchor(*names: str) -> str:
    """An id in the page for whatever has these names, which may be anything."""
    return _anchor("\0".join(names))


@lru_cache(4096)
def _anchor(text: str) -> str:
    return "a" + blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def destination_anchor(router: str, bound: str) -> str:
    return anchor("destination", router, bound)


def linked(text: str, *, to: str) -> Cell:
    """A name that leads to where the page says more of it."""
    return {"text": cut(text), "href": to if to.startswith("/") else f"#{to}"}


def when(at: float | None, now: float) -> Cell:
    """`at 02:13:41 UTC (4 min ago)`, with the day where that was another one."""
    if at is None:
        return ""
    iso = moment(at)
    day = f"{iso[:10]} " if now - at > _DAY_SECS else ""
    return {"text": f"at {day}{clock(at)} ({age(now - at)} ago)", "value": iso}


def certificate_name(certificate: Certificate) -> str:
    """`www.example.com`, or `(default)` of the one that is shown to whoever asks for no other."""
    return "(default)" if certificate["identity"] == "*" else cut(certificate["identity"])


# -- destinations and endpoints


def of_router(router: Router, now: float) -> Iterator[Item]:
    for destination in router["destinations"]:
        yield from _of_destination(router["label"], destination, now)
    yield from _of_unbound(router)


def usable(destination: Destination) -> int:
    """How many endpoints get new connections while they are available."""
    listed = sum(one["state"] == "available" and _wanted(one) for one in destination["endpoints"])
    # What is left out of a list is in no trouble.
    return listed + min(destination["moreEndpoints"], destination["available"])


def _wanted(endpoint: Endpoint) -> bool:
    return not endpoint["drained"] and endpoint["weight"] > 0


def _of_destination(router: str, destination: Destination, now: float) -> Iterator[Item]:
    failed = [one for one in destination["endpoints"] if one["state"] == "failed"]
    key, left = destination_anchor(router, destination["bound"]), usable(destination)
    if not left:
        yield _none_left(key, router, destination, failed, now)
    elif len(failed) > MOST_NAMED:
        yield _many_failed(key, destination, failed, left, now)
    else:
        for one in failed:
            yield _one_failed(key, destination, one, left, now)


def _one_failed(key: str, destination: Destination, endpoint: Endpoint, left: int, now: float) -> Item:
    address, bound = endpoint["address"], destination["bound"]
    known = destination["available"] + destination["failed"]
    error = error_words(endpoint)
    others = "the other endpoint" if known == 2 else f"the other {left} of {known} endpoints"
    row: Row = {
        "key": f"{key}-{address}",
        "mark": mark("Endpoint", BAD),
        "what": linked(f"{address} of {bound}", to=key),
        "happened": "failed",
        "since": when(endpoint["failedSince"], now),
        "why": f"after {_in_a_row(endpoint['consecutiveFailures'])}: {error}.",
        "does": f"{next_try(endpoint, now)} Traffic goes to {others}.",
    }
    return Item(3, row, f"{address} failed: {error}")


def _in_a_row(failures: int) -> str:
    return "1 failure" if failures == 1 else f"{failures} failures in a row"


def error_words(endpoint: Endpoint) -> str:
    """Its last error, without the address that it begins with."""
    error = endpoint["lastError"] or "it is not known why"
    return cut(error.removeprefix(f"{endpoint['address']}: "))


def next_try(endpoint: Endpoint, now: float) -> str:
    """When a failed endpoint gets a connection again."""
    if endpoint["drained"]:
        return "It is drained: nothing tries it."
    if endpoint["weight"] <= 0:
        return "It has weight 0: nothing tries it."
    if endpoint["probing"]:
        return "One connection is trying it now."
    at = endpoint["nextTryAt"]
    if at is None or at <= now:
        return "The next connection tries it."
    return f"One connection tries it again in {age(at - now + 0.999)}."


def _many_failed(key: str, destination: Destination, failed: list[Endpoint], left: int, now: float) -> Item:
    known = destination["available"] + destination["failed"]
    row: Row = {
        "key": f"{key}-failed",
        "mark": mark("Endpoints", BAD),
        "what": linked(f"{len(failed)} of {known} endpoints of {destination['bound']}", to=key),
        "happened": "failed, the first",
        "since": when(_first(failed), now),
        "why": f": {_names(failed)}; {_errors(failed)}.",
        "does": f"{_soonest(failed, now)} Traffic goes to the other {left}.",
    }
    return Item(3, row, f"{len(failed)} endpoints of {cut(destination['bound'], 80)} failed")


def _first(failed: list[Endpoint]) -> float | None:
    return min((one["failedSince"] for one in failed if one["failedSince"] is not None), default=None)


def _names(endpoints: list[Endpoint]) -> str:
    names = ", ".join(one["address"] for one in endpoints[:MOST_NAMED])
    more = len(endpoints) - MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names


def _errors(failed: list[Endpoint]) -> str:
    """`connection refused (9), no answer in time (3)`."""
    ordered = Counter(error_words(one) for one in failed).most_common(MOST_NAMED)
    return ordered[0][0] if len(ordered) == 1 else ", ".join(f"{words} ({times})" for words, times in ordered)


def _soonest(failed: list[Endpoint], now: float) -> str:
    tried = [one for one in failed if _wanted(one)] or failed
    soonest = min(tried, key=lambda one: one["nextTryAt"] or 0.0)
    return next_try(soonest, now).replace("tries it", "tries the first of them")


def _none_left(key: str, router: str, destination: Destination, failed: list[Endpoint], now: float) -> Item:
    bound, addr = destination["bound"], destination["addr"]
    wanted = [one for one in failed if _wanted(one)]
    since: Cell = ""
    if wanted:
        happened, since = "has no available endpoint: the last failed", when(_last(failed), now)
        why = f": {_names(failed)}; {_errors(failed)}."
        does = f"{_soonest(wanted, now)} Until one is back, connections go to the failed ones all the same."
    elif addr["type"] == "bound" and destination["available"] + destination["failed"]:
        happened, why = "has no endpoint to use:", "all of them are drained or have weight 0."
        does = "New connections fail (no_endpoint); open ones go on."
    else:
        happened = "has no endpoint:"
        why, does = _EMPTY.get(addr["type"], _EMPTY["bound"])
        why = why.format(cause=cut(addr.get("cause", "")))
    row: Row = {
        "key": f"{key}-none",
        "mark": mark("Destination", WARN if addr["type"] == "pending" else BAD),
        "what": linked(f"{bound} of router {router}", to=key),
        "happened": happened,
        "since": since,
        "why": why,
        "does": does,
    }
    return Item(0, row, f"{cut(bound, 80)} has no available endpoint")


_EMPTY: Final = {
    "bound": ("discovery names no address for it.", "New connections fail (no_endpoint) until it names one."),
    "neg": ("discovery knows no such name any more.", "New connections fail (not_found) until it is back."),
    "failed": ("it could not be looked up: {cause}.", "New connections fail (binding); it is asked for again."),
    "pending": ("discovery has not answered yet.", "New connections wait for it, for a while."),
}


def _last(failed: list[Endpoint]) -> float | None:
    return max((one["failedSince"] for one in failed if one["failedSince"] is not None), default=None)


# -- paths that lead to no destination


_NOWHERE: Final = {
    "neg": ("leads nowhere:", "no rule of the dtab leads to a name that there is.", "Its connections end (not_found)."),
    "fail": ("is refused:", "the dtab says so (!).", "Its connections end (binding)."),
    "empty": ("leads to nothing:", "the dtab says so ($).", "Its connections end (no_endpoint)."),
    "failed": ("is not bound:", "{cause}.", "Its connections end (binding); it is asked for again."),
    "pending": ("is not bound yet:", "{cause}.", "Its connections wait for it, for a while."),
}


def _of_unbound(router: Router) -> Iterator[Item]:
    label, unbound = router["label"], router["unbound"]
    all_of_them = len(unbound) + router["moreUnbound"]
    if all_of_them <= MOST_NAMED:
        for one in unbound:
            yield _one_unbound(label, one)
        return
    names = ", ".join(cut(one["path"], 60) for one in unbound[:MOST_NAMED])
    row: Row = {
        "key": anchor("unbound", label),
        "mark": mark("Paths", WARN),
        "what": linked(f"{all_of_them} paths of router {label}", to=anchor("router", label)),
        "happened": "lead nowhere:",
        "since": "",
        "why": f"{names} and {all_of_them - MOST_NAMED} more.",
        "does": "Their connections end.",
    }
    yield Item(2, row, f"{all_of_them} paths lead nowhere")


def _one_unbound(label: str, unbound: Unbound) -> Item:
    path = unbound["path"]
    happened, why, does = _NOWHERE.get(unbound["type"], _NOWHERE["neg"])
    cause = unbound["cause"] or "a namer has not answered yet"
    row: Row = {
        "key": anchor("unbound", label, path),
        "mark": mark("Path", WARN),
        "what": linked(f"{path} of router {label}", to=delegator_link(label, path)),
        "happened": happened,
        "since": "",
        "why": why.format(cause=cut(cause)),
        "does": does,
    }
    return Item(2, row, f"{cut(path, 80)} {happened.removesuffix(':')}")


def delegator_link(router: str, path: str) -> str:
    """To where the page says which rules lead where; what is not UTF-8 is lost on the way."""
    return f"/delegator#router={_quoted(router)}&path={_quoted(path)}"


def connections_link(**filters: str) -> str:
    """To the connections that these filters let through."""
    return f"/connections?{urlencode(filters, safe=':[]', errors='replace')}"


def _quoted(text: str) -> str:
    return quote(text, safe="/", errors="replace")

"""Where a connection goes, of a delegation, in one sentence: `A connection to /svc/web goes to /#/io.l5d.fs/web`."""

from collections.abc import Mapping
from typing import Final

from linkerd_tcp.dashboard import outcome as oc
from linkerd_tcp.dashboard.cells import BAD, GOOD, WARN, Full, cut, mark
from linkerd_tcp.dashboard.outcome import Json, Outcome, Outcomes, ends, resolved
from linkerd_tcp.dashboard.tree import address_words, percent

MOST_ENDS: Final = 5
"""Named in the sentence."""

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    oc.NEG: ("is not found", "no rule that matches it leads to a name that is there (cause not_found)"),
    oc.FAIL: ("fails", "the dtab says ! (fail), and nothing else is tried (cause binding)"),
    oc.EMPTY: ("fails", "the dtab says $ (empty): the name exists, with no address (cause no_endpoint)"),
}


def summary(shape: Json, path: str, is_used: bool) -> Full:
    """`shape` is the delegation of `path`; `is_used` says whether traffic goes by that dtab."""
    return sentence(resolved(Outcomes(shape).of(shape)), cut(path), is_used)


def sentence(outcome: Outcome, to: str, is_used: bool) -> Full:
    goes = "goes" if is_used else "would go"
    match outcome.kind:
        case oc.LEAF:
            return _to_one(outcome, f"A connection to {to} {goes} to")
        case oc.UNION:
            return _to_several(outcome, f"A connection to {to} {goes} to")
        case oc.CUT:
            return mark(f"Where a connection to {to} {goes} is not seen here: {cut(outcome.words)}.", WARN)
        case oc.PENDING:
            return mark(f"Where a connection to {to} {goes} is not known yet: a namer has not answered.", WARN)
        case oc.FAILED:
            words = f"A connection to {to} cannot be bound: {cut(outcome.words)}."
            return mark(words + (" Where it was bound before, the last good one stays." if is_used else ""), BAD)
    does, why = _WORDS[outcome.kind]
    does = does if is_used else {"fails": "would fail", "is not found": "would not be found"}[does]
    return mark(f"A connection to {to} {does}: {why}.", BAD)


def _to_one(outcome: Outcome, begin: str) -> Full:
    bound = outcome.bound or {}
    words, state = address_words(bound)
    fails = ", so it fails" if state == BAD else ""
    return mark(f"{begin} {cut(str(bound['id']))}: {words}{fails}.", state)


def _to_several(outcome: Outcome, begin: str) -> Full:
    shares: dict[str, float] = {}
    first: dict[str, Outcome] = {}
    for share, end in ends(outcome):
        name = str(end.bound["id"]) if end.bound is not None else end.kind
        shares[name] = shares.get(name, 0.0) + share
        first.setdefault(name, end)
    taken = [name for name, share in shares.items() if share > 0]
    if len(taken) == 1 and first[taken[0]].kind == oc.LEAF:
        return _to_one(first[taken[0]], begin)
    named = [_named(shares[name], first[name]) for name in taken[:MOST_ENDS]]
    if len(taken) > MOST_ENDS:
        named.append(f"{len(taken) - MOST_ENDS} more")
    return mark(
        f"{begin} one of {len(taken)}, by weight: {'; '.join(named)}.", _together([first[each] for each in taken])
    )


def _named(share: float, end: Outcome) -> str:
    if end.kind != oc.LEAF or end.bound is None:
        return f"{percent(share)} nowhere ({_WORDS.get(end.kind, (end.kind, end.words))[1]})"
    return f"{percent(share)} to {cut(str(end.bound['id']))} ({address_words(end.bound)[0]})"


def _together(found: list[Outcome]) -> str:
    """How all of them stand: good where each is, bad where each is."""
    states = {address_words(end.bound)[1] if end.bound is not None else BAD for end in found}
    return states.pop() if len(states) == 1 else WARN if BAD in states or WARN in states else GOOD

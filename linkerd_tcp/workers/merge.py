"""One answer of several workers' answers. Pure: lines of JSON in, shapes or pieces of JSON out; they are read and
written by those who rest meanwhile.

What is summed: what each worker counts for itself. Where they contradict one another, the worse is shown, so that
nothing that is wrong anywhere is hidden.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import Any, Final, NamedTuple, TypeAlias

from linkerd_tcp.admin.connections import Place, place
from linkerd_tcp.staleness import MOST_REMARKS
from linkerd_tcp.web.streams import array, dumps, rows

Shape: TypeAlias = dict[str, Any]


# -- connections


class Page(NamedTuple):
    """One worker's: (place, id, JSON) of each connection, the newest first, and the id after which there are more."""

    rows: list[tuple[Place, str, str]]
    next_id: str | None


def read_page(lines: Iterable[bytes]) -> Page:
    """Of `admin.connections.lines`."""
    found: list[tuple[Place, str, str]] = []
    for line in lines:
        word, _, rest = line.partition(b" ")
        id_ = word.decode()
        if id_ == "next":
            return Page(found, rest.decode() or None)
        found.append((place(id_), id_, rest.decode()))
    raise ValueError("a page of connections has no end")


def merge_pages(pages: Iterable[Page], limit: int) -> tuple[list[str], str | None]:
    """The newest `limit` of all, and the id after which there are more.

    A worker whose page was full says nothing of what comes after its `next`: neither does this, or what is older in
    another would be shown first, and the next page would leave a gap.
    """
    pages = list(pages)
    ends = [(place(page.next_id), page.next_id) for page in pages if page.next_id is not None]
    end, end_id = max(ends) if ends else (None, None)
    found: list[str] = []
    last_id = end_id
    for where, id_, text in merge(*(page.rows for page in pages), key=lambda row: row[0], reverse=True):
        if end is not None and where < end:
            return found, end_id
        if len(found) == limit:
            return found, last_id
        found.append(text)
        last_id = id_
    return found, end_id


# -- bindings


@dataclass
class Balancer:
    """Of one bound name, in all workers."""

    head: Shape
    """`bound`, and the `addr` of the worker that knows best."""
    endpoints: dict[str, list[Shape]] = field(default_factory=dict)
    """By address, each worker's."""


@dataclass
class Binding:
    """Of one path, in all workers."""

    tree: str = ""
    """As it is written."""
    balancers: dict[str, Balancer] = field(default_factory=dict)


Routers: TypeAlias = dict[str, dict[str, Binding]]
"""By label, by path. In the order of the first worker; what only others have comes after it."""

_ADDR_ORDER: Final = ("bound", "neg", "failed", "pending")
"""What is known goes before what is not yet."""


def merge_bindings(workers: Iterable[Iterable[bytes]]) -> Routers:
    """Of `admin.names.binding_lines`."""
    routers: Routers = {}
    for lines in workers:
        _read_bindings(lines, routers)
    return routers


def _read_bindings(lines: Iterable[bytes], routers: Routers) -> None:
    paths: dict[str, Binding] = {}
    binding, tree, balancer = Binding(), "", Balancer({})
    for line in lines:
        word, _, text = line.partition(b" ")
        match word:
            case b"endpoint":
                endpoint = json.loads(text)
                balancer.endpoints.setdefault(endpoint["address"], []).append(endpoint)
            case b"balancer":
                head = json.loads(text)
                if not binding.balancers:
                    binding.tree = tree  # and not that of a worker where it leads nowhere
                balancer = binding.balancers.setdefault(head["bound"], Balancer(head))
                balancer.head["addr"] = min(balancer.head["addr"], head["addr"], key=_addr_place)
            case b"tree":
                tree = text.decode()
                binding.tree = binding.tree or tree
            case b"path":
                binding = paths.setdefault(json.loads(text), Binding())
            case _:
                paths = routers.setdefault(json.loads(text), {})


def _addr_place(addr: Shape) -> int:
    return _ADDR_ORDER.index(addr["type"])


def binding_pieces(path: str, binding: Binding) -> Iterator[str]:
    """JSON, as in /bindings.json."""
    yield f'{{"path": {dumps(path)}, "tree": {binding.tree}, "balancers": '
    yield from array(map(_balancer_pieces, binding.balancers.values()))
    yield "}"


def _balancer_pieces(balancer: Balancer) -> Iterator[str]:
    yield f'{dumps(balancer.head)[:-1]}, "endpoints": '
    yield from rows(map(merge_endpoint, balancer.endpoints.values()))
    yield "}"


_ADDED: Final = ("open", "pending", "connects", "failures", "ejections")
_STATE_ORDER: Final = ("failed", "available", "retired")


def merge_endpoint(several: Sequence[Shape]) -> Shape:
    """One address: what is counted is added, it is failed where any worker says so, drained where any drains it."""
    newest = max(several, key=lambda one: one["lastErrorAt"] or 0.0)
    return {
        **several[0],
        "state": min((one["state"] for one in several), key=_STATE_ORDER.index),
        **{key: sum(one[key] for one in several) for key in _ADDED},
        "consecutiveFailures": max(one["consecutiveFailures"] for one in several),
        "lastError": newest["lastError"],
        "failedSince": _soonest(one["failedSince"] for one in several),
        "drained": any(one["drained"] for one in several),
        "lastErrorAt": newest["lastErrorAt"],
        "nextTryAt": _soonest(one["nextTryAt"] for one in several),
        "probing": any(one["probing"] for one in several),
    }


def _soonest(times: Iterable[float | None]) -> float | None:
    return min((at for at in times if at is not None), default=None)


# -- namers

Namers: TypeAlias = dict[tuple[str, str, int], dict[str, Shape]]
"""By prefix, kind and place among those that have both alike: the watches by name."""


def merge_namers(workers: Iterable[Iterable[Any]]) -> Namers:
    """Of `admin.names.namer_lines`. Of a name that several watch, the row of the one that is worst off is shown."""
    found: Namers = {}
    for values in workers:
        seen: dict[tuple[str, str], int] = {}
        watches: dict[str, Shape] = {}
        for value in values:
            if isinstance(value, list):
                prefix, kind = value
                nth = seen[prefix, kind] = seen.get((prefix, kind), -1) + 1
                watches = found.setdefault((prefix, kind, nth), {})
            elif value["name"] not in watches or badness(value) > badness(watches[value["name"]]):
                watches[value["name"]] = value
    return found


def badness(watch: Any) -> tuple[bool, bool, float]:
    """Of a row of /namers.json. One that fails is worse than one that does not, and among either one whose good news is
    older. One that merely has none yet is no trouble, where others have some.
    """
    stale, good_at = watch["error"] is not None, watch["lastGoodAt"]
    return stale, (good_at is None) == stale, -(good_at or 0.0)


# -- readiness and levels


def merge_remarks(several: Iterable[Sequence[str]]) -> list[str]:
    """What `/ready` says beside its first line, once: the ages in brackets differ from worker to worker."""
    found: dict[str, str] = {}
    total = 0
    for remarks in several:
        more = 0
        for remark in remarks:
            counted = re.fullmatch(r"and (\d+) more", remark)
            if counted:
                more = int(counted[1])
            else:
                found.setdefault(remark.rpartition(" (")[0] or remark, remark)
        total = max(total, more + len(remarks) - bool(more))
    shown = list(found.values())[:MOST_REMARKS]
    rest = max(total, len(found)) - len(shown)
    return [*shown, f"and {rest} more"] if rest > 0 else shown


def merge_ready(
    states: Mapping[int, Shape], missing: Mapping[int, str], others: Sequence[str] = ()
) -> tuple[bool, list[str]]:
    """Whether all are, and what a person should know: who is not, whose news are stale, and `others`."""
    silent = [f"worker {worker} does not answer: {why}" for worker, why in missing.items()]
    closed = [f"worker {worker} is not ready" for worker, state in states.items() if not state["ready"]]
    stale = merge_remarks([*(state["remarks"] for state in states.values()), others])
    return bool(states) and not silent and not closed, [*silent, *closed, *stale]


def merge_levels(several: Iterable[Iterable[Shape]]) -> list[Shape]:
    """All loggers; a process may have more of them than another."""
    found: dict[str, Shape] = {}
    for levels in several:
        for one in levels:
            found.setdefault(one["logger"], one)
    return [found[name] for name in sorted(found)]


def unanswered(missing: Iterable[int]) -> str:
    """The end of a JSON object: who has not answered, if anybody has not."""
    numbers = ", ".join(map(str, missing))
    return f', "unanswered": [{numbers}]}}\n' if numbers else "}\n"

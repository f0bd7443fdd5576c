"""A delegation, as namerd's JSON has it, in words: which entry of the dtab led where, and where that ends."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from linkerd_tcp.dashboard.cells import BAD, GOOD, WARN, cut

MOST_STEPS: Final = 200
"""Of one delegation that are told; it may have thousands."""

MOST_ENDS: Final = 3
"""Of those that a sentence names."""

MOST_CHARS: Final = 500
"""Of a path or an entry."""

Tree: TypeAlias = Mapping[str, Any]


class Step(NamedTuple):
    """One line; `depth` is how far it stands to the right."""

    depth: int
    text: str
    state: str = ""


_WORDS: Final = {
    "neg": "not found",
    "fail": "fails, and nothing else is tried",
    "empty": "exists, with no address",
    "alt": "the first of these that is found",
    "union": "one of these for each connection, by weight",
    "pending": "not known yet",
}
_STATES: Final = {"neg": BAD, "fail": BAD, "empty": BAD, "exception": BAD, "pending": WARN}
_ADDRESSES: Final = {"neg": "its namer knows no such name", "pending": "its addresses are not known yet"}


def told(tree: Tree) -> list[Step]:
    """Every step from the path down, the first MOST_STEPS of them."""
    found: list[Step] = []
    for depth, node in _walk(tree):
        if len(found) == MOST_STEPS:
            found.append(Step(0, "and more, which the delegator shows"))
            break
        found.append(_step(depth, node))
    return found


def ends(tree: Tree) -> list[str]:
    """Where the delegation ends, a phrase each; the first MOST_ENDS."""
    found: list[str] = []
    for _, node in _walk(tree):
        if not list(_below(node)):
            if len(found) == MOST_ENDS:
                return [*found, "and more"]
            text = _step(0, node).text
            found.append("no entry of the dtab matches it" if node is tree and node.get("type") == "neg" else text)
    return found


def way(tree: Tree, bound: str) -> list[str]:
    """The entries of the dtab that lead to the name `bound`, the first one first; none if the tree has no such end."""
    above: list[tuple[int, str]] = []
    for depth, node in _walk(tree):
        above = [each for each in above if each[0] < depth]
        by = _entry(node)
        if by:
            above.append((depth, by))
        if (node.get("bound") or {}).get("id") == bound:
            # What is written once may be said of several steps: of each branch of a union, and of what is above it.
            return list(dict.fromkeys(text for _, text in above))
    return []


def _walk(tree: Tree) -> Iterator[tuple[int, Tree]]:
    """Each node with its depth, from the top."""
    waiting = [(0, tree)]
    while waiting:
        depth, node = waiting.pop()
        yield depth, node
        waiting.extend((depth + 1, each) for each in reversed(list(_below(node))))


def _below(node: Tree) -> Iterator[Tree]:
    for key in ("delegate", "tree"):
        if isinstance(node.get(key), Mapping):
            yield node[key]
    yield from node.get("alt", ())
    for branch in node.get("union", ()):
        yield {**branch["tree"], "weight": branch["weight"]}


def _step(depth: int, node: Tree) -> Step:
    kind = node.get("type", "")
    entry = _entry(node)
    by = f" (by {entry})" if entry else ""
    weight = f"weight {node['weight']:g}: " if "weight" in node else ""
    words, state = _WORDS.get(kind, ""), _STATES.get(kind, "")
    if kind == "leaf":
        words, state = _leaf(node.get("bound") or {})
    elif kind == "exception":
        words = cut(str(node.get("message", "")), MOST_CHARS)
    elif kind == "transformation":
        words = f"changed by {cut(str(node.get('name', '')), MOST_CHARS)}"
    path = cut(str(node.get("path", "")), MOST_CHARS)
    return Step(depth, f"{weight}{path}{by}" + (f": {words}" if words else ""), state)


def _entry(node: Tree) -> str:
    dentry = node.get("dentry")
    return "" if dentry is None else cut(f"{dentry['prefix']} => {dentry['dst']}", MOST_CHARS)


def _leaf(bound: Mapping[str, Any]) -> tuple[str, str]:
    addr = bound.get("addr") or {}
    kind = addr.get("type", "pending")
    if kind == "failed":
        return f"its addresses cannot be known: {cut(str(addr.get('cause', '')), MOST_CHARS)}", BAD
    if kind != "bound":
        return _ADDRESSES[kind], BAD if kind == "neg" else WARN
    number = len(addr.get("addrs", ()))
    return (f"found, {number} address{'' if number == 1 else 'es'}", GOOD) if number else ("found, no address", BAD)

"""The dtab, or delegation table: entries that rewrite paths.

An entry `/svc => /#/io.l5d.fs` turns `/svc/web` into `/#/io.l5d.fs/web`. The last entry that matches is tried first,
those above it are its fallback: what is appended to a dtab wins over what was there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from linkerd_tcp.naming import parser
from linkerd_tcp.naming.lexer import show_label
from linkerd_tcp.naming.nametree import NEG, Alt, NameTree, NegTree, map_leaves, show, simplified
from linkerd_tcp.naming.path import Path


class Prefix(tuple[str | None, ...]):
    """What a path must begin with; None is the wildcard `*`, one label of any text."""

    __slots__ = ()

    @staticmethod
    def read(text: str) -> "Prefix":
        """The prefix that `text` spells; DtabError if it spells none."""
        return Prefix(parser.read_prefix(text))

    def __str__(self) -> str:
        return "/" + "/".join("*" if label is None else show_label(label) for label in self)

    def __repr__(self) -> str:
        return f"Prefix({str(self)!r})"


@dataclass(frozen=True, slots=True)
class Dentry:
    """One entry: paths that begin with `prefix` lead to `dst`, what follows appended to each of its leaves."""

    prefix: Prefix | Path
    dst: NameTree[Path]

    @staticmethod
    def read(text: str) -> "Dentry":
        """The entry that `text` spells; DtabError if it spells none."""
        entry = parser.read_entry(text)
        return Dentry(Prefix(entry.prefix), entry.dst)

    def __str__(self) -> str:
        return f"{self.prefix}=>{show(self.dst)}"


class _Node:
    """A place in the tree of prefixes: the indices of the entries that end here, and what may follow."""

    __slots__ = ("entries", "labels", "wildcard")

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.labels: dict[str, _Node] = {}
        self.wildcard: _Node | None = None

    def child(self, label: str | None) -> "_Node":
        if label is not None:
            return self.labels.setdefault(label, _Node())
        self.wildcard = self.wildcard or _Node()
        return self.wildcard


class Dtab(tuple[Dentry, ...]):
    """A sequence of entries. Immutable; `base + more` lets `more` win."""

    @staticmethod
    def read(text: str) -> "Dtab":
        """The dtab that `text` spells; DtabError if it spells none."""
        return Dtab(Dtab.entries(text))

    @staticmethod
    def entries(text: str) -> Iterator[Dentry]:
        """As `read`, one by one: for who must not take long over a long text."""
        return (Dentry(Prefix(entry.prefix), entry.dst) for entry in parser.iter_entries(text))

    def __str__(self) -> str:
        return ";".join(map(str, self))

    def __repr__(self) -> str:
        return f"Dtab({str(self)!r})"

    def __add__(self, other: Iterable[Dentry]) -> "Dtab":  # type: ignore[override]
        return Dtab((*self, *other))

    @cached_property
    def _root(self) -> _Node:
        root = _Node()
        for index, entry in enumerate(self):
            node = root
            for label in entry.prefix:
                node = node.child(label)
            node.entries.append(index)
        return root

    def matches(self, path: Path) -> list[Dentry]:
        """The entries whose prefix `path` begins with, in the order in which they are tried: the last one first.

        Costs the labels of the path and the entries that match, not the length of the table.
        """
        nodes = [self._root]
        found = list(self._root.entries)
        for label in path:
            nodes = [child for node in nodes for child in (node.labels.get(label), node.wildcard) if child is not None]
            if not nodes:
                break
            for node in nodes:
                found += node.entries
        found.sort(reverse=True)
        return [self[index] for index in found]

    def lookup(self, path: Path) -> NameTree[Path]:
        """One step: Neg if no entry matches, that entry's tree if one does, else the alternatives of all that do."""
        trees = tuple(_appended(entry, path) for entry in self.matches(path))
        if not trees:
            return NEG
        return trees[0] if len(trees) == 1 else Alt(trees)

    @property
    def simplified(self) -> "Dtab":
        """A dtab that means the same: each tree simplified, entries that lead to Neg left out."""
        entries = (Dentry(entry.prefix, simplified(entry.dst)) for entry in self)
        return Dtab(entry for entry in entries if not isinstance(entry.dst, NegTree))


def _appended(entry: Dentry, path: Path) -> NameTree[Path]:
    rest = path.drop(len(entry.prefix))
    return map_leaves(entry.dst, lambda leaf: leaf + rest)

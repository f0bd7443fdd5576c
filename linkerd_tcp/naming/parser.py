"""Text -> name trees and dtab entries, by recursive descent.

    dtab    ::= [ dentry { ";" dentry } [ ";" ] ]       dentry ::= prefix "=>" tree
    prefix  ::= "/" [ elem { "/" elem } ]                elem   ::= "*" | label
    tree    ::= union { "|" union }                      union  ::= weighted { "&" weighted }
    weighted ::= [ number "*" ] simple                   simple ::= "(" tree ")" | path | "!" | "~" | "$"
    path    ::= "/" [ label { "/" label } ]

Space and comments may stand before every token except inside a path. The labels, numbers and the error's marked spot
are `naming.lexer`'s.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from linkerd_tcp.naming.lexer import Lexer
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, Leaf, NameTree, Union, Weighted
from linkerd_tcp.naming.path import Path

MAX_PARENTHESES: Final = 50
"""How deep they may nest: every function that walks a tree does so on the stack."""

_CONSTANTS: Final[dict[str, NameTree[Path]]] = {"!": FAIL, "~": NEG, "$": EMPTY}


class Entry(NamedTuple):
    """One line of a dtab; None in the prefix is the wildcard `*`."""

    prefix: tuple[str | None, ...]
    dst: NameTree[Path]


def read_tree(text: str) -> NameTree[Path]:
    """The name tree that `text` spells; DtabError if it spells none."""
    lexer = Lexer(text)
    tree = _tree(lexer, 0)
    lexer.end()
    return tree


def read_entries(text: str) -> list[Entry]:
    """The entries of the dtab that `text` spells, none if it is only space and comments; DtabError otherwise."""
    return list(iter_entries(text))


def iter_entries(text: str) -> Iterator[Entry]:
    """As `read_entries`, one by one: for who must not take long over a long text."""
    return (entry for entry, _, _ in iter_placed(text))


def iter_placed(text: str) -> Iterator[tuple[Entry, int, int]]:
    """As `iter_entries`, with where each begins in the text, and ends: at its `;`, or where the text ends."""
    lexer = Lexer(text)
    lexer.skip_space()
    while not lexer.at_end:
        start = lexer.position
        entry = _entry(lexer)
        lexer.skip_space()
        yield entry, start, lexer.position
        if not lexer.take(";"):
            break
        lexer.skip_space()
    lexer.end()


def read_entry(text: str) -> Entry:
    """The one entry that `text` spells, without `;`; DtabError if it spells none."""
    lexer = Lexer(text)
    entry = _entry(lexer)
    lexer.end()
    return entry


def read_prefix(text: str) -> tuple[str | None, ...]:
    """The prefix of an entry that `text` spells; DtabError if it spells none."""
    lexer = Lexer(text)
    prefix = _prefix(lexer)
    lexer.end()
    return prefix


def _entry(lexer: Lexer) -> Entry:
    prefix = _prefix(lexer)
    lexer.skip_space()
    lexer.expect("=")
    lexer.expect(">")
    return Entry(prefix, _tree(lexer, 0))


def _prefix(lexer: Lexer) -> tuple[str | None, ...]:
    lexer.skip_space()
    lexer.expect("/")
    elements: list[str | None] = []
    if lexer.next == "*" or lexer.at_label:
        elements.append(_prefix_element(lexer))
        while lexer.take("/"):
            elements.append(_prefix_element(lexer))
    return tuple(elements)


def _prefix_element(lexer: Lexer) -> str | None:
    return None if lexer.take("*") else lexer.label()


def _tree(lexer: Lexer, depth: int) -> NameTree[Path]:
    trees = [_union(lexer, depth)]
    while lexer.take("|"):
        trees.append(_union(lexer, depth))
    return Alt(tuple(trees)) if len(trees) > 1 else trees[0]


def _union(lexer: Lexer, depth: int) -> NameTree[Path]:
    branches = [_weighted(lexer, depth)]
    lexer.skip_space()
    while lexer.take("&"):
        branches.append(_weighted(lexer, depth))
        lexer.skip_space()
    # The weight of a lone branch means nothing and is dropped, as Finagle does.
    return Union(tuple(branches)) if len(branches) > 1 else branches[0].tree


def _weighted(lexer: Lexer, depth: int) -> Weighted[Path]:
    lexer.skip_space()
    weight = 1.0
    if lexer.at_number:
        weight = lexer.number()
        lexer.skip_space()
        lexer.expect("*")
        lexer.skip_space()
    return Weighted(weight, _simple(lexer, depth))


def _simple(lexer: Lexer, depth: int) -> NameTree[Path]:
    if lexer.next == "/":
        return Leaf(Path(lexer.path()))
    if lexer.next == "(":
        if depth == MAX_PARENTHESES:
            raise lexer.fail(f"at most {MAX_PARENTHESES} nested parentheses")
        lexer.take("(")
        tree = _tree(lexer, depth + 1)
        lexer.skip_space()
        lexer.expect(")")
        return tree
    constant = _CONSTANTS.get(lexer.next)
    if constant is None:
        raise lexer.fail("a path, '(', '!', '~' or '$'")
    lexer.position += 1
    return constant

"""Random names, trees and dtabs."""

import string

from hypothesis import strategies as st

from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dentry, Dtab, Prefix
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Alt, Leaf, NameTree, Union, Weighted
from linkerd_tcp.naming.path import Path

plain_labels = st.text(string.ascii_letters + string.digits + "_:.#$%-", min_size=1, max_size=4)
byte_labels = st.binary(min_size=1, max_size=4).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
labels = plain_labels | byte_labels
paths = st.lists(labels, max_size=4).map(Path)
prefixes = st.lists(labels | st.none(), max_size=3).map(Prefix)
weights = st.floats(min_value=0, allow_infinity=False) | st.integers(0, 100).map(float)


def trees(leaves: st.SearchStrategy[Path] = paths, weights: st.SearchStrategy[float] = weights) -> st.SearchStrategy:
    """Trees as the parser makes them: at least two alternatives, at least two branches."""

    def deeper(inner: st.SearchStrategy[NameTree[Path]]) -> st.SearchStrategy[NameTree[Path]]:
        branches = st.builds(Weighted, weights, inner)
        return st.lists(inner, min_size=2, max_size=4).map(lambda trees: Alt(tuple(trees))) | st.lists(
            branches, min_size=2, max_size=4
        ).map(lambda branches: Union(tuple(branches)))

    return st.recursive(leaves.map(Leaf) | st.sampled_from([NEG, FAIL, EMPTY]), deeper, max_leaves=12)


dtabs = st.lists(st.builds(Dentry, prefixes, trees()), max_size=4).map(Dtab)

_few = st.lists(st.sampled_from("ab"), max_size=2).map(Path)
tangled_dtabs = st.lists(
    st.builds(Dentry, st.lists(st.sampled_from(["a", "b", None]), max_size=2).map(Prefix), trees(_few)), max_size=5
).map(Dtab)
"""Few labels, so that entries lead to one another, round and round."""


def reads_or_marks_the_spot(read, text: str) -> bool:
    """Whether `text` is read, or refused with a DtabError that marks a place in it."""
    try:
        read(text)
    except DtabError as error:
        return "[" in str(error) and 0 <= error.offset <= len(text)
    return True

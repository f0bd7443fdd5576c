"""A path: what a connection is for (`/svc/web`), or where a name leads (`/#/io.l5d.fs/web`)."""

from collections.abc import Iterable
from typing import Final

from linkerd_tcp.naming.lexer import Lexer, show_label


class Path(tuple[str, ...]):
    """A sequence of non-empty labels; `Path()` is the root, "/". Immutable, hashed and compared as the tuple it is.

    A label stands for bytes: text for those that are UTF-8, surrogateescape for the others. ValueError for an empty
    label and for text that stands for no bytes (a lone surrogate of another kind).
    """

    __slots__ = ()

    def __new__(cls, labels: Iterable[str] = ()) -> "Path":
        checked = tuple(labels)
        if "" in checked:
            raise ValueError(f"empty label in path {checked!r}")
        if not all(map(str.isascii, checked)):
            # One spelling for the same bytes: escaped bytes that are UTF-8 together become their text.
            checked = tuple(
                label.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") for label in checked
            )
        return _path(checked)

    @staticmethod
    def read(text: str) -> "Path":
        """The path that `text` spells; DtabError if it spells none."""
        lexer = Lexer(text)
        labels = lexer.path()
        lexer.end()
        return _path(labels)

    def __str__(self) -> str:
        return "/" + "/".join(map(show_label, self))

    def __repr__(self) -> str:
        return f"Path({str(self)!r})"

    def __add__(self, other: tuple[str, ...]) -> "Path":  # type: ignore[override]
        return _path(tuple.__add__(self, other))

    def __truediv__(self, label: str) -> "Path":
        """This path and one more label."""
        return self + Path((label,))

    def starts_with(self, prefix: tuple[str, ...]) -> bool:
        return self[: len(prefix)] == prefix

    def drop(self, count: int) -> "Path":
        """Without its first `count` labels."""
        return _path(self[count:]) if count else self

    def take(self, count: int) -> "Path":
        """Its first `count` labels."""
        return _path(self[:count])


def _path(labels: tuple[str, ...]) -> Path:
    """A path of labels known to be good."""
    return tuple.__new__(Path, labels)


ROOT: Final = Path()

"""The default interpreter: the router's dtab over the namers of the same file.

A path that no dtab entry rewrites is looked up: below `/#` by the namers whose prefix it has, the last configured one
first, the next if it says Neg; below `/$` by the utility names that are always there. A namer may answer with a path,
which goes through the dtab again.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from linkerd_tcp.config.interpreters import InterpreterOptions
from linkerd_tcp.interpreters.tracked import Read, Tracked
from linkerd_tcp.naming.addr import Failed, Pending
from linkerd_tcp.naming.bind import bind
from linkerd_tcp.naming.delegate import DelegateTree, delegate
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, Found, same_binding
from linkerd_tcp.naming.namer import Discovery, InterpreterContext, Namer
from linkerd_tcp.naming.nametree import NEG, NegTree
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch

_UTILITIES: Final = -1
"""The place of the utility names among the namers, in keys."""

_log: Final = logging.getLogger(__name__)


class DefaultConfig(InterpreterOptions):
    """`interpreter: {kind: default}`, and what a router gets that names no interpreter."""

    kind: Literal["default"] = "default"

    def build(self, context: InterpreterContext) -> "DefaultInterpreter":
        return DefaultInterpreter(context.dtab, context.namers, context.utilities)


class DefaultInterpreter:
    """Binds paths through `dtab`; the namers are others' to start and to close.

    A binding is told anew at the moment the dtab or a namer's answer changes it, with or without traffic. The addresses
    of a bound name stay live while the binding it came with is open and leads there, or led there last before it
    became pending or failed.
    """

    kind = "default"

    def __init__(self, dtab: Dtab, namers: Sequence[Namer], utilities: Namer) -> None:
        self._dtab = dtab
        self._namers = tuple(reversed(namers))
        self._utilities = utilities
        self._open: dict[Tracked[Any], None] = {}

    @property
    def sources(self) -> Sequence[Discovery]:
        return ()

    @property
    def dtab(self) -> Dtab:
        return self._dtab

    def set_dtab(self, dtab: Dtab, rest: Callable[[], object] = lambda: None) -> None:
        """Go on with another dtab: every open binding is evaluated again. `rest` is called between them: there may be
        thousands, and the loop is to run meanwhile. One change at a time. What fails in one of them, in a namer of
        somebody else's or an observer, is logged: the others are evaluated all the same.
        """
        if dtab == self._dtab:
            return
        self._dtab = dtab
        for tracked in tuple(self._open):
            try:
                tracked.changed()
            except Exception:  # noqa: BLE001  it must not leave all the others, and who changed the dtab, with the old one
                _log.exception("a name could not be bound anew")
            rest()

    def bind(self, path: Path, extra: Dtab | None = None) -> Watch[Binding]:
        def compute(read: Read) -> Binding:
            return bind(self._dtab_with(extra), path, lambda name: self._lookup(read, name))

        return self._track(Tracked(compute, _is_tree, same_binding, self._forget))

    def delegation(self, path: Path, extra: Dtab | None = None) -> Watch[DelegateTree]:
        """As `delegate`, live: for who waits until what is pending in it becomes known."""

        def compute(read: Read) -> DelegateTree:
            return delegate(self._dtab_with(extra), path, lambda name: self._lookup(read, name))

        return self._track(Tracked(compute, lambda _: True, DelegateTree.__eq__, self._forget))

    def delegate(self, path: Path, extra: Dtab | None = None) -> DelegateTree:
        """How `path` is resolved now. Nothing stays open: the addresses in it are those last known."""
        watch = self.delegation(path, extra)
        watch.close()
        return watch.value

    def instead(self, dtab: Dtab) -> "DefaultInterpreter":
        """One that goes by `dtab`, over the same namers; the caller closes it."""
        return DefaultInterpreter(dtab, self._namers[::-1], self._utilities)

    def close(self) -> None:
        """Close every binding still open."""
        for tracked in tuple(self._open):
            tracked.close()

    def _dtab_with(self, extra: Dtab | None) -> Dtab:
        return self._dtab + extra if extra else self._dtab

    def _track(self, tracked: Tracked[Any]) -> Tracked[Any]:
        self._open[tracked] = None
        return tracked

    def _forget(self, tracked: Tracked[Any]) -> None:
        self._open.pop(tracked, None)

    def _lookup(self, read: Read, path: Path) -> Found:
        match path.take(1):
            case ("$",):
                return self._ask(read, _UTILITIES, self._utilities, path.drop(1))
            case ("#",):
                return self._ask_namers(read, path.drop(1))
            case _:
                return NEG

    def _ask_namers(self, read: Read, path: Path) -> Found:
        for place, namer in enumerate(self._namers):
            if path.starts_with(namer.prefix):
                found = self._ask(read, place, namer, path.drop(len(namer.prefix)))
                if not isinstance(found, NegTree):
                    return found
        return NEG

    def _ask(self, read: Read, place: int, namer: Namer, path: Path) -> Found:
        return read((place, path), lambda: namer.lookup(path))


def _is_tree(binding: Binding) -> bool:
    return not isinstance(binding, Pending | Failed)

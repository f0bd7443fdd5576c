"""What `io.l5d.dns` and `io.l5d.dnssrv` have in common: names that are looked up, held, and let go."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import Addr, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.shared import SharedAddr
from linkerd_tcp.naming.watch import Var, Watch
from namers.dns_names import MAX_NAMES, Asked, DnsNames
from namers.dns_options import DnsOptions

_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\.?\Z){_LABEL}(?:\.{_LABEL})*\.?")
_ADDR_ROOT: Final = Path(("#",))


def dns_name(text: str) -> str | None:
    """`text` in lower case if it can be the name of a host or service: ASCII, labels up to 63 bytes, 253 in all."""
    lowered = text.lower()
    return lowered if text.isascii() and _NAME.fullmatch(lowered) else None


class LiveDnsName:
    """One name, as long as somebody looks it up or observes its addresses: `addr`, which a subclass feeds.

    Last good wins: what is pending or failed replaces no addresses.
    """

    def __init__(self, namer: "DnsNamer", elements: tuple[str, ...]) -> None:
        self.namer = namer
        self.elements = elements
        self.addr = SharedAddr(self._end_if_idle)
        self._bound_id = _ADDR_ROOT + namer.prefix + elements
        self._lookups: dict[Var[Found], Path] = {}

    def look_up(self, residual: Path) -> Watch[Found]:
        var: Var[Found] = Var(self._found(self.addr.value, residual), on_close=lambda: self._leave(var))
        self._lookups[var] = residual
        return var

    def set(self, addr: Addr) -> None:
        """What is known now."""
        if isinstance(addr, Pending | Failed) and isinstance(self.addr.value, Bound | Neg):
            return
        self.addr.set(addr)
        for var, residual in tuple(self._lookups.items()):
            var.set(self._found(self.addr.value, residual))

    def _found(self, addr: Addr, residual: Path) -> Found:
        if isinstance(addr, Pending | Failed):
            return addr
        return NEG if isinstance(addr, Neg) else Leaf(BoundName(self._bound_id, self.addr, residual))

    def _leave(self, var: Var[Found]) -> None:
        self._lookups.pop(var, None)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self._lookups and not self.addr.observed and not self.addr.closed:
            self.namer.forget(self)

    def row(self) -> WatchState:
        raise NotImplementedError

    def _row(self, main: Asked, others: Iterable[Asked] = ()) -> WatchState:
        """`main` is what is asked for it, and `others` besides; the first that failed is shown."""
        shown = next((each for each in (main, *others) if each.error is not None), main)
        last_good_at = main.question.last_good_at if main.question is not None else None
        error_at = shown.question.error_at if shown.question is not None else None
        name = str(Path(self.elements))
        return watch_state(name, self.addr.value, last_good_at, shown.error, error_at, shown.next_attempt_at)

    def close(self) -> None:
        self.addr.end()


class DnsNamer:
    """Base of the two namers: `read` says which name a path begins with, `make` follows it."""

    def __init__(self, kind: str, options: DnsOptions) -> None:
        self.kind = kind
        self.prefix = options.prefix
        self.figures = NamerFigures()
        self.asked = DnsNames(options.chosen, options.lives, self.figures)
        self._names: dict[tuple[str, ...], LiveDnsName] = {}
        self._closed = False

    def start(self) -> None:
        """Nothing to begin: names are asked for when they are looked up."""

    def read(self, path: Path) -> tuple[str, ...] | Neg | Failed:
        """The elements, at the beginning of `path`, that name something here."""
        raise NotImplementedError

    def make(self, elements: tuple[str, ...]) -> LiveDnsName:
        raise NotImplementedError

    def lookup(self, path: Path) -> Watch[Found]:
        elements = NEG_ADDR if self._closed else self.read(path)
        if isinstance(elements, Neg):
            return Var[Found](NEG)
        if isinstance(elements, Failed):
            return Var[Found](elements)
        name = self._names.get(elements)
        if name is None:
            if len(self._names) >= MAX_NAMES:
                self.figures.error("limit")
                return Var[Found](Failed(f"more than {MAX_NAMES} names are looked up below /#{self.prefix}"))
            name = self._names[elements] = self.make(elements)
        return name.look_up(path.drop(len(elements)))

    def forget(self, name: LiveDnsName) -> None:
        if self._names.get(name.elements) is name:
            del self._names[name.elements]
        name.close()

    def watches(self) -> Iterator[WatchState]:
        return (name.row() for name in tuple(self._names.values()))

    def close(self) -> None:
        self._closed = True
        for name in tuple(self._names.values()):
            name.close()
        self._names.clear()
        self.asked.close()

"""namerd as a source of discovery: paths bound, addresses followed, delegations shown.

Nothing here waits: each name has a greenlet of its own that asks for it (`follower`), and what is known of it is told
when it changes. A name is followed while somebody holds it, and its request ends at once when nobody does.
"""

from collections.abc import Iterator
from contextlib import closing
from time import monotonic
from typing import Final

import gevent

from linkerd_tcp.namerd.dial import FindHost
from linkerd_tcp.namerd.failures import RequestFailed, misread
from linkerd_tcp.namerd.figures import NamerdFigures
from linkerd_tcp.namerd.follower import Link, read_all
from linkerd_tcp.namerd.names import FollowedAddr, FollowedPath, PolledPath, WatchedPath
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.naming.addr import Failed, Pending
from linkerd_tcp.naming.delegation import DelegateTree, Step
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding
from linkerd_tcp.naming.namer import NamerFigures, WatchState
from linkerd_tcp.naming.nametree import Alt, EmptyTree, FailTree, Leaf, Union
from linkerd_tcp.naming.path import ROOT, Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.turns import Turns, turn_loop
from linkerd_tcp.wire.namerd import read_delegation, read_dtab
from linkerd_tcp.wire.parsing import WireError

MAX_PATHS: Final = 2_500
MAX_ADDRS: Final = 2_500
"""What is followed at most, a greenlet and a connection each. A router keeps 2 000 paths unless told otherwise."""

MAX_DELEGATIONS: Final = 64
KILLS_A_TURN: Final = 10
DELEGATE_SECS: Final = 5.0
"""namerd itself gives up after 2."""


class NamerdClient:
    """`prefix` names it to people and in metrics; `dtab` is sent with every path, and wins over namerd's own.

    `id_prefix` goes in front of the ids that namerd gives.
    """

    def __init__(
        self,
        options: NamerdOptions,
        prefix: Path,
        kind: str,
        find_host: FindHost,
        *,
        dtab: Dtab | None = None,
        id_prefix: Path = ROOT,
    ) -> None:
        self.kind = kind
        self.prefix = prefix
        self._figures = NamerdFigures()
        self.figures: NamerFigures = self._figures
        self._link = Link(options, find_host, self._figures)
        self._watches = options.watches
        self._dtab = dtab or Dtab()
        self._id_prefix = id_prefix
        self._paths: dict[tuple[Path, str], FollowedPath] = {}
        self._addrs: dict[Path, FollowedAddr] = {}
        self._delegations: set[gevent.Greenlet] = set()
        self._closed = False

    def bind(self, path: Path, extra: Dtab | None = None) -> Watch[Binding]:
        """What namerd binds `path` to; the caller closes it. Pending until known, Failed while that cannot be."""
        key = (path, self._dtab_text(extra))
        followed = self._paths.get(key)
        if followed is None:
            if self._closed or len(self._paths) >= MAX_PATHS:
                self.figures.error("limit")
                return Var[Binding](Failed(f"{path}: more than {MAX_PATHS} names are asked of namerd"))
            followed = self._paths[key] = self._path(key)
            followed.follower.start()
        return followed.watch()

    def delegate(self, path: Path, extra: Dtab | None = None) -> DelegateTree:
        """What `path` is bound to, as far as it is known here now: one step. Nothing is asked."""
        followed = self._paths.get((path, self._dtab_text(extra)))
        return _step(path, Pending() if followed is None else followed.value)

    def delegation(self, path: Path, extra: Dtab | None = None) -> Watch[DelegateTree]:
        """namerd's own explanation of `path`: pending until its answer is there; why there is none is one, too."""
        return self._explained(path, self._link.http.target("delegate", _query(path, self._dtab_text(extra))))

    def delegation_by(self, path: Path, dtab: Dtab) -> Watch[DelegateTree]:
        """The same, by `dtab` alone over namerd's namers."""
        return self._explained(path, self._link.http.target_of_namers("delegate", _query(path, str(dtab))))

    def stored(self, secs: float) -> Dtab:
        """What names are bound by: namerd's entries of the namespace and those that are sent, asked for now and known
        within `secs`. RequestFailed, WireError.
        """
        http, until = self._link.http, monotonic() + secs
        with closing(http.open(http.target("dtabs", {}), secs)) as answer:
            documents = read_all(answer, until)
        return read_dtab(documents[-1] if documents else None, Turns().rest) + self._dtab

    def _explained(self, path: Path, target: str) -> Watch[DelegateTree]:
        if self._closed or len(self._delegations) >= MAX_DELEGATIONS:
            self.figures.error("limit")
            words = f"more than {MAX_DELEGATIONS} explanations are asked of namerd at a time"
            return Var(DelegateTree(Step.EXCEPTION, path, message=words))
        asking = gevent.Greenlet()
        watch = Var(DelegateTree(Step.PENDING, path), on_close=lambda: asking.kill(block=False))
        asking = gevent.spawn(self._delegate, path, target, watch)
        asking.name = f"namerd delegate {path}"[:200]
        self._delegations.add(asking)
        asking.rawlink(self._delegations.discard)
        return watch

    def watches(self) -> Iterator[WatchState]:
        """Every path and every id that is followed now."""
        yield from (path.row() for path in tuple(self._paths.values()))
        yield from (addr.row() for addr in tuple(self._addrs.values()))

    def close(self) -> None:
        """End every request and greenlet. Nobody is told anything afterwards; closing twice is harmless."""
        self._closed = True
        followed: list[FollowedPath | FollowedAddr] = [*self._paths.values(), *self._addrs.values()]
        self._paths.clear()
        self._addrs.clear()
        for each in followed:
            each.follower.end()
        greenlets = {*self._delegations, *(each.follower.greenlet for each in followed)} - {None, gevent.getcurrent()}
        _end_all(list(greenlets))
        for each in followed:
            each.close()
        self._link.http.close()

    # -- what is followed

    def _dtab_text(self, extra: Dtab | None) -> str:
        return str(self._dtab + extra if extra else self._dtab)

    def _path(self, key: tuple[Path, str]) -> FollowedPath:
        path, dtab = key

        def forget(followed: FollowedPath) -> None:
            if self._paths.get(key) is followed:
                del self._paths[key]

        if not self._watches:
            return PolledPath(self._link, path, self._id_prefix + path, dtab, forget)
        return WatchedPath(self._link, path, self._id_prefix, dtab, self._follow, forget)

    def _follow(self, bound_id: Path) -> FollowedAddr | None:
        followed = self._addrs.get(bound_id)
        if followed is None:
            if self._closed or len(self._addrs) >= MAX_ADDRS:
                self.figures.error("limit")
                return None
            followed = self._addrs[bound_id] = FollowedAddr(self._link, bound_id, self._forget)
            followed.follower.start()
        return followed

    def _forget(self, followed: FollowedAddr) -> None:
        if self._addrs.get(followed.id) is followed:
            del self._addrs[followed.id]

    def _delegate(self, path: Path, target: str, watch: Var[DelegateTree]) -> None:
        http, began = self._link.http, monotonic()
        try:
            with closing(http.open(target, DELEGATE_SECS)) as answer:
                self._link.answered()
                documents = read_all(answer, began + DELEGATE_SECS)
            self._figures.requests.observe(monotonic() - began)
            tree = read_delegation(documents[-1] if documents else None)
        except RequestFailed as failure:
            tree = self._no_delegation(path, failure.cause, str(failure))
        except WireError as error:
            tree = self._no_delegation(path, "protocol", misread(http.shown, error))
        watch.set(tree)

    def _no_delegation(self, path: Path, cause: str, words: str) -> DelegateTree:
        self.figures.error(cause)
        return DelegateTree(Step.EXCEPTION, path, message=words)


def _query(path: Path, dtab: str) -> dict[str, str]:
    return {"path": str(path), "dtab": dtab} if dtab else {"path": str(path)}


def _end_all(greenlets: list[gevent.Greenlet]) -> None:
    """A few in each turn of the loop: to end one takes it as long as to serve a connection."""
    if gevent.getcurrent() is gevent.get_hub():
        gevent.killall(greenlets, block=False)
        return
    for start in range(0, len(greenlets), KILLS_A_TURN):
        gevent.killall(greenlets[start : start + KILLS_A_TURN])
        turn_loop()


def _step(path: Path | None, value: Binding) -> DelegateTree:
    """A binding as the one step that led to it."""
    match value:
        case Pending():
            return DelegateTree(Step.PENDING, path)
        case Failed():
            return DelegateTree(Step.EXCEPTION, path, message=value.cause)
        case Leaf():
            return DelegateTree(Step.LEAF, path, bound=value.value)
        case Union():
            trees = tuple(_step(path, each.tree) for each in value.branches)
            return DelegateTree(Step.UNION, path, trees=trees, weights=tuple(each.weight for each in value.branches))
        case Alt():
            return DelegateTree(Step.ALT, path, trees=tuple(_step(path, each) for each in value.trees))
        case FailTree():
            return DelegateTree(Step.FAIL, path)
        case EmptyTree():
            return DelegateTree(Step.EMPTY, path)
        case _:
            return DelegateTree(Step.NEG, path)

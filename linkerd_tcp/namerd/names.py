"""What is known of the names that are followed: the addresses of a bound id, what a path is bound to.

Last good wins: a value stays until another is known, or until namerd says definitely that there is nothing (neg).
"""

from collections.abc import Callable
from typing import Any

from linkerd_tcp.namerd.follower import Follower, Link
from linkerd_tcp.naming.addr import PENDING, Addr, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.name import Binding, BoundName, same_binding
from linkerd_tcp.naming.namer import WatchState, watch_state
from linkerd_tcp.naming.nametree import NEG as NEG_TREE
from linkerd_tcp.naming.nametree import EmptyTree, FailTree, Leaf, NegTree, leaves, map_leaves, show
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.shared import SharedAddr
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.wire.namerd import BoundLeaf, read_addr, read_tree


class _LeftOut:
    """What could not be used of a document that is good otherwise."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def __call__(self, words: str) -> None:
        self.first = self.first or words
        self.count += 1

    def tell(self, follower: Follower) -> None:
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        follower.left_out(f"{self.first}{more}" if self.count else "")


class _LiveAddr:
    """One `Addr` fed with documents; `addr` is what is known, for everybody who has the name."""

    def __init__(self, link: Link, on_idle: Callable[[], None]) -> None:
        self.addr = SharedAddr(on_idle)
        self._figures = link.figures

    def take(self, document: Any, follower: Follower) -> None:
        """WireError."""
        left_out = _LeftOut()
        addr = read_addr(document, left_out, Turns().rest)
        if isinstance(addr, Bound | Neg):
            left_out.tell(follower)
            follower.good()
            self.set(addr)
        elif isinstance(addr, Failed):
            follower.fail("failed", f"namerd says: {addr.cause}")
            self.fail(addr.cause)
        elif not self.is_known:
            self.addr.set(PENDING)

    @property
    def is_known(self) -> bool:
        return isinstance(self.addr.value, Bound | Neg)

    def set(self, addr: Addr) -> None:
        if addr != self.addr.value:
            self._figures.updates += 1
            self.addr.set(addr)

    def fail(self, words: str) -> None:
        """Nothing is known, and why; what was known stays."""
        if not self.is_known:
            self.addr.set(Failed(words))


class FollowedAddr:
    """The live addresses of one id. It lives while somebody holds it or observes `addr`; then `on_end` is called."""

    def __init__(self, link: Link, bound_id: Path, on_end: Callable[["FollowedAddr"], None]) -> None:
        self.id = bound_id
        self._live = _LiveAddr(link, self._end_if_idle)
        self.follower = Follower(link, str(bound_id), "addr", {"path": str(bound_id)}, self._take, self._trouble)
        self._on_end = on_end
        self._holders = 0

    @property
    def addr(self) -> SharedAddr:
        return self._live.addr

    def hold(self) -> None:
        self._holders += 1

    def release(self) -> None:
        self._holders -= 1
        self._end_if_idle()

    def offer(self, addr: Addr) -> None:
        """What the tree that led here said, at its moment: better than nothing, and than what is not heard of now."""
        if isinstance(addr, Bound | Neg) and not self.follower.is_live:
            self.follower.good_meanwhile()
            self._live.set(addr)

    def row(self) -> WatchState:
        return _row(self.follower, self.addr.value)

    def close(self) -> None:
        self.addr.end()
        self.follower.close()

    def _end_if_idle(self) -> None:
        if self._holders <= 0 and not self.addr.observed and not self.addr.closed:
            self.close()
            self._on_end(self)

    def _take(self, document: Any) -> None:
        self._live.take(document, self.follower)

    def _trouble(self, words: str) -> None:
        self._live.fail(words)


class FollowedPath:
    """What one path is bound to, for everybody who asked: each has a watch of its own. Lives while one is open.

    The subclass makes `follower` and says what a document means.
    """

    follower: Follower

    def __init__(self, on_end: Callable[["FollowedPath"], None]) -> None:
        self.value: Binding = PENDING
        self._watches: dict[Var[Binding], None] = {}
        self._on_end = on_end
        self.closed = False

    def watch(self) -> Watch[Binding]:
        """One more, to be closed by who gets it."""
        watch: Var[Binding] = Var(self.value, on_close=lambda: self._let_go(watch))
        self._watches[watch] = None
        return watch

    def row(self) -> WatchState:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True
        self._watches.clear()
        self.follower.close()

    @property
    def is_idle(self) -> bool:
        return not self._watches

    def end_if_idle(self) -> None:
        if self.is_idle and not self.closed:
            self.close()
            self._on_end(self)

    def _let_go(self, watch: Var[Binding]) -> None:
        self._watches.pop(watch, None)
        self.end_if_idle()

    def _tell(self, value: Binding) -> None:
        same = same_binding(self.value, value)
        self.value = value
        for watch in () if same else tuple(self._watches):
            watch.tell(value)

    def _trouble(self, words: str) -> None:
        if isinstance(self.value, Pending | Failed):
            self._tell(Failed(words))


class PolledPath(FollowedPath):
    """A path whose addresses namerd resolves: one name, the path itself, whatever tree is behind it."""

    def __init__(
        self, link: Link, path: Path, bound_id: Path, dtab: str, on_end: Callable[[FollowedPath], None]
    ) -> None:
        super().__init__(on_end)
        self._live = _LiveAddr(link, self.end_if_idle)
        self._leaf = Leaf(BoundName(bound_id, self._live.addr))
        self.follower = Follower(link, str(path), "resolve", _query(path, dtab), self._take, self._trouble)

    @property
    def is_idle(self) -> bool:
        return super().is_idle and not self._live.addr.observed

    def row(self) -> WatchState:
        return _row(self.follower, self._live.addr.value)

    def close(self) -> None:
        self._live.addr.end()
        super().close()

    def _take(self, document: Any) -> None:
        self._live.take(document, self.follower)
        addr = self._live.addr.value
        self._tell(self._leaf if isinstance(addr, Bound) else NEG_TREE if isinstance(addr, Neg) else addr)

    def _trouble(self, words: str) -> None:
        self._live.fail(words)
        super()._trouble(words)


class WatchedPath(FollowedPath):
    """A path whose tree is watched; the addresses of each id in it are followed by a `FollowedAddr`.

    `follow` gives that of an id, or None where too many are followed.
    """

    def __init__(
        self,
        link: Link,
        path: Path,
        id_prefix: Path,
        dtab: str,
        follow: Callable[[Path], FollowedAddr | None],
        on_end: Callable[[FollowedPath], None],
    ) -> None:
        super().__init__(on_end)
        self._figures = link.figures
        self._id_prefix = id_prefix
        self._follow = follow
        self._held: dict[Path, FollowedAddr] = {}
        self.follower = Follower(link, str(path), "bind", _query(path, dtab), self._take, self._trouble)

    def row(self) -> WatchState:
        follower, value = self.follower, self.value
        if isinstance(value, Pending | Failed):
            return _row(follower, value)
        names = list(leaves(value))
        count = sum(len(addr.addresses) for name in names if isinstance(addr := name.addr.value, Bound))
        state = _STATES.get(type(value), "bound")
        words = show(map_leaves(value, lambda name: name.id + name.residual))
        times = (follower.last_good_at, follower.error, follower.error_at, follower.next_attempt_at)
        return WatchState(follower.name, state, count, *times, words)

    def close(self) -> None:
        super().close()
        held, self._held = self._held, {}
        for each in held.values():
            each.release()

    def _take(self, document: Any) -> None:
        tree = read_tree(document, pause=Turns().rest)
        if isinstance(tree, Pending):
            return
        if isinstance(tree, Failed):
            self.follower.fail("failed", f"namerd says: {tree.cause}")
            self._trouble(tree.cause)
            return
        if self.closed:  # while the document was read, in turns
            return
        self.follower.good()
        before, self._held = self._held, {}
        value: Binding = map_leaves(tree, self._name)
        if not same_binding(self.value, value):
            self._figures.updates += 1
            self._tell(value)
        # Only now: whoever was told has let go of what is not there any more.
        for each in before.values():
            each.release()

    def _name(self, leaf: BoundLeaf) -> BoundName:
        held = self._held.get(leaf.id)
        if held is None:
            held = self._follow(leaf.id)
            if held is None:
                return BoundName(self._id_prefix + leaf.id, Var(_unfollowed(leaf.addr)), leaf.residual)
            held.hold()
            self._held[leaf.id] = held
        held.offer(leaf.addr)
        return BoundName(self._id_prefix + leaf.id, held.addr, leaf.residual)


_STATES = {NegTree: "neg", FailTree: "fail", EmptyTree: "empty"}


def _unfollowed(addr: Addr) -> Addr:
    return Failed("too many names of namerd are followed already") if isinstance(addr, Pending) else addr


def _query(path: Path, dtab: str) -> dict[str, str]:
    return {"path": str(path), "dtab": dtab} if dtab else {"path": str(path)}


def _row(follower: Follower, addr: Addr) -> WatchState:
    times = (follower.last_good_at, follower.error, follower.error_at, follower.next_attempt_at)
    return watch_state(follower.name, addr, *times)

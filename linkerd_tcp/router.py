"""The binder: from a path to a live tree of bound names, to one branch of it, to a balancer.

A `Route` is a path with its binding, watched for as long as it is kept: a change of the dtab or of a namer is
applied when it comes, with or without traffic. Routes that are bound live in a cache of limited size and age; those
that are not (nothing of that name, or not known yet) live in a small one of their own for a second, so that strangers'
names take no slot from real ones.
"""

import logging
import random
from collections.abc import Iterator
from itertools import islice
from time import monotonic, time
from typing import Any, Final, NamedTuple

from gevent.event import Event

from linkerd_tcp.balancers.balancer import Balancer, Deserted
from linkerd_tcp.balancers.endpoints import MAX_DRAINED, Endpoint
from linkerd_tcp.config.client import ClientSettings
from linkerd_tcp.config.router import RouterConfig
from linkerd_tcp.connectors import connector_for
from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.figures import RouterFigures, count
from linkerd_tcp.lost import LostPaths
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import PENDING, Failed, Pending
from linkerd_tcp.naming.delegate import to_json
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.namer import Interpreter
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.duplex import Side
from linkerd_tcp.record import Record

UNBOUND_ROUTES: Final = 1_000
UNBOUND_TTL_SECS: Final = 1.0
VICTIMS_LOOKED_AT: Final = 16
EXPLAIN_INTERVAL_SECS: Final = 0.01
"""At most a hundred failures a second are explained: a flood of them must not cost more than serving would."""

_log = logging.getLogger(__name__)

BalancerKey = tuple[Path, ClientSettings]


class Drain(NamedTuple):
    """Since when, in seconds since the epoch, and the address that asked for it."""

    since: float
    by: str | None


Drained = dict[tuple[str, str], Drain]
"""(bound name, address) that take no new connections until said otherwise, in every router; oldest first."""


class Connection:
    """An open socket to an endpoint that counts it as load until `close`; `late_options` as of `Target`."""

    __slots__ = ("_balancer", "endpoint", "late_options", "sock")

    def __init__(self, sock: Side, balancer: Balancer, endpoint: Endpoint) -> None:
        self.sock = sock
        self._balancer = balancer
        self.endpoint = endpoint
        self.late_options = endpoint.late_options

    def close(self) -> None:
        self.sock.close()
        self._balancer.release(self.endpoint)


class Route:
    """One path and where it leads now. `tree` is the last good binding; `balancers` has one for each of its leaves."""

    __slots__ = (
        "_router",
        "_stop",
        "_watch",
        "balancers",
        "changed",
        "closed",
        "path",
        "single",
        "tree",
        "unknown",
        "used_at",
        "waiters",
    )

    def __init__(self, router: "Router", path: Path, interpreter: Interpreter) -> None:
        self._router = router
        self.path = path
        self.tree: Binding = PENDING
        self.unknown: Pending | Failed | None = None
        """What the newest answer is, where it says nothing and `tree` is an older one."""
        self.single: Balancer | None = None
        """The balancer, where there is no choice."""
        self.balancers: dict[BoundName, Balancer] = {}
        self.changed = Event()
        self.used_at = monotonic()
        self.waiters = 0
        self.closed = False
        self._open(interpreter)

    def _open(self, interpreter: Interpreter) -> None:
        self._watch = interpreter.bind(self.path)
        self._stop = self._watch.observe(self._update)
        self._update(self._watch.value)

    @property
    def is_bound(self) -> bool:
        return bool(self.balancers)

    @property
    def is_busy(self) -> bool:
        return self.waiters > 0 or any(not balancer.idle for balancer in self.balancers.values())

    def _update(self, binding: Binding) -> None:
        """Last good wins: what was known stays while the new answer is unknown or an error."""
        if isinstance(binding, Pending | Failed) and not isinstance(self.tree, Pending | Failed):
            if isinstance(binding, Failed):
                _log.warning("%s keeps its last good binding: %s", self.path, binding.cause)
            self.unknown = binding
            self._wake()
            return
        self.tree, self.unknown = binding, None
        names = [] if isinstance(binding, Pending | Failed) else list(nametree.leaves(binding))
        before = self.balancers
        self.balancers = {name: self._router.acquire(self, name) for name in names}
        self.single = self.balancers[names[0]] if isinstance(binding, nametree.Leaf) else None
        kept = set(self.balancers.values())
        for balancer in {*before.values()} - kept:
            self._router.let_go(self, balancer)
        self._router.settled(self)
        self._wake()

    def _wake(self) -> None:
        """Everyone who waits looks at the tree anew; a fresh event, so that the next wait waits."""
        changed, self.changed = self.changed, Event()
        changed.set()

    def rebind(self, interpreter: Interpreter) -> None:
        """Go on with another interpreter; the last good binding stays until the new one knows better."""
        self._stop()
        before = self._watch
        self._open(interpreter)
        # Only now: what both ask is never let go of between, so that what is known of it is not forgotten.
        before.close()

    def close(self) -> None:
        self._stop()
        self._watch.close()
        for balancer in set(self.balancers.values()):
            self._router.let_go(self, balancer)
        self.balancers = {}
        self.single = None
        self.closed = True
        self.changed.set()


class _Shared:
    """A balancer and the routes that lead to it, each with its own live addresses of the same name."""

    __slots__ = ("balancer", "names")

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer
        self.names: dict[Route, BoundName] = {}


class Router:
    """See the module. `connect` is called from connections' greenlets, everything else from wherever."""

    def __init__(
        self,
        config: RouterConfig,
        interpreter: Interpreter,
        rng: random.Random | None = None,
        drained: Drained | None = None,
    ) -> None:
        self.config = config
        self.label = config.label
        self._binding_secs = config.binding_timeout_ms / 1000
        self.figures = RouterFigures()
        self.interpreter = interpreter
        self._random = rng or random.Random()
        self._bound: dict[Path, Route] = {}
        self._unbound: dict[Path, Route] = {}
        self._balancers: dict[BalancerKey, _Shared] = {}
        self._keys: dict[Balancer, BalancerKey] = {}
        self._explained_at = 0.0
        self._drained: Drained = {} if drained is None else drained
        self.lost = LostPaths()

    def connect(self, path: Path, record: Record, until: float) -> Connection:
        """A connection to an endpoint of `path`, by `until` (time.monotonic seconds).

        Raises ConnectionFailed with the cause and words for the record, which also gets the delegation then.
        """
        route = self._bound.get(path)
        if route is not None:
            self.figures.found += 1
        else:
            route = self._find_or_bind(path)
        route.used_at = record.clock
        binding_until = min(until, record.identified_at + self._binding_secs)
        try:
            while True:
                try:
                    balancer = route.single or self._choose(route, binding_until)
                    record.bound = balancer.bound
                    sock, endpoint = balancer.connect(record, until, binding_until)
                    break
                except Deserted:
                    route = self._find_or_bind(path)
                except ConnectionFailed as failure:
                    if failure.cause is not Cause.NOT_FOUND or route.unknown is None:
                        raise
                    route = self._outwait(route, binding_until)
        except ConnectionFailed as failure:
            if record.bound is None:
                count(self.figures.errors, failure.cause)
                if not route.is_bound:
                    self.lost.note(path, route.tree)
            record.explanation = self._explain(path)
            raise
        record.endpoint = endpoint.text
        return Connection(sock, balancer, endpoint)

    def routes(self) -> Iterator[Route]:
        """Every route that is kept now, the bound ones first."""
        yield from list(self._bound.values())
        yield from list(self._unbound.values())

    def balancers(self) -> list[Balancer]:
        """Every balancer, also those no route leads to any more that still have connections."""
        return [shared.balancer for shared in self._balancers.values()]

    @property
    def has_waiters(self) -> bool:
        """Whether connections are being bound or connected; those that stream need no router."""
        return any(route.waiters for route in self.routes()) or any(
            balancer.figures.waiters for balancer in self.balancers()
        )

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        """Give the endpoint weight 0, or its own weight again; False if no balancer here has it, or had it drained.
        `by` is who asked.
        """
        known = [balancer for balancer in self.balancers() if str(balancer.bound) == bound]
        done = [balancer.drain(address) if on else balancer.undrain(address) for balancer in known]
        if not on:
            was_drained = (bound, address) in self._drained
            self._drained.pop((bound, address), None)
            return any(done) or was_drained
        if any(done):
            self._drained.setdefault((bound, address), Drain(time(), by))
            if len(self._drained) > MAX_DRAINED:
                del self._drained[next(iter(self._drained))]
        return any(done)

    def switch(self, config: RouterConfig, interpreter: Interpreter) -> None:
        """Go on with another configuration, and another interpreter or the same. Open and waiting connections are not
        touched.
        """
        old, self.interpreter, self.config = self.interpreter, interpreter, config
        self._binding_secs = config.binding_timeout_ms / 1000
        for route in list(self.routes()):
            if not route.closed:  # one that became bound may have taken its place in the cache
                route.rebind(interpreter)
        if old is not interpreter:
            old.close()

    def sweep(self) -> None:
        """Evict what has been idle for its time; to be called every second or so."""
        now = monotonic()
        for route in list(self._unbound.values()):
            if not route.waiters and now - route.used_at > UNBOUND_TTL_SECS:
                self._evict(route)
        ttl = self.config.binding_cache.idle_ttl_secs
        for route in list(self._bound.values()):
            if now - route.used_at > ttl and not route.is_busy:
                self._evict(route)
        for shared in list(self._balancers.values()):
            self._drop_if_unused(shared)

    def close(self) -> None:
        for route in list(self.routes()):
            self._evict(route)
        for shared in list(self._balancers.values()):
            shared.balancer.close()
        self._balancers.clear()
        self.interpreter.close()

    # Routes

    def _find_or_bind(self, path: Path) -> Route:
        route = self._bound.get(path) or self._unbound.get(path)
        if route is not None:
            self.figures.found += 1
            return route
        self.figures.created += 1
        return Route(self, path, self.interpreter)

    def settled(self, route: Route) -> None:
        """Keep `route` where it belongs now: its binding has changed."""
        here, there = (self._bound, self._unbound) if route.is_bound else (self._unbound, self._bound)
        there.pop(route.path, None)
        if route.is_bound:
            self.lost.found(route.path)
        if route.path not in here:
            most = self.config.binding_cache.paths if route.is_bound else UNBOUND_ROUTES
            while len(here) >= most:
                self._evict(_victim(here))
            here[route.path] = route

    def _evict(self, route: Route) -> None:
        for kept in (self._bound, self._unbound):
            if kept.get(route.path) is route:
                del kept[route.path]
        route.close()

    def _choose(self, route: Route, until: float) -> Balancer:
        """The balancer of one branch, by weight; waits while the binding is not known."""
        while isinstance(route.tree, Pending):
            self._wait(route, until)
            if route.closed:  # evicted between its change and this greenlet's turn
                route = self._find_or_bind(route.path)
        if isinstance(route.tree, Failed):
            raise ConnectionFailed(Cause.BINDING, f"{route.path} cannot be bound: {route.tree.cause}")
        chosen = nametree.choose(route.tree, self._random.random)
        if isinstance(chosen, nametree.Leaf):
            return route.balancers[chosen.value]
        raise _unbound_error(route.path, chosen)

    def _outwait(self, route: Route, until: float) -> Route:
        """What `route` last led to is gone, and where it leads now is not known: wait for that, and not fail before."""
        while isinstance(route.unknown, Pending):
            self._wait(route, until)
            if route.closed:
                return self._find_or_bind(route.path)
        if isinstance(route.unknown, Failed):
            raise ConnectionFailed(Cause.BINDING, f"{route.path} cannot be bound: {route.unknown.cause}")
        return route

    def _wait(self, route: Route, until: float) -> None:
        most = self.config.client.settings_for(route.path, route.path).max_waiters
        if route.waiters >= most:
            raise ConnectionFailed(Cause.LIMIT, f"{route.path}: maxWaiters ({most}) connections wait for its binding")
        route.waiters += 1
        try:
            if not route.changed.wait(max(until - monotonic(), 0)):
                raise ConnectionFailed(
                    Cause.PENDING, f"{route.path} was not bound in time; /namers.json says what its namer waits for"
                )
        finally:
            route.waiters -= 1

    def _explain(self, path: Path) -> Any:
        now = monotonic()
        if now - self._explained_at < EXPLAIN_INTERVAL_SECS:
            return None
        self._explained_at = now
        return to_json(self.interpreter.delegate(path))

    # Balancers, shared by every route that leads to the same name with the same settings

    def acquire(self, route: Route, name: BoundName) -> Balancer:
        key = (name.id, self.config.client.settings_for(route.path, name.id))
        shared = self._balancers.get(key)
        if shared is None:
            connector = connector_for(key[1], str(name.id))
            drained = [address for bound, address in self._drained if bound == str(name.id)] if self._drained else ()
            balancer = Balancer(name.id, name.addr, key[1], connector, random=self._random, drained=drained)
            shared = self._balancers[key] = _Shared(balancer)
            self._keys[shared.balancer] = key
        else:
            # The watch it follows may be one that this route has just closed.
            shared.balancer.follow(name.addr)
        shared.names[route] = name
        return shared.balancer

    def let_go(self, route: Route, balancer: Balancer) -> None:
        shared = self._balancers[self._keys[balancer]]
        shared.names.pop(route, None)
        # The addresses it followed may have been this route's, whose watch ends: follow another's.
        if shared.names:
            balancer.follow(next(iter(shared.names.values())).addr)
        else:
            balancer.desert()
            self._drop_if_unused(shared)

    def _drop_if_unused(self, shared: _Shared) -> None:
        if not shared.names and shared.balancer.idle:
            del self._balancers[self._keys.pop(shared.balancer)]
            shared.balancer.close()


def _victim(routes: dict[Path, Route]) -> Route:
    """Who makes room: of those looked at longest ago, the one used longest ago, idle ones before busy ones.

    A few at a time, those spared going to the back: a flood of new names must not look at the whole cache for each.
    """
    looked_at = list(islice(routes.values(), VICTIMS_LOOKED_AT))
    victim = min(looked_at, key=lambda route: (route.is_busy, route.used_at))
    for route in looked_at:
        if route is not victim:
            routes[route.path] = routes.pop(route.path)
    return victim


def _unbound_error(path: Path, tree: Any) -> ConnectionFailed:
    if tree == nametree.FAIL:
        return ConnectionFailed(Cause.BINDING, f"{path} leads to ! (fail) in the dtab")
    if tree == nametree.EMPTY:
        return ConnectionFailed(Cause.NO_ENDPOINT, f"{path} leads to $ (empty) in the dtab: it has no endpoints")
    return ConnectionFailed(
        Cause.NOT_FOUND, f"{path} is not found: no dtab entry and no namer knows it; see /delegator.json?path={path}"
    )

"""`--explain` and the part of `--check` that needs namers: the naming half of the program, without serving."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import gevent

from linkerd_tcp import registry
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.router import RouterConfig
from linkerd_tcp.errors import ConfigError, DtabError
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import Addr, Bound, Failed, Pending
from linkerd_tcp.naming.delegate import explain as lines_of
from linkerd_tcp.naming.delegation import DelegateTree, Step
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.namer import Discovery, InterpreterContext, Namer, NamerContext, WatchState
from linkerd_tcp.naming.path import ROOT, Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.staleness import said
from linkerd_tcp.transformers.build import build_interpreter, build_namer

SETTLE_SECS: Final = 10.0
"""How long names that are looked up elsewhere may take to be known."""

ALTERNATIVES_SECS: Final = 2.0
"""How long those may take besides that are printed and not used."""

MOST_WAITED_FOR: Final = 20


def explain(config: AppConfig, path: Path, label: str | None) -> int:
    """Print the delegation of `path`; 0 if a new connection to it would have an address, else 1.

    ConfigError when `label` is needed or is no router's.
    """
    router = _router(config, label)
    with _namers(config) as (hosts, namers, utilities):
        dtab = router.effective_dtab(config.namers)
        context = InterpreterContext(router.label, dtab, namers, utilities)
        interpreter = build_interpreter(router.interpreter, context)
        # Both stay open: what a namer says of a name is there while the name is watched.
        watch, delegation = interpreter.bind(path), interpreter.delegation(path)
        binding, tree = _settled(watch), _delegated(delegation)
        problem = _problem(binding)
        says = _Says(namers, utilities, interpreter.sources)
        print("\n".join(lines_of(tree, says.of)))
        print(
            f"{path}: {problem or 'a new connection would have an address'}", file=sys.stderr if problem else sys.stdout
        )
        if problem:
            for line in _waited_for((*namers, *interpreter.sources, hosts), problem):
                print(f"{path}: {line}", file=sys.stderr)
        delegation.close()
        watch.close()
        interpreter.close()
    return 1 if problem else 0


def check_namers(config: AppConfig) -> list[str]:
    """Everything wrong with what the namers and the control plane read, a printable line each."""
    with _namers(config) as (_, namers, _):
        found = [problem for namer in namers if hasattr(namer, "check") for problem in namer.check()]
    if config.namerd is not None:
        from linkerd_tcp.controller.stores import new_store  # imported only where it is wanted

        store = new_store(config.namerd.storage)
        found += store.check() if hasattr(store, "check") else []
        store.close()
    return found


@contextmanager
def _namers(config: AppConfig) -> Iterator[tuple[Discovery, list[Any], Namer]]:
    hosts = HostResolver()
    utilities = registry.load("utilities", "/$/")(hosts)
    namers: list[Namer] = []
    try:
        for namer_config in config.namers:
            namer = build_namer(namer_config, NamerContext(hosts), utilities)
            namers.append(namer)
            namer.start()
        yield hosts, namers, utilities
    finally:
        for namer in (*namers, utilities):
            namer.close()
        hosts.close()


def _router(config: AppConfig, label: str | None) -> RouterConfig:
    labels = ", ".join(router.label for router in config.routers)
    if label is None and len(config.routers) > 1:
        raise ConfigError(
            [f"linkerd-tcp: --explain: the file has several routers ({labels}): say which with --router LABEL"]
        )
    for router in config.routers:
        if label in (None, router.label):
            return router
    raise ConfigError([f"linkerd-tcp: --router {label}: there is no such router; the file has {labels}"])


def _settled(watch: Any) -> Binding:
    """The binding once it and every address of it is known, or as it is after SETTLE_SECS."""
    until = monotonic() + SETTLE_SECS
    while monotonic() < until:
        binding: Binding = watch.value
        names = [] if isinstance(binding, Pending | Failed) else list(nametree.leaves(binding))
        if not isinstance(binding, Pending) and not any(isinstance(name.addr.value, Pending) for name in names):
            break
        gevent.sleep(0.01)
    result: Binding = watch.value
    return result


def _delegated(watch: Watch[DelegateTree]) -> DelegateTree:
    """The delegation once all of it is known, or as it is after ALTERNATIVES_SECS."""
    until = monotonic() + ALTERNATIVES_SECS
    while watch.value.is_pending and monotonic() < until:
        gevent.sleep(0.01)
    return watch.value


class _Says:
    """What each namer says of the names that it watches, by the names as they stand in an explanation."""

    def __init__(self, namers: Sequence[Discovery], utilities: Discovery, sources: Sequence[Discovery]) -> None:
        self._rows: dict[Path, list[tuple[str, WatchState]]] = {}
        for namer in namers:
            self._add(Path(("#",)) + namer.prefix, namer)
        self._add(Path(("$",)), utilities)
        for source in sources:
            self._add(ROOT, source)  # an interpreter's names are whole ones

    def _add(self, prefix: Path, discovery: Discovery) -> None:
        for watch in discovery.watches():
            try:
                name = prefix + Path.read(watch.name)
            except DtabError:
                continue  # not a path: no step of a delegation has this name
            self._rows.setdefault(name, []).append((discovery.kind, watch))

    def of(self, node: DelegateTree) -> list[str]:
        """The lines about one step: of a name that ends there, or is waited for."""
        name = node.bound.id if node.bound is not None else node.path
        if name is None or node.step not in (Step.LEAF, Step.NEG, Step.PENDING, Step.EXCEPTION):
            return []
        rows = self._of(name)
        heard = node.message
        if node.bound is not None and isinstance(node.bound.addr.value, Failed):
            heard += node.bound.addr.value.cause
        if node.step is Step.NEG:
            rows = [(kind, watch) for kind, watch in rows if watch.is_stale]
        return [f"{kind}: {said(watch, heard)}" for kind, watch in rows if _says_more(watch, heard)]

    def _of(self, name: Path) -> list[tuple[str, WatchState]]:
        """Those of the longest beginning of `name` that has any. A transformer's names go on with the one inside."""
        inside = name.drop(tuple(name).index("#")) if name.starts_with(Path(("%",))) and "#" in name else name
        for length in range(len(inside), 0, -1):
            if inside.take(length) in self._rows:
                return self._rows[inside.take(length)]
        return []


def _says_more(watch: WatchState, heard: str) -> bool:
    """Whether there is anything to say besides the addresses, and the errors in `heard`."""
    if (watch.last_good_at or watch.error_at or watch.next_attempt_at) is not None:
        return True
    return watch.error not in heard if watch.error is not None else watch.state != "bound"


def _waited_for(discoveries: Iterable[Discovery], problem: str) -> Iterator[str]:
    """Who has not answered, or has answered with an error; what `problem` says of it is not said again."""
    waiting = [
        f"waiting for {discovery.kind} {watch.name}: {said(watch, problem)}"
        for discovery in discoveries
        for watch in discovery.watches()
        if watch.is_stale or watch.state == "pending"
    ]
    yield from waiting[:MOST_WAITED_FOR]
    if len(waiting) > MOST_WAITED_FOR:
        yield f"and for {len(waiting) - MOST_WAITED_FOR} more"


def _problem(binding: Binding) -> str | None:
    """Why a new connection might find no address; a branch that cannot be chosen does not matter."""
    if isinstance(binding, Pending):
        return f"not bound within {SETTLE_SECS:g} s"
    if isinstance(binding, Failed):
        return f"cannot be bound: {binding.cause}"
    if isinstance(binding, nametree.Leaf):
        return _addr_problem(binding.value)
    if isinstance(binding, nametree.Union):
        weighted = [branch for branch in binding.branches if branch.weight > 0] or list(binding.branches)
        return next((problem for branch in weighted if (problem := _problem(branch.tree))), None)
    if binding == nametree.FAIL:
        return "the dtab says ! (fail)"
    if binding == nametree.EMPTY:
        return "the dtab says $ (empty): no endpoints"
    return "not found: no dtab entry and no namer knows it"


def _addr_problem(name: BoundName) -> str | None:
    addr: Addr = name.addr.value
    if isinstance(addr, Bound):
        if not addr.addresses:
            return f"{name.id} has no endpoints"
        return (
            None
            if any(address.weight > 0 for address in addr.addresses)
            else f"every endpoint of {name.id} has weight 0"
        )
    if isinstance(addr, Pending):
        return f"the addresses of {name.id} were not known within {SETTLE_SECS:g} s"
    return (
        f"the addresses of {name.id} cannot be known: {addr.cause}"
        if isinstance(addr, Failed)
        else f"{name.id} is gone"
    )

"""An interpreter for each namespace that somebody asks about: the store's dtab over the namers of the file."""

from collections.abc import Callable, Sequence
from typing import Final

import gevent
from gevent.event import Event

from linkerd_tcp.controller.storage import Broken, State, Store, StoreError, Versioned
from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import Namer
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.turns import Turns

NO_DTAB: Final = Dtab()


class Namespace:
    """One namespace, or with `name` None the namers alone. A namespace that is not there has an empty dtab.

    `generation` grows when the interpreter is another one: with other namers.
    """

    def __init__(self, name: str | None, namers: Sequence[Namer], utilities: Namer, state: State = None) -> None:
        self.name = name
        self.users = 0
        self.state = state
        self.generation = 0
        self.interpreter = DefaultInterpreter(_dtab(state), namers, utilities)
        self.settled = Event()
        """Whether every open binding goes by the dtab of `state`."""
        self.settled.set()
        self.watch: Watch[State] | None = None

    @property
    def broken(self) -> str | None:
        """Why its dtab cannot be known."""
        return self.state.cause if isinstance(self.state, Broken) else None

    def settle(self, rest: Callable[[], object]) -> None:
        """Bind everything anew. By one greenlet at a time; after a change meanwhile it is to be called again."""
        state = self.state
        self.interpreter.set_dtab(_dtab(state), rest)
        if state is self.state:
            self.settled.set()

    def replace_namers(self, namers: Sequence[Namer], utilities: Namer) -> DefaultInterpreter:
        """Returns the interpreter before, to be closed when no binding of it is used any more."""
        before = self.interpreter
        self.interpreter = DefaultInterpreter(_dtab(self.state), namers, utilities)
        self.generation += 1
        return before

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        self.interpreter.close()


def _dtab(state: State) -> Dtab:
    return state.dtab if isinstance(state, Versioned) else NO_DTAB


class Namespaces:
    """Those that are asked about. `refresh` is called when something that is computed from them has to be so again:
    in a greenlet, with what gives way to others.
    """

    def __init__(
        self, store: Store, namers: Sequence[Namer], utilities: Namer, refresh: Callable[[Callable[[], object]], None]
    ) -> None:
        self.store = store
        self.namers = tuple(namers)
        self.generation = 0
        """Grows with another store or other namers."""
        self._utilities = utilities
        self._refresh = refresh
        self._held: dict[str | None, Namespace] = {}
        self._unsettled: dict[Namespace, bool] = {}
        """And whether what is computed from it has to be so again."""
        self._woken = Event()
        self._settler = gevent.spawn(self._settle)

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, name: str | None) -> Watch[Namespace]:
        """That namespace, until the watch is closed; StoreError."""
        namespace = self._held.get(name)
        if namespace is None:
            namespace = Namespace(name, self.namers, self._utilities)
            self._follow(namespace)
            self._held[name] = namespace
        namespace.users += 1
        return Var(namespace, on_close=lambda: self._release(namespace))

    def held(self, name: str | None) -> Namespace | None:
        """That namespace, if somebody holds it."""
        return self._held.get(name)

    def _follow(self, namespace: Namespace) -> None:
        """Its dtab is what the store says, from now on."""
        if namespace.name is None:
            return
        watch = self.store.watch(namespace.name)
        watch.observe(lambda state: self._changed(namespace, state))
        namespace.watch = watch
        namespace.state = watch.value
        namespace.interpreter.set_dtab(_dtab(watch.value))

    def _follow_anew(self, namespace: Namespace) -> None:
        """The same, in another store."""
        if namespace.watch is not None:
            namespace.watch.close()
            namespace.watch = None
        try:
            self._follow(namespace)
        except StoreError as error:
            self._changed(namespace, Broken(str(error)))

    def _changed(self, namespace: Namespace, state: State) -> None:
        broken = namespace.broken
        namespace.state = state
        namespace.settled.clear()
        self._unsettled[namespace] = self._unsettled.get(namespace, False) or namespace.broken != broken
        self._woken.set()

    def _settle(self) -> None:
        turns = Turns()
        while True:
            self._woken.wait()
            self._woken.clear()
            while self._unsettled:
                # One pass each: what changes all the time goes to the end of the queue, and holds up no other.
                namespace = next(iter(self._unsettled))
                anew = self._unsettled.pop(namespace)
                namespace.settle(turns.rest)
                if anew:
                    self._refresh(turns.rest)

    def _release(self, namespace: Namespace) -> None:
        namespace.users -= 1
        if not namespace.users:
            self._held.pop(namespace.name, None)
            self._unsettled.pop(namespace, None)
            namespace.close()

    def switch(self, store: Store, namers: Sequence[Namer]) -> None:
        """Go on with these. Returns when nothing uses the others any more; in a greenlet."""
        if store is self.store and list(map(id, namers)) == list(map(id, self.namers)):
            return
        turns = Turns()
        other_store, self.store = store is not self.store, store
        self.namers = tuple(namers)
        self.generation += 1
        before: list[DefaultInterpreter] = []
        for namespace in list(self._held.values()):
            if not namespace.users:
                continue  # let go of while others had their turn
            before.append(namespace.replace_namers(self.namers, self._utilities))
            if other_store:
                self._follow_anew(namespace)
            turns.rest()
        self._refresh(turns.rest)
        for interpreter in before:
            interpreter.close()

    def close(self) -> None:
        """Nothing is bound any more. Those still held go when they are let go."""
        self._settler.kill()
        for namespace in list(self._held.values()):
            namespace.close()

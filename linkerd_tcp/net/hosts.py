"""Host names, resolved again and again by the system's resolver, in threads of their own.

A thread that asks a name server which does not answer is stuck for as long as the C library likes; so a query is
given up on after a deadline, its thread is left to end by itself, and at most so many are left like that. Nothing
waits for them, the end of the process neither.
"""

import _socket
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from time import monotonic, time
from typing import Final

import gevent
from gevent import monkey
from gevent.event import Event

from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed, Neg, Pending
from linkerd_tcp.naming.namer import NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.literal import ip_literal

REFRESH_SECS: Final = 5.0
"""As Finagle's `/$/inet`."""

QUERY_SECS: Final = 3.0
THREADS: Final = 8
MAX_HOSTS: Final = 10_000

_JITTER: Final = 0.1
_NO_SUCH_NAME: Final = frozenset({_socket.EAI_NONAME, getattr(_socket, "EAI_NODATA", _socket.EAI_NONAME)})

_start_thread: Final = monkey.get_original("_thread", "start_new_thread")
_log: Final = logging.getLogger(__name__)

Resolve = Callable[[str], Iterable[str]]


def resolve(host: str) -> list[str]:
    """What the system says: addresses without duplicates. Blocks; OSError (gaierror) or UnicodeError."""
    found = _socket.getaddrinfo(host, None, type=_socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class _Host:
    """One name: its last known addresses, and what is under way for it."""

    __slots__ = ("answered", "error", "error_at", "holders", "last_good_at", "name", "next_at", "query", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value: Addr = PENDING
        self.holders: list[Var[Addr]] = []
        self.next_at = 0.0
        self.query: _Query | None = None
        self.answered = False
        """The last query was answered in time."""
        self.error: str | None = None
        self.error_at: float | None = None
        self.last_good_at: float | None = None


class _Query:
    __slots__ = ("addresses", "error", "give_up_at", "given_up", "host")

    def __init__(self, host: _Host, give_up_at: float) -> None:
        self.host = host
        self.give_up_at = give_up_at
        self.given_up = False
        self.addresses: tuple[str, ...] = ()
        self.error: Exception | None = None


class HostResolver:
    """`Hosts` over the system's resolver: one shared, refreshed value for each name that is watched.

    A name that does not exist is Neg; any other failure keeps the last good addresses, and is Failed only before
    there were any. Addresses are sorted: a name server that rotates them changes nothing. `resolve_host` runs in a
    native thread.

    At most `threads` queries run that have not been given up on, and at most four times as many threads in all; of
    those, `threads` are left to the names whose last query was answered in time.
    """

    def __init__(
        self,
        *,
        refresh_secs: float = REFRESH_SECS,
        query_secs: float = QUERY_SECS,
        threads: int = THREADS,
        max_hosts: int = MAX_HOSTS,
        resolve_host: Resolve = resolve,
    ) -> None:
        self.kind = "hosts"
        self.prefix = Path(("$", "hosts"))
        self.figures = NamerFigures()
        self._refresh_secs = refresh_secs
        self._query_secs = query_secs
        self._threads = threads
        self._max_hosts = max_hosts
        self._resolve = resolve_host
        self._hosts: dict[str, _Host] = {}
        self._due: list[tuple[float, int, _Host]] = []
        self._waiting: dict[_Host, None] = {}  # in order; none that nobody watches
        self._running: dict[_Query, None] = {}
        self._ended: deque[_Query] = deque()
        self._counter = 0
        self._wake = Event()
        self._greenlet: gevent.Greenlet | None = None
        self._closed = False

    def watch(self, host: str) -> Watch[Addr]:
        """The live addresses of `host`, with port 0. An IP literal is Bound at once, for ever."""
        literal = ip_literal(host)
        if literal is not None:
            return Var[Addr](Bound((Address(literal, 0),)))
        name = host.lower()
        known = self._hosts.get(name)
        if known is None:
            if self._closed or len(self._hosts) >= self._max_hosts:
                self.figures.error("limit")
                return Var[Addr](Failed(f"{host}: more than {self._max_hosts} host names are watched"))
            known = self._hosts[name] = _Host(name)
            self._ask(known)
        held = known
        holder: Var[Addr] = Var(known.value, on_close=lambda: self._release(held, holder))
        known.holders.append(holder)
        return holder

    @property
    def in_use(self) -> bool:
        """Whether any host name is watched."""
        return bool(self._hosts)

    def watches(self) -> Iterator[WatchState]:
        """Every name watched now."""
        for host in tuple(self._hosts.values()):
            next_at = None
            if host.query is None and host not in self._waiting:
                next_at = time() + host.next_at - monotonic()
            yield watch_state(host.name, host.value, host.last_good_at, host.error, host.error_at, next_at)

    def close(self) -> None:
        """End the greenlet; threads that are still asking end by themselves, unheard. Closing twice is harmless."""
        self._closed = True
        for host in self._hosts.values():
            host.holders.clear()
        self._hosts.clear()
        self._due.clear()
        self._waiting.clear()
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill(block=gevent.getcurrent() is not gevent.get_hub())

    # -- which names, and when

    def _release(self, host: _Host, holder: Var[Addr]) -> None:
        if holder in host.holders:
            host.holders.remove(holder)
        if not host.holders and self._hosts.get(host.name) is host:
            del self._hosts[host.name]
            self._waiting.pop(host, None)
            if len(self._due) > 64 and len(self._due) > 4 * len(self._hosts):
                self._due = sorted(entry for entry in self._due if self._is_watched(entry[2]))

    def _is_watched(self, host: _Host) -> bool:
        return self._hosts.get(host.name) is host

    def _ask(self, host: _Host) -> None:
        self._waiting[host] = None
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)
            self._greenlet.name = "host names"
        self._wake.set()

    def _again_later(self, host: _Host) -> None:
        if not self._is_watched(host):
            return
        host.next_at = monotonic() + self._refresh_secs * (1 + random.uniform(-_JITTER, _JITTER))
        self._counter += 1
        heappush(self._due, (host.next_at, self._counter, host))

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._wait_secs())
            self._wake.clear()
            now = monotonic()
            while self._ended:
                self._end(self._ended.popleft())
            for query in [query for query in self._running if not query.given_up and query.give_up_at <= now]:
                self._give_up(query)
            while self._due and self._due[0][0] <= now:
                host = heappop(self._due)[2]
                if self._is_watched(host):
                    self._waiting[host] = None
            self._start_waiting()

    def _wait_secs(self) -> float | None:
        times = [query.give_up_at for query in self._running if not query.given_up]
        if self._due:
            times.append(self._due[0][0])
        return max(0.0, min(times) - monotonic()) if times else None

    # -- queries

    def _start_waiting(self) -> None:
        loop = gevent.get_hub().loop
        active = sum(not query.given_up for query in self._running)
        for host in tuple(self._waiting):
            if active >= self._threads or len(self._running) >= 4 * self._threads:
                return
            if not host.answered and len(self._running) >= 3 * self._threads:
                continue
            del self._waiting[host]
            query = host.query = _Query(host, monotonic() + self._query_secs)
            self._running[query] = None
            active += 1
            _start_thread(self._thread, (query, loop))

    def _thread(self, query: _Query, loop: gevent.hub.Hub) -> None:
        """In a native thread, where nothing of gevent may be touched but the two last lines."""
        try:
            query.addresses = tuple(sorted(set(self._resolve(query.host.name))))
        except Exception as error:  # noqa: BLE001  whatever it is belongs to this name, and is shown there
            query.error = error
        self._ended.append(query)
        with contextlib.suppress(ValueError):  # the loop has ended: nobody is left to hear of it
            loop.run_callback_threadsafe(self._wake.set)

    def _give_up(self, query: _Query) -> None:
        query.given_up = True
        query.host.answered = False
        # The host is asked for again when this thread has ended: a name never holds two threads.
        self._fail(query.host, "timeout", f"no answer about {query.host.name} within {self._query_secs:g} s")

    def _end(self, query: _Query) -> None:
        self._running.pop(query, None)
        host = query.host
        if not self._is_watched(host):
            return
        host.query = None
        host.answered = not query.given_up
        self._again_later(host)
        if query.error is None and query.addresses:
            self._good(host, Bound(tuple(Address(ip, 0) for ip in query.addresses)))
        elif query.error is None or isinstance(query.error, UnicodeError | ValueError) or _no_such_name(query.error):
            self._good(host, NEG)  # a name that cannot be asked for does not exist either
        else:
            self._fail(host, "resolve", f"{host.name}: {query.error}")

    def _good(self, host: _Host, value: Bound | Neg) -> None:
        if host.error is not None:
            _log.info("%s is resolved again", host.name)
        host.error = host.error_at = None
        host.last_good_at = self.figures.last_good_at = time()
        if value != host.value:
            self.figures.updates += 1
            self._tell(host, value)

    def _fail(self, host: _Host, cause: str, error: str) -> None:
        self.figures.error(cause)
        if host.error is None and self._is_watched(host):
            kept = "its last addresses are kept" if isinstance(host.value, Bound) else "nothing is known of it yet"
            _log.warning("%s: %s", error, kept)
        host.error, host.error_at = error, time()
        if isinstance(host.value, Pending | Failed):
            self._tell(host, Failed(error))

    def _tell(self, host: _Host, value: Addr) -> None:
        host.value = value
        for holder in tuple(host.holders):
            try:
                holder.set(value)
            except Exception:  # noqa: BLE001  one observer must not end the resolving of all the other names
                _log.exception("%s: an observer failed", host.name)


def _no_such_name(error: Exception) -> bool:
    return isinstance(error, _socket.gaierror) and error.errno in _NO_SUCH_NAME

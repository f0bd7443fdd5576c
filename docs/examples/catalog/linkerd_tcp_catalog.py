"""`com.example.catalog`: one JSON document, fetched again and again, says where everything is:

{"web": ["10.0.0.1:80", {"host": "10.0.0.2", "port": 80, "weight": 0.5}], "db": ["db.example:5432"]}
"""

import json
import logging
from collections.abc import Iterator
from time import time
from typing import Annotated, Literal

import gevent
import requests
from pydantic import Field

from linkerd_tcp.config.namers import NamerOptions
from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import PENDING, Failed
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import Hosts, NamerContext, NamerFigures, WatchState, watch_state
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.net.backoff import Backoff
from namers.endpoints import Endpoint, read_item
from namers.live import LiveName

REQUEST_SECS = 2.0
MAX_BYTES = 1024 * 1024

Catalog = dict[str, tuple[Endpoint, ...]]

_log = logging.getLogger(__name__)


class CatalogConfig(NamerOptions):
    """Endpoints from a JSON document that is fetched again and again."""

    kind: Literal["com.example.catalog"] = "com.example.catalog"
    url: Annotated[str, Field(pattern="^https?://")]
    """Where the document is."""
    period_secs: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    """How old the document may become; after a failure up to ten times as long."""

    def build(self, context: NamerContext) -> "CatalogNamer":
        return CatalogNamer(self, context.hosts)


class CatalogNamer:
    """`/#/com.example.catalog/web/rest` is `web` of the document; `/rest` is left over."""

    kind = "com.example.catalog"

    def __init__(self, config: CatalogConfig, hosts: Hosts) -> None:
        self.prefix = config.prefix
        self.figures = NamerFigures()
        self._config = config
        self._hosts = hosts
        self._catalog: Catalog | None = None
        self._names: dict[str, LiveName] = {}
        self._lookups: dict[Var[Found], Path] = {}
        self._error: str | None = None
        self._error_at: float | None = None
        self._next_at: float | None = None
        self._poller: gevent.Greenlet | None = None

    def start(self) -> None:
        self._poller = gevent.spawn(self._poll)

    def close(self) -> None:
        if self._poller is not None:
            self._poller.kill()
        for live in tuple(self._names.values()):
            live.close()
        self._names.clear()
        self._lookups.clear()

    def watches(self) -> Iterator[WatchState]:
        """A row for each name in use; the error of a poll is every name's."""
        for name, live in tuple(self._names.items()):
            at = (self.figures.last_good_at, self._error, self._error_at, self._next_at)
            yield watch_state(str(Path((name,))), live.addr.value, *at)

    # -- looking up: never waits, never raises for a name

    def lookup(self, path: Path) -> Watch[Found]:
        if not path:
            return Var[Found](NEG)
        name = path[0]
        live = self._names.get(name)
        if live is None:
            # It lives while a lookup holds it or somebody observes its addresses.
            live = self._names[name] = LiveName(self._hosts, lambda: self._names.pop(name, None))
            self._tell_name(name, live)
        release = live.hold()

        def close() -> None:
            self._lookups.pop(watch, None)
            release()

        watch: Var[Found] = Var(self._found(path, live), on_close=close)
        self._lookups[watch] = path
        return watch

    def _found(self, path: Path, live: LiveName) -> Found:
        if self._catalog is None:
            return PENDING if self._error is None else Failed(self._error)
        if path[0] not in self._catalog:
            return NEG
        return Leaf(BoundName(Path(("#",)) + self.prefix + path.take(1), live.addr, path.drop(1)))

    def _tell_name(self, name: str, live: LiveName) -> None:
        if self._catalog is None:
            live.set(PENDING if self._error is None else Failed(self._error))
        elif name in self._catalog:
            live.replace(self._catalog[name])
        else:
            live.set(NEG_ADDR)

    def _tell_all(self) -> None:
        for name, live in tuple(self._names.items()):
            self._tell_name(name, live)
        for watch, path in tuple(self._lookups.items()):
            if path[0] in self._names:  # else whoever was told before has let go of it
                watch.set(self._found(path, self._names[path[0]]))

    # -- polling: in a greenlet of its own, which ends with `close`

    def _poll(self) -> None:
        backoff = Backoff(self._config.period_secs, 10 * self._config.period_secs)
        with requests.Session() as session:
            session.trust_env = False  # HTTP_PROXY of whoever started this process is not meant
            while True:
                self._next_at = None
                try:
                    self._good(fetch(session, self._config.url))
                    backoff.reset()
                except Exception as error:  # noqa: BLE001  whatever it is: nobody would see that this greenlet ended
                    self._fail(f"{self._config.url}: {error}", type(error).__name__)
                wait_secs = backoff.next_secs()
                self._next_at = time() + wait_secs
                gevent.sleep(wait_secs)

    def _good(self, catalog: Catalog) -> None:
        if self._error is not None:
            _log.info("%s is good again", self._config.url)
        self._error = self._error_at = None
        self.figures.last_good_at = time()
        if catalog != self._catalog:
            self.figures.updates += 1
            self._catalog = catalog
            self._tell_all()

    def _fail(self, words: str, cause: str) -> None:
        self.figures.error(cause)
        if words != self._error:  # said once, not each period
            _log.warning("%s%s", words, "" if self._catalog is None else ": the last good catalog is kept")
        self._error, self._error_at = words, time()
        if self._catalog is None:
            self._tell_all()


def fetch(session: requests.Session, url: str) -> Catalog:
    """The document, within REQUEST_SECS, however slowly it comes. OSError or ValueError, in words."""
    late = TimeoutError(f"no answer within {REQUEST_SECS:g} s")
    with gevent.Timeout(REQUEST_SECS, late), session.get(url, stream=True, timeout=REQUEST_SECS) as answer:
        answer.raise_for_status()
        text = answer.raw.read(MAX_BYTES + 1, decode_content=True)
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return read_catalog(text)


def read_catalog(text: bytes) -> Catalog:
    """ValueError unless it is a JSON object of lists of endpoints."""
    document = json.loads(text)
    if not isinstance(document, dict) or not all(isinstance(items, list) for items in document.values()):
        raise ValueError('expected {"name": ["host:port", ...], ...}')
    return {name: tuple(map(read_item, items)) for name, items in document.items()}

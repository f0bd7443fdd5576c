"""What a store of dtabs by namespace is, and how it says no. Behind it are memory (`memory`) and files (`files`)."""

from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from linkerd_tcp.errors import LinkerdTcpError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import Discovery
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch

MAX_NAMESPACES: Final = 10_000
MAX_DTAB_BYTES: Final = 1024 * 1024
"""Of one dtab, as it is written to a file: an entry a line."""

MAX_TOTAL_BYTES: Final = 64 * 1024 * 1024
"""Of all dtabs of one store together."""

MAX_WATCHES: Final = 20_000
MAX_NAME_BYTES: Final = 1000
MAX_ELEMENT_BYTES: Final = 250
"""Of what stands between two `/`: a file system has 255 for a file's name, of which `.dtab` takes five."""

MAX_ELEMENTS: Final = 32

PREFIX: Final = Path(("$", "dtabs"))
"""What a store is called among the things that find something: /namers.json, metrics."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A namespace's dtab, and the version that a compare-and-set compares with: 8 to 32 opaque bytes."""

    dtab: Dtab
    version: bytes

    @property
    def in_words(self) -> str:
        return "1 entry" if len(self.dtab) == 1 else f"{len(self.dtab)} entries"


@dataclass(frozen=True, slots=True)
class Broken:
    """The namespace is there, and what it says could not be read since this process began.

    Whoever binds through it must take it for a failure that may pass, never for an empty dtab or a missing namespace.
    """

    cause: str
    """`file:line:column: ...` or `file: ...`, for people."""


State: TypeAlias = Versioned | Broken | None
"""Of a namespace; None: there is none of that name. One that was good once stays Versioned, the last good one."""


class StoreError(LinkerdTcpError):
    """A store does not do what it was asked; nothing was changed, unless the text says so. The text is for people."""


class BadName(StoreError, ValueError):
    """No namespace can have this name."""


class Exists(StoreError):
    """`create`: the namespace is there."""


class Missing(StoreError):
    """There is no such namespace."""


class Mismatch(StoreError):
    """The namespace has another version than was expected: somebody changed it meanwhile."""


class Forbidden(StoreError):
    """The disk does not let this process: a permission, a read-only file system, a symbolic link."""


class Full(StoreError):
    """No room: the disk, a quota, or one of the store's own bounds."""


class TooLarge(StoreError):
    """The dtab has more than MAX_DTAB_BYTES."""


class Store(Discovery, Protocol):
    """Dtabs by namespace, live. `watches()` has a row for each namespace, with its error where its file is bad.

    `namespaces`, `watch` and `get` never block. The others may wait for the disk, some seconds at the worst, while
    other greenlets run; what they did is seen by `get` and told to the watches before they return. Each is atomic, and
    one that returned survives a kill of the process. A caller that is killed meanwhile harms nothing: what it asked
    for is done or is not.

    Every method that takes a name raises BadName for one that cannot be (`check_name`), and StoreError when closed.
    """

    def start(self) -> None:
        """Begin; returns when every namespace was read once. Called once. StartError if that cannot be."""

    def namespaces(self) -> Watch[tuple[str, ...]]:
        """Their names, sorted. The caller closes it. Full above MAX_WATCHES, as of `watch`."""

    def watch(self, ns: str) -> Watch[State]:
        """One namespace, which may come and go. The caller closes it."""

    def get(self, ns: str) -> State:
        """What `watch` would say now."""

    def create(self, ns: str, dtab: Dtab) -> None:
        """Exists, Forbidden, Full, TooLarge, StoreError."""

    def put(self, ns: str, dtab: Dtab, version: bytes | None = None) -> None:
        """Replace; without `version` create where there is none. Missing, Mismatch, Forbidden, Full, TooLarge,
        StoreError.
        """

    def delete(self, ns: str) -> None:
        """Missing, Forbidden, StoreError."""

    def apply(self, config: Any) -> None:
        """At a reload: the storage's configuration as the file has it now, of the same kind (and the same rootDir)."""

    def close(self) -> None:
        """End every greenlet and watcher. Nobody is told anything afterwards. Closing twice is harmless."""


def check_name(ns: str) -> None:
    """BadName unless a namespace may be called `ns`: elements between single `/`, none empty or hidden (`.`, `..`,
    `.x`), no control characters, of bounded lengths, whatever the store.
    """
    elements = ns.split("/")
    if not ns:
        raise BadName("a namespace has a name: it is empty")
    try:
        sizes = [len(element.encode()) for element in elements]
    except UnicodeEncodeError:
        raise BadName(f"{ns!r} is no name for a namespace: it is not UTF-8") from None
    if len(ns.encode()) > MAX_NAME_BYTES or max(sizes) > MAX_ELEMENT_BYTES or len(elements) > MAX_ELEMENTS:
        raise BadName(
            f"{ns[:40]!r}... is too long a name for a namespace: at most {MAX_NAME_BYTES} bytes,"
            f" {MAX_ELEMENTS} parts between slashes, {MAX_ELEMENT_BYTES} bytes in each"
        )
    if any(not element or element[0] == "." for element in elements):
        raise BadName(f"{ns!r} is no name for a namespace: no part between slashes may be empty or begin with a dot")
    if any(ord(char) < 32 or ord(char) == 127 for char in ns):
        raise BadName(f"{ns!r} is no name for a namespace: it has a control character")

"""The dtabs that can be looked at and tried out: those of routers, and of the namespaces that are served here."""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from werkzeug.exceptions import HTTPException

from linkerd_tcp.dashboard.cells import cut
from linkerd_tcp.dashboard.dtab_text import listed
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.interpreters.asked import settled
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.shapes import to_json
from linkerd_tcp.web.inputs import refuse

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control

MOST_NAMESPACES: Final = 300
"""Listed; any other can be asked for by its name."""

PENDING_SECS: Final = 2.0
FRESH_SECS: Final = 1.0
OK: Final = 200

ROUTER, NAMESPACE = "router", "namespace"


class Source(NamedTuple):
    """One dtab. `name` is the router's label, or the namespace."""

    kind: str
    name: str
    text: str
    where: str
    """In words: where it is written, and by whom it is used."""
    replaces: bool = True
    """Whether a text stands in its place when it is tried; else it is added behind, and `text` is empty."""
    version: str = ""
    """Of a namespace: what is to be sent as If-Match."""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}"


class Sources:
    """Those of `shown`. Everything here is to be called in a greenlet; what cannot be had is an HTTPException."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._known: tuple[float, list[dict[str, Any]]] = (-inf, [])

    @property
    def serves(self) -> bool:
        """Whether namespaces are served here."""
        return self._shown.control is not None

    def keys(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]], int]:
        """(key, name) of each router and each namespace, and how many namespaces are left out."""
        routers = [(f"{ROUTER}:{router.label}", cut(router.label)) for router in self._shown.config.routers]
        control = self._shown.control
        if control is None:
            return routers, [], 0
        names = _names(control)
        shown = [(f"{NAMESPACE}:{name}", cut(name)) for name in names[:MOST_NAMESPACES]]
        return routers, shown, len(names) - len(shown)

    def of(self, fields: Mapping[str, Any]) -> Source:
        """That of `namespace` or `router`, or of `of`, which is a key; without any the first router's."""
        kind, _, name = _text(fields, "of").partition(":")
        namespace = _text(fields, NAMESPACE) or (name if kind == NAMESPACE else "")
        if namespace:
            return self._namespace(namespace)
        label = _text(fields, ROUTER) or (name if kind == ROUTER else "")
        return self._router(label or self._shown.config.routers[0].label)

    def delegation(self, source: Source, path: Path, dtab: Dtab | None, text: str) -> dict[str, Any]:
        """The delegation of `path` in namerd's JSON, by `dtab`, which `text` spells, or by what is in use if None.

        What is not known in time is `pending` in it. Nothing is watched any more afterwards.
        """
        if source.kind == NAMESPACE:
            return self._in_namespace(source.name, path, dtab)
        fields: dict[str, Any] = {"router": source.name, "path": str(path), "pending": True}
        if dtab is not None:
            fields |= {"dtab": text, "replace": source.replaces}
        status, shape = self._shown.delegation(fields)
        if status != OK:
            refuse(str(shape.get("error", f"no delegation: status {status}")), status)
        return shape

    # Routers

    def _router(self, label: str) -> Source:
        found = {shape["router"]: shape for shape in self._dtabs()}
        if label not in found:
            refuse(f"there is no router {cut(label)!r}; there are {', '.join(map(cut, found))}", 404)
        shape = found[label]
        where = f"The dtab of router {cut(label)}: {cut(str(shape['where']), 1000)}."
        if shape["replaceable"] and shape["dtab"] is not None:
            return Source(ROUTER, label, shape["dtab"], where)
        kind = cut(str(shape["kind"]))
        where += f" It is not here: {kind} binds the names. Entries that are typed here are tried behind it, and win."
        return Source(ROUTER, label, "", where, replaces=False)

    def _dtabs(self) -> list[dict[str, Any]]:
        """Of now, or of a second ago: some are asked for over the network, and who types asks often."""
        at, dtabs = self._known
        if monotonic() - at >= FRESH_SECS:
            dtabs = self._shown.dtabs()
            self._known = (monotonic(), dtabs)
        return dtabs

    # Namespaces

    def _namespace(self, name: str) -> Source:
        control = self._control()
        from linkerd_tcp.controller.storage import BadName, Broken, StoreError  # only where it is served

        try:
            state = control.store.get(name)
        except BadName as error:
            refuse(str(error))
        except StoreError as error:
            refuse(str(error), 503)
        if state is None:
            refuse(f"there is no namespace {cut(name)!r}", 404)
        if isinstance(state, Broken):
            refuse(f"namespace {cut(name)!r} cannot be read: {state.cause}", 503)
        where = (
            f"Namespace {cut(name)} of the namerd API that is served here. Whoever binds through it goes by what is "
            "stored: other programs, and routers that name it."
        )
        return Source(NAMESPACE, name, listed(state.dtab), where, version=b64encode(state.version).decode())

    def _in_namespace(self, name: str, path: Path, dtab: Dtab | None) -> dict[str, Any]:
        control = self._control()
        from linkerd_tcp.controller.storage import StoreError

        if not control.settle(name):
            refuse(f"the dtab of {cut(name)!r} was changed and is not applied yet; ask again", 503)
        try:
            held = control.namespaces.hold(name)
        except StoreError as error:
            refuse(str(error), 503)
        with closing(held):
            interpreter = held.value.interpreter
            if dtab is None:
                return to_json(settled(interpreter.delegation(path), PENDING_SECS))
            with closing(interpreter.instead(dtab)) as other:
                return to_json(settled(other.delegation(path), PENDING_SECS))

    def _control(self) -> "Control":
        control = self._shown.control
        if control is None:
            refuse("no namespaces are served here: the configuration has no namerd section", 404)
        return control


def _names(control: "Control") -> list[str]:
    with closing(control.store.namespaces()) as watch:
        return list(watch.value)


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key) or ""
    if not isinstance(value, str):
        refuse(f"{key!r} is no text")
    return value


def words_of(error: HTTPException) -> str:
    """What it says, harmless."""
    return cut(str(error.description), 1000)

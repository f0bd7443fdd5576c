"""The dtab of each router, as a text to read and to try changes of."""

from typing import Any, Final
from urllib.parse import urlsplit

from gevent.pool import Pool

from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.errors import DtabError, LinkerdTcpError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.nametree import show
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.router import Router

STORED_SECS: Final = 2.0
"""For the text that another process has; it is all that is waited for."""

AT_ONCE: Final = 8


def dtabs(app: Controls) -> list[dict[str, Any]]:
    """Of each router: `router`, `kind` of its interpreter, `dtab` (its text; None if another process has it), `where`
    it is written, in words, and `replaceable`: whether a delegation can be asked for with another in its place.
    """
    return list(Pool(AT_ONCE).imap(lambda router: _of(app, router), list(app.routers.values())))


def _of(app: Controls, router: Router) -> dict[str, Any]:
    interpreter = router.interpreter
    shape = {"router": router.label, "kind": interpreter.kind, "replaceable": hasattr(interpreter, "instead")}
    dtab: Dtab | None = getattr(interpreter, "dtab", None)
    if dtab is None:
        return {**shape, **_elsewhere(app, router)}
    texts, places = _written(app, router)
    text = _same("\n".join(texts), dtab) or _same("\n;\n".join(texts), dtab)
    return {**shape, "dtab": _listed(dtab) if text is None else text, "where": " and ".join(places)}


def _written(app: Controls, router: Router) -> tuple[list[str], list[str]]:
    """The texts that the dtab is made of, in their order, and where each is."""
    parts = [getattr(router.interpreter, "written", None), app.config.written_dtab(router.label)]
    found = [part for part in parts if part is not None]
    if found:
        return [part.text for part in found], [part.place for part in found]
    return [], ["made by default: the file has no dtab for this router, so /svc is every namer's"]


def _same(text: str, dtab: Dtab) -> str | None:
    """`text`, if it says the same as `dtab`, which may have changed since it was written."""
    turns = Turns()
    read = []
    try:
        for entry in Dtab.entries(text):
            read.append(entry)
            turns.rest()
    except DtabError:
        return None
    return text if Dtab(read) == dtab else None


def _listed(dtab: Dtab) -> str:
    """An entry a line."""
    turns = Turns()
    lines = []
    for entry in dtab:
        lines.append(f"{entry.prefix} => {show(entry.dst)} ;\n")
        turns.rest()
    return "".join(lines)


def _elsewhere(app: Controls, router: Router) -> dict[str, Any]:
    """What another process has: asked for, if it can be."""
    options, interpreter = router.config.interpreter, router.interpreter
    written = app.config.written_dtab(router.label)
    own = f" and {written.place}" if written is not None and written.text.strip() else ""
    if not hasattr(interpreter, "stored"):
        return {"dtab": None, "where": f"{interpreter.kind}{own}"}
    where = f"namespace {options.namespace} of namerd at {_without_user(options.base_url)}{own}"
    try:
        return {"dtab": _listed(interpreter.stored(STORED_SECS)), "where": where}
    except LinkerdTcpError as error:
        return {"dtab": None, "where": f"{where}, which does not say it now ({error})"}


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

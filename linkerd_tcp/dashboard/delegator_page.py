"""/delegator: where a path leads and why, by the dtab that is in use or by one that is only tried here."""

from typing import Any, Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from linkerd_tcp.dashboard.delegator_view import EDITED, Views
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.dtab_text import Text, diff, listed
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.dashboard.sources import NAMESPACE, Source, words_of
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.web.inputs import body_fields, refuse
from linkerd_tcp.web.streams import JSON_TYPE, dump_pieces, dumps, stream

LEAST_ROWS: Final = 6
MOST_ROWS: Final = 24
"""Of the text's box."""


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    views = Views(shown)

    @routes.get("/delegator", endpoint="delegator")
    def page() -> Response:
        fields = request.args.to_dict()
        try:
            source = views.sources.of(fields)
        except HTTPException as error:
            return _without(views, draw, words_of(error), error.code or 500)
        path = fields.get("path", "")
        view = views.view(source, path, fields.get("dtab"))
        return _page(views, draw, source, {"path": path, "text": fields.get("dtab", source.text), **view})

    @routes.post("/delegator/result.json", endpoint="delegator_result")
    def result() -> Response:
        """To a page that is open. With `dtab` null, the source's own text comes with it."""
        fields = body_fields()
        path, text = fields.get("path") or "", fields.get("dtab")
        if not isinstance(path, str) or not isinstance(text, str | None):
            refuse("expected 'path' and 'dtab' as texts")
        source = views.sources.of(fields)
        view = views.view(source, path, text)
        if text is None:
            view |= {"source": _of(source), "paths": views.paths(source)}
        return stream(dump_pieces(view))

    @routes.post("/delegator/diff.json", endpoint="delegator_diff")
    def compare() -> Response:
        """What saving `dtab` would change of what is stored now."""
        fields = body_fields()
        text = fields.get("dtab")
        if not isinstance(text, str) or not fields.get(NAMESPACE):
            refuse("expected 'namespace' and 'dtab'")
        return Response(dumps(_difference(views.sources.of(fields), text)) + "\n", content_type=JSON_TYPE)


def _of(source: Source) -> dict[str, Any]:
    return {
        "key": source.key,
        "kind": source.kind,
        "name": source.name,
        "text": source.text,
        "where": source.where,
        "replaces": source.replaces,
        "version": source.version,
    }


def _difference(source: Source, text: str) -> dict[str, Any]:
    turns = Turns()
    mine = Text(text, turns.rest)
    if mine.error is not None:
        refuse(mine.error.words)
    after = listed(mine.dtab)
    rows, more = diff(source.text, after)
    lost = " Comments are not kept: what is stored are the entries." if "#" in text and after != text else ""
    words = (
        f"Whoever binds through namespace {source.name} goes by this from their next connection on.{lost}"
        if rows
        else "The entries are those that are stored: there is nothing to save."
    )
    gone = "" if mine.dtab or not source.text else " The text is empty: every name of the namespace is gone then."
    return {
        "rows": rows,
        "more": f"and {more} more lines" if more else "",
        "words": words + gone,
        "changes": bool(rows),
        "version": source.version,
        "stored": source.text,
        "mine": after,
    }


def _page(views: Views, draw: Draw, source: Source, view: dict[str, Any], status: int = 200) -> Response:
    routers, namespaces, more = views.sources.keys()
    known = {key for key, _ in (*routers, *namespaces)}
    if source.key not in known:
        namespaces.append((source.key, source.name))  # one that the list has no room for
    lines = view["text"].count("\n") + 1
    return draw(
        "delegator.html",
        "Delegator",
        status,
        source=source,
        view=view,
        paths=views.paths(source),
        routers=routers,
        namespaces=namespaces,
        more_namespaces=more,
        serves=views.sources.serves,
        count=lines,
        height=min(max(lines + 1, LEAST_ROWS), MOST_ROWS),
        edited=EDITED,
    )


def _without(views: Views, draw: Draw, why: str, status: int) -> Response:
    """The page where the dtab that is asked for cannot be had."""
    routers, namespaces, more = views.sources.keys()
    return draw(
        "delegator.html",
        "Delegator",
        status,
        source=None,
        missing=why,
        routers=routers,
        namespaces=namespaces,
        more_namespaces=more,
        serves=views.sources.serves,
    )

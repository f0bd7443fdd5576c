"""/bind, /addr, /resolve, /bound-names: what names lead to."""

from collections.abc import Callable

from flask import Blueprint, Response, request

from linkerd_tcp.controller import kinds
from linkerd_tcp.controller.answers import once, settle, without_end, words
from linkerd_tcp.controller.control import Control, Make
from linkerd_tcp.controller.dtab_routes import ANY
from linkerd_tcp.controller.inputs import checked, dtab_param, path_param, watches


def add_names(routes: Blueprint, control: Callable[[], Control]) -> None:
    @routes.route("/bind/<path:ns>", methods=ANY)
    def bind(ns: str) -> Response:
        path, extra = path_param(), dtab_param()
        return _answer(control(), "bind", checked(ns), (path, extra), lambda its: kinds.binding(its, ns, path, extra))

    @routes.route("/resolve/<path:ns>", methods=ANY)
    def resolve(ns: str) -> Response:
        path, extra = path_param(), dtab_param()
        key = (path, extra)
        return _answer(control(), "resolve", checked(ns), key, lambda its: kinds.resolution(its, ns, path, extra))

    @routes.route("/addr/<path:ns>", methods=ANY)
    def addr(ns: str) -> Response:
        bound_id = path_param()
        checked(ns)
        # Which namespace it is changes nothing, and makes no topic of its own.
        return _answer(control(), "addr", None, (bound_id,), lambda its: kinds.addresses(its, bound_id))

    @routes.route("/bound-names", methods=ANY)
    def bound_names() -> Response:
        if request.method not in ("GET", "HEAD"):
            return words("bound names are read with GET", 404)
        return _answer(control(), "bound-names", None, (), kinds.bound_names)


def _answer(control: Control, what: str, ns: str | None, key: tuple[object, ...], make: Make) -> Response:
    settle(control, ns)
    if watches():
        return without_end(control, (what, ns, *key), make)
    return once(control, (what, ns, *key), make)

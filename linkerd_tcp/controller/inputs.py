"""What a request to namerd's API brings: its parameters, the namespace in its path, its dtab."""

from typing import Any, Final

from flask import request

from linkerd_tcp.controller.dtabs import BadDtab, marked, read_text
from linkerd_tcp.controller.storage import BadName, check_name
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.path import Path
from linkerd_tcp.web.inputs import body_fields, refuse

MAX_PATH_CHARS: Final = 8192
_TRUE: Final = frozenset({"1", "t", "true"})


def param(name: str) -> str | None:
    """From the query, or from a form that was posted."""
    value: Any = request.args.get(name)
    if value is None and request.method == "POST" and request.mimetype == "application/x-www-form-urlencoded":
        value = body_fields().get(name)
    return value if isinstance(value, str) else None


def watches() -> bool:
    """Whether an answer without end is asked for."""
    return (param("watch") or "").lower() in _TRUE


def path_param() -> Path:
    """The `path`; 400 where it is missing or none."""
    return read_path(param("path"))


def read_path(text: str | None) -> Path:
    """400 where it is missing or none."""
    if not text:
        refuse("Invalid path: the parameter 'path' is missing; expected a path as /svc/web")
    if len(text) > MAX_PATH_CHARS:
        refuse(f"Invalid path: longer than {MAX_PATH_CHARS} characters")
    try:
        return Path.read(text)
    except DtabError as error:
        refuse(f"Invalid path: {text[:200]} / {marked(error)}")


def dtab_param() -> Dtab | None:
    """The entries of `dtab`, which win over the stored ones; 400 where they are none."""
    return read_dtab(param("dtab"))


def read_dtab(text: str | None) -> Dtab | None:
    try:
        return read_text(text or "") or None
    except BadDtab as error:
        refuse(str(error))


def checked(ns: str) -> str:
    """The namespace in the path of the request, if one can be called so; 400 otherwise."""
    try:
        # The server decodes with replacement characters what is no UTF-8: two namespaces could become one.
        request.environ["PATH_INFO"].encode("latin-1").decode()
        check_name(ns)
    except UnicodeError:
        refuse("the path of the request is not UTF-8")
    except BadName as error:
        refuse(str(error))
    return ns

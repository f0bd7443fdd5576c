"""What a request brings: fields, from JSON or from a form, and the errors that say what is wrong with them."""

import json
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from flask import abort, g, request

MAX_FIELDS: Final = 20
MAX_FORM_BYTES: Final = 64 * 1024
"""Taking a long form apart would hold up the loop; JSON takes a hundredth of the time."""


def body_fields() -> dict[str, Any]:
    """The fields of the body, read once; {} without a body. 400 for what is neither a JSON object nor a form.

    What begins as a JSON object is one whatever its content type says: `curl -d '{...}'` calls it a form.
    """
    if "fields" not in g:
        g.fields = _parse(request.get_data())
    fields: dict[str, Any] = g.fields
    return fields


def _parse(body: bytes) -> dict[str, Any]:
    body = body.strip()
    if not body:
        return {}
    try:
        if body.startswith(b"{") or request.mimetype == "application/json":
            fields = json.loads(body)
            if not isinstance(fields, dict):
                refuse("the body is JSON but no object")
            return fields
        if len(body) > MAX_FORM_BYTES:
            refuse(f"a form is at most {MAX_FORM_BYTES} bytes; send JSON", 413)
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except (ValueError, RecursionError) as error:
        refuse(f"the body is neither JSON nor a form: {error}")


def text_field(fields: dict[str, Any], key: str) -> str:
    """The text of `key`; 400 if it is missing, empty or no text."""
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        refuse(f"{key!r} is missing; expected a text")
    return value


def refuse(why: str, status: int = 400) -> NoReturn:
    """Answer with this error."""
    abort(status, why)

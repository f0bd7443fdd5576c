"""/configuration: what is in force, which of it the file says, and reading the file again."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from time import time
from typing import Any, Final

from flask import Blueprint, Response, request

from linkerd_tcp import __version__
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.lines import Line, yaml_lines
from linkerd_tcp.dashboard.cells import BAD, GOOD, Cell, Row, ago, clock, cut, mark
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.frame import Reload
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.record import address_text
from linkerd_tcp.web.streams import stream

MOST_LINES: Final = 10_000
"""Drawn; /configuration.yaml has all."""

MOST_CHARS: Final = 1000
"""Of a line."""

MOST_SERVERS: Final = 200
TEXT: Final = "text/plain; charset=utf-8"


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    @routes.get("/configuration", endpoint="configuration")
    def page() -> Response:
        config, now = shown.config, time()
        only_file = request.args.get("only") == "file"
        listening = shown.listening
        return draw(
            "configuration.html",
            "Configuration",
            file=file_name(config),
            facts=_facts(config, shown.last_reload, now),
            errors=[] if shown.last_reload["ok"] else [cut(each, MOST_CHARS) for each in shown.last_reload["errors"]],
            servers=[{"router": cut(label), "address": address} for label, address in listening[:MOST_SERVERS]],
            more_servers=max(len(listening) - MOST_SERVERS, 0),
            admin=address_text(shown.address),
            only_file=only_file,
            lines=_rows(yaml_lines(config), only_file),
            most=MOST_LINES,
        )

    @routes.get("/configuration.yaml")
    def as_yaml() -> Response:
        return stream(yaml_text(shown.config), TEXT)


def file_name(config: AppConfig) -> str:
    return "standard input" if config.file == "-" else cut(os.path.abspath(config.file), MOST_CHARS)


def yaml_text(config: AppConfig) -> Iterator[str]:
    yield f"# In force in linkerd-tcp {__version__}, read from {file_name(config)}.\n"
    yield "# Credentials in addresses are left out.\n"
    for line in yaml_lines(config):
        yield f"{line.text}\n"


def _facts(config: AppConfig, reload: Reload, now: float) -> list[tuple[str, Cell]]:
    facts: list[tuple[str, Cell]] = []
    if config.read_at is not None:
        facts.append(("Read", _moment(config.read_at, now)))
    if not reload["ok"]:
        refused = ago(reload["at"], now)
        when = refused["text"] if isinstance(refused, dict) else refused
        words = f"refused at {clock(reload['at'])}, {when}; everything stays as it was"
        facts.append(("Last reload", mark(words, BAD)))
    elif config.read_at is not None:
        facts.append(("State", mark("in force as it was read", GOOD)))
    return facts


def _moment(at: float, now: float) -> Cell:
    cell = ago(at, now)
    return {**cell, "text": f"{clock(at)}, {cell['text']}"} if isinstance(cell, dict) else cell


def _rows(lines: Iterable[Line], only_file: bool) -> Iterator[Row]:
    """At most MOST_LINES, and one that says so where there are more."""
    wanted = (line for line in lines if line.is_written or not only_file)
    for line in islice(wanted, MOST_LINES):
        yield _row(line)
    if next(wanted, None) is not None:
        yield {"text": "# and more", "from": "", "is_default": True}


def _row(line: Line) -> dict[str, Any]:
    where = "default" if not line.is_written else "file" if line.number is None else f"line {line.number}"
    return {"text": cut(line.text, MOST_CHARS), "from": where, "is_default": not line.is_written}

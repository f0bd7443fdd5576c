"""What the pages show, of all workers together."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from linkerd_tcp.admin.connections import Query
from linkerd_tcp.admin.reads import config_json
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.dashboard.frame import Frame
from linkerd_tcp.dashboard.shown import Found, LogLine
from linkerd_tcp.record import address_text
from linkerd_tcp.workers.everyone import Everyone
from linkerd_tcp.workers.gather import lines
from linkerd_tcp.workers.merge import merge_pages, read_page

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control


class AllWorkers:
    """`Shown`."""

    def __init__(self, everyone: Everyone, address: tuple[str, int]) -> None:
        self._everyone = everyone
        self._address = address

    @property
    def config(self) -> AppConfig:
        return self._everyone.config

    @property
    def control(self) -> "Control | None":
        return self._everyone.beside.control

    @property
    def address(self) -> tuple[str, int]:
        return self._address

    @property
    def pid(self) -> int:
        return self._everyone.fleet.supervisor_pid

    def frame(self) -> Frame:
        raise NotImplementedError

    def connections(self, arguments: Mapping[str, str]) -> Found:
        query = Query.read(arguments)
        found, missing = self._everyone.ask(f"/connections?{urlencode(arguments)}")
        page, next_id = merge_pages([read_page(lines(body)) for body in found.values()], query.limit)
        return Found([json.loads(text) for text in page], next_id, list(missing))

    def connection(self, id_: str) -> dict[str, Any] | None:
        raise NotImplementedError

    def delegation(self, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        raise NotImplementedError

    def dtabs(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def configuration(self) -> dict[str, Any]:
        everyone = self._everyone
        listening = [(router, address_text(address)) for router, address in everyone.fleet.servers]
        return config_json(everyone.config, listening, everyone.beside.namerd_address)

    def levels(self) -> list[dict[str, str]]:
        return self._everyone.logs.levels()

    def log_lines(self) -> list[LogLine]:
        raise NotImplementedError

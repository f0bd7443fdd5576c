"""What the pages show, of this one process."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from linkerd_tcp.admin import connections, delegator
from linkerd_tcp.admin.controls import Controls
from linkerd_tcp.admin.dtabs import dtabs
from linkerd_tcp.admin.frame import read_frame, reload_json
from linkerd_tcp.admin.reads import config_json
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.dashboard.frame import Frame, Reload
from linkerd_tcp.dashboard.shown import Found, Said
from linkerd_tcp.net.turns import in_turns
from linkerd_tcp.record import as_json

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control


class OneProcess:
    """`Shown`."""

    def __init__(self, app: Controls) -> None:
        self._app = app

    @property
    def config(self) -> AppConfig:
        return self._app.config

    @property
    def control(self) -> "Control | None":
        return self._app.control

    @property
    def address(self) -> tuple[str, int]:
        return self._app.admin_address

    @property
    def pid(self) -> int:
        return os.getpid()

    def frame(self) -> Frame:
        return read_frame(self._app)

    def connections(self, arguments: Mapping[str, str]) -> Found:
        rows, next_id = connections.page(self._app.book, connections.Query.read(arguments))
        return Found(rows, next_id, [])

    def connection_counts(self, arguments: Mapping[str, str]) -> dict[str, int]:
        return connections.counts(self._app.book, connections.Query.read(arguments))

    def connection(self, id_: str) -> dict[str, Any] | None:
        record = connections.one(self._app.book, id_)
        return None if record is None else as_json(record)

    def delegation(self, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        return delegator.delegation(self._app, dict(fields))

    def dtabs(self) -> list[dict[str, Any]]:
        return dtabs(self._app)

    def configuration(self) -> dict[str, Any]:
        return config_json(self._app.config, self.listening, self._app.namerd_address)

    @property
    def listening(self) -> list[tuple[str, str]]:
        return [(server.router.label, server.label) for server in self._app.servers]

    @property
    def last_reload(self) -> Reload:
        return reload_json(self._app.last_reload)

    def levels(self) -> list[dict[str, Any]]:
        return self._app.logs.levels()

    def log_lines(self, after: float = 0.0) -> Said:
        return Said(in_turns(self._app.logs.last_lines(after)), {})

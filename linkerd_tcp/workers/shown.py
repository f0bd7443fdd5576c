"""What the pages show, of all workers together."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from linkerd_tcp.admin.connections import Query, place
from linkerd_tcp.admin.frame import reload_json
from linkerd_tcp.admin.private import PREFIX
from linkerd_tcp.admin.reads import config_json
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.dashboard.frame import Frame, Reload
from linkerd_tcp.dashboard.shown import Found, Said
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.record import address_text
from linkerd_tcp.web.inputs import refuse
from linkerd_tcp.web.streams import JSON_TYPE, dumps
from linkerd_tcp.workers.answers import DELEGATION_SECS
from linkerd_tcp.workers.everyone import Everyone
from linkerd_tcp.workers.gather import Answer, Question, Reply, Silence, lines
from linkerd_tcp.workers.logs import log_lines
from linkerd_tcp.workers.merge import merge_pages, read_page
from linkerd_tcp.workers.moment import Moment

if TYPE_CHECKING:
    from linkerd_tcp.controller.control import Control


class AllWorkers:
    """`Shown`."""

    def __init__(self, everyone: Everyone, address: tuple[str, int]) -> None:
        self._everyone = everyone
        self._address = address
        self._moment = Moment(everyone)

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
        return self._moment.frame()

    def connections(self, arguments: Mapping[str, str]) -> Found:
        query = Query.read(arguments)
        found, missing = self._everyone.ask(f"/connections?{urlencode(arguments)}")
        page, next_id = merge_pages([read_page(lines(body)) for body in found.values()], query.limit)
        return Found(list(_read(page)), next_id, list(missing))

    def connection_counts(self, arguments: Mapping[str, str]) -> dict[str, int]:
        Query.read(arguments)
        found, _ = self._everyone.ask(f"/connections/counts?{urlencode(arguments)}")
        total: Counter[str] = Counter()
        for body in found.values():
            total.update(json.loads(body))
        return dict(total)

    def connection(self, id_: str) -> dict[str, Any] | None:
        try:
            _, worker = place(id_)
        except ValueError:
            return None
        if worker not in [row.number for row in self._everyone.fleet.workers]:
            return None
        found, missing = self._everyone.ask(f"/connections/{quote(id_, safe='')}", of=(worker,))
        if missing:
            refuse(f"worker {worker}, whose it is, does not answer: {missing[worker]}", 504)
        shape: dict[str, Any] | None = json.loads(found[worker])
        return shape

    def delegation(self, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        body = dumps(dict(fields)).encode()
        answer = self._first(Question("/delegator.json", "POST", body, JSON_TYPE))
        return answer.status, json.loads(answer.body)

    def dtabs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self._first(Question(f"{PREFIX}/dtabs")).body)
        return found

    def _first(self, question: Question) -> Answer:
        """What the first worker says that answers: they all have the same dtabs and namers."""
        reply: Reply = Silence("there is none")
        for row in self._everyone.fleet.workers:
            reply = self._everyone.ask_one(row, question, DELEGATION_SECS)
            if isinstance(reply, Answer):
                break
        return reply if isinstance(reply, Answer) else refuse(f"no worker answers: {reply.why}", 504)

    def configuration(self) -> dict[str, Any]:
        everyone = self._everyone
        return config_json(everyone.config, self.listening, everyone.beside.namerd_address)

    @property
    def listening(self) -> list[tuple[str, str]]:
        return [(router, address_text(address)) for router, address in self._everyone.fleet.servers]

    @property
    def last_reload(self) -> Reload:
        return reload_json(self._everyone.fleet.last_reload)

    def levels(self) -> list[dict[str, Any]]:
        return self._everyone.logs.levels()

    def log_lines(self, after: float = 0.0) -> Said:
        return log_lines(self._everyone, after)


def _read(texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    turns = Turns()
    for text in texts:
        turns.rest()
        yield json.loads(text)

"""A program for the admin server to show: real routers, servers, namers and records; what it would do is noted."""

import socket
from collections.abc import Iterator, Mapping
from time import time
from typing import Any

import gevent

from linkerd_tcp.admin.server import AdminServer
from linkerd_tcp.book import ENDED_KEPT, Book
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.controller.control import Control
from linkerd_tcp.errors import Cause
from linkerd_tcp.history import History
from linkerd_tcp.last_lines import LogLine
from linkerd_tcp.naming.namer import Namer
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.net.keys import Identity
from linkerd_tcp.record import Record
from linkerd_tcp.router import Drained, Router
from linkerd_tcp.server import Server, end_connection
from linkerd_tcp.transition import Reloaded, Running, Transition, stop_listening
from tests.sockets import eventually

CONFIG = """
admin: {{port: 0, allowedHosts: [lb.example.com]{admin}}}
namers:
  - kind: io.l5d.static
    services:
      web: {endpoints}
      "<img src=x>": ["127.0.0.1:1"]
routers:
  - label: default
    dtab: "/svc => /#/io.l5d.static;"
    servers: [{{port: 0, dstName: /svc/web}}]
"""


class FakeLogs:
    """The levels of one logger, and what was said: `said`."""

    def __init__(self, worker: str = "") -> None:
        self.level = "info"
        self.worker = worker
        self.set: list[tuple[str, float | None]] = []
        """By whom, and for how long."""
        self.said: list[LogLine] = []

    def last_lines(self, after: float = 0.0) -> Iterator[LogLine]:
        return iter([line for line in self.said if line.at > after])

    def say(self, message: str, level: str = "info", at: float | None = None) -> None:
        self.said.append(LogLine(time() if at is None else at, level, "linkerd_tcp.app", message, self.worker))

    def levels(self) -> list[dict[str, str]]:
        return [{"logger": "linkerd_tcp", "level": self.level}]

    def set_level(self, logger: str, level: str, by: str = "", for_secs: float | None = None) -> None:
        if logger != "linkerd_tcp":
            raise LookupError(f"there is no logger {logger!r}")
        if level not in ("info", "debug"):
            raise ValueError(f"{level!r} is no log level: info, debug")
        self.level = level
        self.set.append((by, for_secs))


class FakeApp:
    """Controls, as admin/controls.py has them. `asked` are the calls that would end the program."""

    def __init__(self, endpoints: list[str], folder: Any, admin: str = "") -> None:
        self.config: AppConfig = parse_config(CONFIG.format(endpoints=endpoints, admin=admin), "test.yml", folder)
        self.logs = FakeLogs()
        self.started_at = time()
        self.last_reload = Reloaded.now()
        self.dropped_lines = {("access_log", "disk_full"): 3}
        self.ready: tuple[bool, list[str]] = (True, [])
        self.asked: list[tuple[str, Any]] = []
        self.reloaded: list[str] | Exception = []
        self.book = self.make_book(ENDED_KEPT)
        self.history = History()
        self.said: list[str] = []
        self.capacity = Capacity(20_000)
        self.running = Running(HostResolver(), self.capacity, Buffer(65536), self.book, self.said.append)
        Transition(self.running, self.config).switch()
        self.admin = self.make_admin()
        self.admin.start()

    def make_book(self, closed_kept: int) -> Book:
        return Book(closed_kept)

    def make_admin(self) -> Any:
        admin = AdminServer(self)
        admin.bind()
        return admin

    @property
    def admin_identities(self) -> Mapping[str, Identity]:
        return self.admin.identities  # type: ignore[no-any-return]

    @property
    def control(self) -> Control | None:
        return self.running.control

    namerd_address = None

    @property
    def routers(self) -> dict[str, Router]:
        return self.running.routers

    @property
    def servers(self) -> list[Server]:
        return list(self.running.servers.values())

    @property
    def namers(self) -> list[Namer]:
        return list(self.running.namers.values())

    def reload(self) -> list[str]:
        if isinstance(self.reloaded, Exception):
            raise self.reloaded
        return self.reloaded

    def shutdown(self, grace_secs: float | None = None) -> None:
        self.asked.append(("shutdown", grace_secs))

    def abort(self) -> None:
        self.asked.append(("abort", None))

    def end_connection(self, number: str) -> bool:
        record = next((each for each in self.book.open.values() if each.id == number), None)
        if record is not None:
            end_connection(record, Cause.CLOSED_BY_ADMIN)
        return record is not None

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        return any(router.drain(bound, address, on, by) for router in self.routers.values())

    stopping = False

    @property
    def last_reload_ok(self) -> bool:
        return self.last_reload.ok

    @property
    def drained(self) -> Drained:
        return self.running.drained

    @property
    def admin_address(self) -> tuple[str, int]:
        return self.admin.address

    # What tests do with it

    @property
    def url(self) -> str:
        ip, port = self.admin.address
        return f"http://{ip}:{port}"

    def connect(self) -> socket.socket:
        """A client of the first server, connected through to an endpoint."""
        connected = sum(server.figures.connect_latency.count for server in self.servers)
        client = socket.create_connection(self.servers[0].local, timeout=5)
        eventually(lambda: sum(server.figures.connect_latency.count for server in self.servers) > connected)
        return client

    def remember(self, number_open: int, number_closed: int) -> None:
        """Fill the book with records like those of real connections."""
        self.book = self.make_book(max(number_closed, 1))
        router, server = self.servers[0].router.label, self.servers[0].label
        records = [
            self.book.begin(router, server, ("127.0.0.1", 1024 + n % 60_000))
            for n in range(number_open + number_closed)
        ]
        for record in records:
            _live(record)
        for record in records[number_open:]:
            record.end(Cause.CLIENT_CLOSED, None)
            self.book.end(record)

    def close(self) -> None:
        self.admin.close()
        gevent.spawn(stop_listening, self.servers).get(timeout=5)
        for record in list(self.book.open.values()):
            if record.task is not None:
                end_connection(record, Cause.SHUTDOWN, reset=True)
        eventually(lambda: self.capacity.used == 0)
        self.running.close()
        self.running.hosts.close()


def _live(record: Record) -> None:
    record.path = Path.read("/svc/web")
    record.bound = Path.read("/#/io.l5d.static/web")
    record.endpoint = "127.0.0.1:8080"
    record.attempt("127.0.0.1:8081", Cause.REFUSED, 0.0004)
    record.attempt("127.0.0.1:8080", None, 0.0005)
    record.step("connected")
    record.rx_bytes, record.tx_bytes = 10, 20

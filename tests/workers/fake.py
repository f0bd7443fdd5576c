"""Workers in this process: real admin apps on UNIX sockets, over real routers and servers; and a fleet of them."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import Any

from linkerd_tcp.admin.server import AdminServer
from linkerd_tcp.book import Book, clock_numbers
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.errors import StartError
from linkerd_tcp.last_lines import LogLine
from linkerd_tcp.transition import Reloaded
from linkerd_tcp.workers.fleet import WorkerRow
from linkerd_tcp.workers.front import FrontServer
from tests.admin.fake import FakeApp, FakeLogs


class FakeWorker(FakeApp):
    """What one worker is to the admin process. `replace` puts another in its place, on the same socket."""

    def __init__(self, number: int, endpoints: list[str], folder: Path, admin: str = "") -> None:
        self.number = number
        self.path = str(folder / f"worker-{number}")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen(64)
        super().__init__(endpoints, folder, admin)

    def make_book(self, closed_kept: int) -> Book:
        return Book(closed_kept, worker=self.number, numbers=clock_numbers())

    def make_admin(self) -> AdminServer:
        admin = AdminServer(self)
        # As the supervisor does, this goes on holding the socket: who asks meanwhile waits in its queue.
        admin.adopt(self._listening.dup())
        return admin

    @property
    def row(self) -> WorkerRow:
        return WorkerRow(self.number, os.getpid(), self.started_at, "serving", 0, self.path)

    def stop_answering(self) -> None:
        self.admin.close()

    def answer_again(self) -> None:
        """As a replacement does, if `started_at` has been changed meanwhile."""
        self.admin = self.make_admin()
        self.admin.start()

    def close(self) -> None:
        super().close()
        self._listening.close()


class FrontLogs(FakeLogs):
    def __init__(self) -> None:
        super().__init__("admin")
        self.dropped = {"stalled": 2}


class FakeFleet:
    """The supervisor of these workers, which does to all what is asked of it."""

    def __init__(self, workers: Sequence[FakeWorker]) -> None:
        self.members = workers
        self.stopping = False
        self.refused = False
        """Whether the last reload was refused before any worker heard of it."""
        self.supervisor_pid = os.getppid()
        self.started_at = time()
        self.asked: list[tuple[str, Any]] = []
        self.deaf = False
        """Whether the supervisor answers nothing."""
        self.logs = FakeLogs("supervisor")

    @property
    def config(self) -> AppConfig:
        return self.members[0].config

    @property
    def workers(self) -> list[WorkerRow]:
        return [worker.row for worker in self.members]

    @property
    def servers(self) -> list[tuple[str, tuple[str, int]]]:
        return [(server.router.label, server.local) for server in self.members[0].servers]

    @property
    def last_reload(self) -> Reloaded:
        return Reloaded.now(StartError("refused")) if self.refused else self.members[0].last_reload

    def reload(self) -> list[str]:
        self._answer()
        return self.members[0].reload()

    def shutdown(self, grace_secs: float | None = None) -> None:
        self.members[0].shutdown(grace_secs)

    def abort(self) -> None:
        self.members[0].abort()

    def drain(self, bound: str, address: str, on: bool, by: str | None = None) -> bool:
        self._answer()
        known = [worker.drain(bound, address, on, by) for worker in self.members]
        return any(known)

    def set_level(self, logger: str, level: str, by: str = "", for_secs: float | None = None) -> None:
        self._answer()
        for worker in self.members:
            worker.logs.set_level(logger, level, by, for_secs)

    def log_lines(self, after: float = 0.0) -> list[LogLine]:
        self._answer()
        return list(self.logs.last_lines(after))

    def _answer(self) -> None:
        if self.deaf:
            raise StartError("the supervisor does not answer")


class Front:
    """The admin process: its server over `workers`."""

    def __init__(self, workers: Sequence[FakeWorker], beside: Any = None) -> None:
        self.fleet = FakeFleet(workers)
        self.logs = FrontLogs()
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.server = FrontServer(self.fleet, listening, beside, self.logs)
        self.server.start()

    @property
    def url(self) -> str:
        ip, port = self.server.address
        return f"http://{ip}:{port}"

    def close(self) -> None:
        self.server.close()

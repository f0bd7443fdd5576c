"""Every listening socket, held by the supervisor for as long as the configuration has it.

A worker has a copy of its own ones, and so has whoever replaces it: what waits in a queue outlives the worker. A
listener is never opened anew, since closing one resets who waits in it.
"""

import contextlib
import os
import shutil
import socket
import tempfile
from _socket import socket as Socket
from collections.abc import Iterable, Mapping
from typing import Final

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.errors import StartError
from linkerd_tcp.net.listener import bind
from linkerd_tcp.net.shared import claim, listen_unix
from linkerd_tcp.transition import ServerKey, servers_of
from linkerd_tcp.web.server import BACKLOG

Claimed = dict[ServerKey, list[Socket]]
"""By server, a listener for each worker."""

UNIX_PATH_BYTES: Final = 103
"""What fits in a socket's address: 107 on Linux, 103 elsewhere."""


class Listeners:
    """Those of `workers` workers and of the admin process. `open` raises StartError and has opened nothing then."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._servers: Claimed = {}
        self._addresses: dict[ServerKey, tuple[str, int]] = {}
        self._unix: list[Socket] = []
        self.folder = ""
        self.admin: Socket | None = None
        self.namerd: Socket | None = None

    def open(self, config: AppConfig) -> None:
        try:
            self.admin = bind(config.admin.ip, config.admin.port, BACKLOG, "admin.port")
            if config.namerd is not None:
                self.namerd = bind(config.namerd.ip, config.namerd.port, BACKLOG, "namerd.port")
            self.add(self.claim_new(config))
            self._open_folder()
        except BaseException:
            self.close()
            raise

    def _open_folder(self) -> None:
        """One UNIX socket for each worker, where only this user gets at them."""
        try:
            self.folder = tempfile.mkdtemp(prefix="linkerd-tcp-")
            if len(os.fsencode(self.unix_path(self._workers))) > UNIX_PATH_BYTES:
                raise StartError(f"workers: {self.folder} is too long a name for sockets; set TMPDIR to a shorter one")
            self._unix = [listen_unix(self.unix_path(number), BACKLOG) for number in range(self._workers)]
        except OSError as error:
            raise StartError(
                f"workers: no private folder for the workers' sockets can be made: {error}; set TMPDIR to a folder "
                "that can be written"
            ) from error

    def unix_path(self, number: int) -> str:
        """Where a worker's own admin app answers."""
        return os.path.join(self.folder, f"worker-{number}")

    def claim_new(self, config: AppConfig) -> Claimed:
        """Listeners of the servers that are new in `config`; StartError, and none, if one cannot be had."""
        claimed: Claimed = {}
        try:
            for key, at, _, server in servers_of(config):
                if key not in self._servers:
                    backlog = server.socket_options.backlog
                    claimed[key] = claim(server.ip, server.port, backlog, at, self._workers)
        except BaseException:
            close_all(claimed)
            raise
        return claimed

    def add(self, claimed: Claimed) -> None:
        self._servers |= claimed
        self._addresses |= {key: sockets[0].getsockname()[:2] for key, sockets in claimed.items()}

    def retire(self, config: AppConfig) -> None:
        """Let go of those that `config` has no more. The workers have served their queues."""
        kept = {key for key, _, _, _ in servers_of(config)}
        gone = {key: self._servers.pop(key) for key in list(self._servers) if key not in kept}
        withdraw(gone)

    def of_worker(self, number: int) -> dict[ServerKey, Socket]:
        return {key: sockets[number] for key, sockets in self._servers.items()}

    def admin_of_worker(self, number: int) -> Socket:
        return self._unix[number]

    def addresses(self, config: AppConfig) -> list[tuple[str, tuple[str, int]]]:
        """(router label, address) of each server, in the file's order."""
        return [(router.label, self._addresses[key]) for key, _, router, _ in servers_of(config)]

    def close_worker(self, number: int) -> None:
        """At the end: the worker accepts nobody any more, and no other will in its place."""
        for sockets in self._servers.values():
            sockets[number].close()

    def keep_only_worker(self, number: int) -> None:
        """In the process of a worker: what is for others is closed here."""
        for sockets in (*self._servers.values(), self._unix):
            _close(each for at, each in enumerate(sockets) if at != number)
        self._close_admin()

    def keep_only_admin(self) -> None:
        """In the admin process: what is for workers is closed here."""
        close_all(self._servers)
        _close(self._unix)

    def close_namerd(self) -> None:
        if self.namerd is not None:
            self.namerd.close()

    def _close_admin(self) -> None:
        self.close_namerd()
        if self.admin is not None:
            self.admin.close()

    def close(self) -> None:
        """All of them, and their folder."""
        close_all(self._servers)
        _close(self._unix)
        self._close_admin()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def leave_folder(self, number: int) -> None:
        """What an orphan can do: remove its own socket, and the folder if it was the last."""
        with contextlib.suppress(OSError):
            os.unlink(self.unix_path(number))
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)


def withdraw(claimed: Claimed) -> None:
    """Nobody listens there any more, not even a process that has not yet taken its copy off the channel."""
    for each in (each for sockets in claimed.values() for each in sockets):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    close_all(claimed)


def close_all(claimed: Mapping[ServerKey, list[Socket]]) -> None:
    for sockets in claimed.values():
        _close(sockets)


def _close(sockets: Iterable[Socket]) -> None:
    for each in sockets:
        each.close()

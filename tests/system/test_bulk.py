"""A gigabyte each way, by checksum, with readers that stop; what bulk streams take and leave."""

import contextlib
import fcntl
import hashlib
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import gevent
import psutil
import pytest
from gevent.event import Event
from gevent.server import StreamServer

from linkerd_tcp.net.splice import MOST_PIPES, PIPE_BYTES, POOLED_PIPES
from tests.programs import program
from tests.sockets import reset
from tests.system.harness import Proxy, config, until

MIB: Final = 1024 * 1024
SIZE: Final = 1024 * MIB
STREAMS: Final = 100
NOISE: Final = random.Random(2).randbytes(4 * MIB)


# A gigabyte


def piece(number: int) -> bytes:
    """One MiB like no other."""
    start = number % 1024 * 1021
    return number.to_bytes(8) + NOISE[start : start + MIB - 8]


@pytest.fixture(scope="module")
def digest() -> str:
    """The SHA-256 of a gigabyte of such pieces."""
    digest = hashlib.sha256()
    for number in range(SIZE // MIB):
        digest.update(piece(number))
    return digest.hexdigest()


class Side:
    """One end of a stream: says the gigabyte, and listens to the other's once it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.said_bytes = 0
        self.go_on = Event()
        self._sock = sock
        self._saying = gevent.spawn(self._say)
        self._listening = gevent.spawn(self._listen)

    def _say(self) -> None:
        for number in range(SIZE // MIB):
            self._sock.sendall(piece(number))
            self.said_bytes += MIB
        self._sock.shutdown(socket.SHUT_WR)

    def _listen(self) -> str:
        self.go_on.wait()
        digest, buffer = hashlib.sha256(), bytearray(MIB)
        while size := self._sock.recv_into(buffer):
            digest.update(memoryview(buffer)[:size])
        return digest.hexdigest()

    def heard(self) -> str:
        """The SHA-256 of what came, once all has gone and all has come."""
        self._saying.get(timeout=60)
        digest: str = self._listening.get(timeout=60)
        return digest

    def close(self) -> None:
        gevent.killall([self._saying, self._listening])
        self._sock.close()


def no_more_is_taken(sides: list[Side]) -> bool:
    before = [side.said_bytes for side in sides]
    gevent.sleep(0.2)  # only in silence can it be seen
    return before == [side.said_bytes for side in sides]


@pytest.mark.alone
def test_a_gigabyte_each_way_waits_for_readers_that_stop_in_no_memory_of_ours(tmp_path: Path, digest: str) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        proxy = stack.enter_context(Proxy(tmp_path, config([f"127.0.0.1:{listener.getsockname()[1]}"])))
        process = psutil.Process(proxy.pid)
        client = socket.create_connection(proxy.address)
        endpoint, _ = listener.accept()
        client.sendall(b"?")
        assert endpoint.recv(1) == b"?"
        before = process.memory_info().rss
        sides = [Side(client), Side(endpoint)]
        for side in sides:
            stack.callback(side.close)
        until("nobody gets rid of any more", lambda: no_more_is_taken(sides))
        assert max(side.said_bytes for side in sides) < SIZE / 2
        assert process.memory_info().rss - before < MIB
        for side in sides:
            side.go_on.set()
        assert [side.heard() for side in sides] == [digest, digest]
        assert process.memory_info().rss - before < MIB
        [line] = proxy.closed(1)
        assert (line["rxBytes"], line["txBytes"]) == (SIZE + 1, SIZE)


# Many streams

BLOB: Final = NOISE


def unprivileged() -> list[str]:
    """To run the proxy by: root may have any number of large pipes, but for what lets him; nobody else may."""
    return [] if os.geteuid() else [program("setpriv"), "--bounding-set", "-sys_resource,-sys_admin"]


def links(proxy: Proxy, kind: str) -> int:
    """How many of its descriptors are of that kind: `socket`, `pipe`."""
    found = 0
    for link in Path(f"/proc/{proxy.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(link.readlink()).startswith(kind)
    return found


@contextlib.contextmanager
def blobs() -> Iterator[str]:
    """The address of a server that says BLOB to everyone."""

    def serve(sock: socket.socket, _: object) -> None:
        with contextlib.suppress(ConnectionError):
            sock.sendall(BLOB)

    server = StreamServer(("127.0.0.1", 0), serve, backlog=4 * STREAMS)
    server.start()
    yield f"127.0.0.1:{server.server_port}"
    server.stop(timeout=0)


def client(proxy: Proxy) -> socket.socket:
    """One that takes little as long as it does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(20)
    sock.connect(proxy.address)
    return sock


def read_to_end(sock: socket.socket) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(MIB), b""))


def stream(proxy: Proxy, *, cut: int = 0) -> int:
    """STREAMS at once, of which `cut` are reset in the middle and all others arrive whole; how many pipes it took."""
    clients = [client(proxy) for _ in range(STREAMS)]
    for sock in clients:
        assert sock.recv(1, socket.MSG_PEEK)
    until("they are all stuck", lambda: no_more_comes(proxy))
    pipes = links(proxy, "pipe")
    for sock in clients[:cut]:
        reset(sock)
    readers = [gevent.spawn(read_to_end, sock) for sock in clients[cut:]]
    assert all(reader.get(timeout=60) == BLOB for reader in readers)
    return pipes


def no_more_comes(proxy: Proxy) -> bool:
    def bytes_so_far() -> float:
        return proxy.metric("l5d_srv_tx_bytes_total")

    before = bytes_so_far()
    gevent.sleep(0.2)  # only in silence can it be seen
    return before == bytes_so_far()


@contextlib.contextmanager
def pipes_of_this_user_in_use() -> Iterator[None]:
    """As many as the system lets one user have."""
    most = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text()) * 4096 // PIPE_BYTES
    opened = [os.pipe() for _ in range(most + 1)]
    with contextlib.suppress(PermissionError):
        for _, writer in opened:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield
    for ends in opened:
        for end in ends:
            os.close(end)


@pytest.mark.alone
@pytest.mark.skipif(not hasattr(os, "splice"), reason="splice(2) is Linux'")
def test_bulk_streams_arrive_whole_with_pipes_and_without_and_leave_none(tmp_path: Path) -> None:
    with blobs() as address, Proxy(tmp_path, config([address]), wrapper=unprivileged()) as proxy:
        sockets, pipes = links(proxy, "socket"), links(proxy, "pipe")
        with pipes_of_this_user_in_use():
            assert stream(proxy) == pipes, "they were not refused: nothing is tested"
        for cut in (0, STREAMS // 2, STREAMS // 2):
            assert 2 <= stream(proxy, cut=cut) - pipes <= 2 * MOST_PIPES
            until("all sockets are closed", lambda: links(proxy, "socket") <= sockets)
            until("pipes are closed, but for a few", lambda: links(proxy, "pipe") - pipes <= 2 * POOLED_PIPES)

"""Endpoints and clients that count: what a page says is held against what really went over the wire.

All of it is in one thread with a loop of its own, beside the test that drives the browser.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

REQUEST: Final = b"q" * 63 + b"\n"
ANSWER: Final = b"a" * 1_023 + b"\n"
BEAT: Final = b"b" * 32
BEAT_SECS: Final = 0.5
CLIENT_SECS: Final = 10.0


class Traffic:
    """The thread. Whatever was started in it ends with it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="traffic", daemon=True)
        self._started: list[Future[Any]] = []
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for running in self._started:
            running.cancel()
        for close in reversed(self._closers):
            await close()
        deadline = self._loop.time() + CLIENT_SECS
        while len(asyncio.all_tasks()) > 1 and self._loop.time() < deadline:
            await asyncio.sleep(0.01)  # what was accepted in the last moment is closed by the loop's own tasks
        await asyncio.sleep(0.01)

    def at_end(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._closers.append(close)

    def run(self, work: Coroutine[Any, Any, T], secs: float = 20) -> T:
        """Its outcome, awaited."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(secs)

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Until it is cancelled, or the end."""
        self._started.append(asyncio.run_coroutine_threadsafe(work, self._loop))
        return self._started[-1]


class Endpoint:
    """A server that answers ANSWER to a line and ends, and echoes beats as long as they come."""

    def __init__(self, traffic: Traffic, answer_secs: float = 0.0) -> None:
        self._traffic = traffic
        self.answer_secs = answer_secs
        self._server: asyncio.Server | None = None
        self.open: set[_Served] = set()
        """Connections that it has now."""
        self.accepted = 0
        self.port = 0
        self.revive()
        traffic.at_end(self._kill)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Nothing listens any more, and what was open is cut."""
        self._traffic.run(self._kill())

    def revive(self) -> None:
        """Listens again, on the same port."""
        self._traffic.run(self._listen())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Served(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _kill(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for served in list(self.open):
            served.transport.abort()
        await asyncio.sleep(0)


class _Served(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._endpoint.accepted += 1
        self._endpoint.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._endpoint.open.discard(self)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\n"):
            asyncio.get_running_loop().call_later(self._endpoint.answer_secs, self._answer)
        else:
            self.transport.write(data)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)
            self.transport.close()


class Load:
    """`per_second` connections to `port`, one request each; what became of them is counted."""

    def __init__(self, traffic: Traffic, port: int, per_second: float) -> None:
        self._traffic = traffic
        self._port = port
        self._per_second = per_second
        self.counts: Counter[str] = Counter()
        """`started`, `answered`, `failed`; `sent` and `received` are bytes."""
        self._running = traffic.start(self._run())

    def stop(self) -> Counter[str]:
        """No new ones, and those under way are awaited; the counts, which are final then."""
        self._running.cancel()
        self._traffic.run(self._settled())
        return self.counts

    async def _settled(self) -> None:
        while self.counts["started"] > self.counts["answered"] + self.counts["failed"]:
            await asyncio.sleep(0.01)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        under_way: set[asyncio.Task[None]] = set()
        while True:
            due += 1 / self._per_second
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.counts["started"] += 1
            task = asyncio.create_task(self._ask())
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    async def _ask(self) -> None:
        outcome = "failed"
        try:
            async with asyncio.timeout(CLIENT_SECS):
                if await self._answered():
                    outcome = "answered"
        except (OSError, TimeoutError):
            pass  # it is counted
        finally:
            self.counts[outcome] += 1

    async def _answered(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(REQUEST)
            self.counts["sent"] += len(REQUEST)
            received = await reader.read(-1)
            self.counts["received"] += len(received)
            return received == ANSWER
        finally:
            writer.close()


class Held:
    """`number` connections to `port` that stay open, with a beat on each twice a second (`talk`)."""

    def __init__(self, traffic: Traffic, port: int, number: int, first: bytes = BEAT, *, talk: bool = True) -> None:
        self._traffic = traffic
        self._first = first
        self._talk = talk
        self._pairs = traffic.run(self._open(port, number))
        self._beats = [traffic.start(self._beat(*pair)) for pair in self._pairs]
        traffic.at_end(self._close)

    async def _open(self, port: int, number: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        pairs = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(self._first)
            await asyncio.wait_for(reader.readexactly(len(BEAT)), CLIENT_SECS)
            pairs.append((reader, writer))
        return pairs

    async def _beat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await asyncio.sleep(BEAT_SECS)
                if self._talk:
                    writer.write(BEAT)
                    await reader.readexactly(len(BEAT))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()  # the endpoint has gone, and so does its client

    @property
    def ports(self) -> list[int]:
        """Of the clients' side."""
        return [writer.get_extra_info("sockname")[1] for _, writer in self._pairs]

    def close(self) -> None:
        for beat in self._beats:
            beat.cancel()
        self._traffic.run(self._close())

    async def _close(self) -> None:
        for _, writer in self._pairs:
            writer.transport.abort()
        await asyncio.sleep(0)

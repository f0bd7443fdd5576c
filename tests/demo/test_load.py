"""The demo's clients come as told, put up with what they find, and go."""

from collections.abc import Iterator
from socket import create_server

import pytest

from linkerd_tcp.backends import ExampleBackend
from linkerd_tcp.demo import load
from linkerd_tcp.demo.load import Load
from linkerd_tcp.testing import eventually
from tests.leaks import no_leaks
from tests.rig import Endpoint

assert no_leaks
Counts = list[tuple[bytes, ...]]


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    pass


class Counting(Endpoint):
    """Answers as the example's backends do, and keeps what each connection asked."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        super().__init__(self._serve)

    def _serve(self, sock: object, _: object) -> None:
        requests: list[bytes] = []
        self.asked.append(requests)
        while request := sock.recv(4096):  # type: ignore[attr-defined]
            requests.append(request)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")  # type: ignore[attr-defined]
            if b"close" in request:
                return


@pytest.fixture
def shop() -> Iterator[Counting]:
    endpoint = Counting()
    yield endpoint
    endpoint.close()


def test_there_are_short_connections_and_some_that_last(shop: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PAUSE_SECS", 0.01)
    monkeypatch.setattr(load, "PER_SEC", 300)
    running = Load(("127.0.0.1", shop.port), ("127.0.0.1", 1))
    running.start()
    eventually(lambda: sum(len(asked) == 1 and b"close" in asked[0] for asked in shop.asked) >= 10)
    eventually(lambda: sum(len(asked) >= 3 for asked in shop.asked) == load.LASTING)
    running.close()
    before = shop.accepts
    eventually(lambda: shop.accepts == before)


def test_those_that_last_are_made_anew(shop: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PAUSE_SECS", 0.01)
    monkeypatch.setattr(load, "LASTING_SECS", (0.02, 0.03))
    monkeypatch.setattr(load, "PER_SEC", 1e-6)
    running = Load(("127.0.0.1", shop.port), ("127.0.0.1", 1))
    running.start()
    eventually(lambda: shop.accepts > 3 * load.LASTING)
    running.close()


def test_the_name_that_is_not_there_is_asked_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "LOST_SECS", 0.01)
    lost = Endpoint(lambda sock, _: sock.close())
    running = Load(("127.0.0.1", 1), ("127.0.0.1", lost.port))
    running.start()
    eventually(lambda: lost.accepts >= 3)
    running.close()
    lost.close()


def test_while_none_is_answered_no_more_than_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PER_SEC", 10_000)
    with create_server(("127.0.0.1", 0), backlog=1000) as silent:
        running = Load(silent.getsockname(), ("127.0.0.1", 1))
        running.start()
        eventually(lambda: running._short.full())
        assert len(running._short) == load.MOST
        running.close()


def test_a_backend_that_goes_and_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PAUSE_SECS", 0.01)
    backend = ExampleBackend(0)
    backend.start()
    running = Load(("127.0.0.1", backend.port), ("127.0.0.1", 1))
    running.start()
    backend.pause()
    backend._pool.kill()
    backend.resume()
    eventually(lambda: len(backend._pool) >= load.LASTING)
    running.close()
    backend.close()

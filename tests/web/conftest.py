"""An HTTP server over a small WSGI application."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from gevent.event import Event

from linkerd_tcp.web.server import HttpServer, Limits

LIMITS = Limits("test server", max_connections=100, max_body_bytes=64 * 1024)


class Application:
    """`/ping` answers at once, `/wait` when `go` is set, `/long` with two megabytes."""

    def __init__(self) -> None:
        self.go = Event()
        self.waited = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        match environ["PATH_INFO"]:
            case "/wait":
                self.go.wait()
                self.waited += 1
                return [b"done"]
            case "/long" if environ["REQUEST_METHOD"] == "HEAD":
                return iter(())
            case "/long":
                return iter([b"x" * 65536] * 32)
            case "/body":
                return [str(len(environ["wsgi.input"].read())).encode()]
            case _:
                return [b"pong"]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def server(application: Application) -> Iterator[HttpServer]:
    made = HttpServer(LIMITS)
    made.bind("127.0.0.1", 0, "test.port", application)
    made.start()
    yield made
    made.close()

"""An admin server over a small real set-up: one router, one server, two endpoints."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.admin.fake import FakeApp
from tests.rig import Endpoint


@pytest.fixture
def endpoints() -> Iterator[list[Endpoint]]:
    made = [Endpoint(), Endpoint()]
    yield made
    for endpoint in made:
        endpoint.close()


@pytest.fixture
def make_app(endpoints: list[Endpoint], tmp_path: Path) -> Iterator[Callable[[str], FakeApp]]:
    """Make one with more keys of `admin`, `, readOnly: true`."""
    made: list[FakeApp] = []

    def make(admin: str = "") -> FakeApp:
        made.append(FakeApp([f"127.0.0.1:{endpoint.port}" for endpoint in endpoints], tmp_path, admin))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def app(make_app: Callable[[str], FakeApp]) -> FakeApp:
    return make_app("")


class Http:
    """Requests to one admin server, as curl would make them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **more: object) -> requests.Response:
        return self.session.get(self._url + path, timeout=5, **more)  # type: ignore[arg-type]

    def post(self, path: str, **more: object) -> requests.Response:
        return self.session.post(self._url + path, timeout=5, **more)  # type: ignore[arg-type]

    def ask(self, method: str, path: str, **more: object) -> requests.Response:
        return self.session.request(method, self._url + path, timeout=5, **more)  # type: ignore[arg-type]


@pytest.fixture
def http(app: FakeApp) -> Iterator[Http]:
    made = Http(app.url)
    yield made
    made.session.close()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queues of these listeners are empty when they end: nothing to linger for."""
    monkeypatch.setattr("linkerd_tcp.server.QUEUE_LINGER_SECS", 0.0)

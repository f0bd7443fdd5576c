"""Workers over the same two endpoints, and an admin server over them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.admin.conftest import Http, _hurry, endpoints
from tests.rig import Endpoint
from tests.workers.fake import FakeWorker, Front

__all__ = ["_hurry", "endpoints"]


@pytest.fixture
def make_workers(endpoints: list[Endpoint], tmp_path: Path) -> Iterator[Callable[..., list[FakeWorker]]]:
    made: list[FakeWorker] = []

    def make(number: int, admin: str = "") -> list[FakeWorker]:
        listed = [f"127.0.0.1:{endpoint.port}" for endpoint in endpoints]
        made.extend(FakeWorker(each, listed, tmp_path, admin) for each in range(number))
        return made

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def workers(make_workers: Callable[..., list[FakeWorker]]) -> list[FakeWorker]:
    return make_workers(2)


@pytest.fixture
def front(workers: list[FakeWorker]) -> Iterator[Front]:
    made = Front(workers)
    yield made
    made.close()


@pytest.fixture
def http(front: Front) -> Iterator[Http]:
    made = Http(front.url)
    yield made
    made.session.close()

"""Pages over one process (`http`) and over two workers (`over_workers`)."""

from collections.abc import Iterator

import pytest

from tests.admin.conftest import Http, _hurry, app, endpoints, http, make_app
from tests.workers.conftest import front, make_workers, workers
from tests.workers.fake import Front

__all__ = ["_hurry", "app", "endpoints", "front", "http", "make_app", "make_workers", "over_workers", "workers"]


@pytest.fixture
def over_workers(front: Front) -> Iterator[Http]:
    made = Http(front.url)
    yield made
    made.session.close()

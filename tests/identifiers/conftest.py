from collections.abc import Iterator

import pytest

from tests.identifiers.callers import Caller, calling
from tests.leaks import nothing_left


@pytest.fixture
def caller() -> Iterator[Caller]:
    with nothing_left(), calling() as made:
        yield made

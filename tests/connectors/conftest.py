from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .listeners import nothing_left


@pytest.fixture
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def opened(_nothing_left: None) -> Iterator[Callable[[Any], Any]]:
    """`opened(thing)` gives it back and closes it after the test."""
    things: list[Any] = []

    def keep(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield keep
    for thing in reversed(things):
        thing.close()

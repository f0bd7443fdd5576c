"""Recursion without the stack.

A hundred delegations, each through a tree of any shape, are deeper than Python lets functions call each other. Such a
walk is written as generators instead: `yield` another generator to have it run and its result sent back.
"""

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

R = TypeVar("R")

Steps: TypeAlias = Generator["Steps[Any]", Any, R]


def run(first: Steps[R]) -> R:
    """Run `first` and all that it yields; what any of them raises goes to the caller at once."""
    stack: list[Steps[Any]] = [first]
    sent: Any = None
    while True:
        try:
            deeper = stack[-1].send(sent)
        except StopIteration as stop:
            stack.pop()
            sent = stop.value
            if not stack:
                result: R = stop.value
                return result
        else:
            stack.append(deeper)
            sent = None

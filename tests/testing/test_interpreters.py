"""Every kind of interpreter is held to the contract."""

import importlib

import pytest

from linkerd_tcp import registry
from linkerd_tcp.testing import InterpreterContract


@pytest.mark.parametrize("kind", registry.BUILT_IN["interpreter"])
def test_every_kind_of_interpreter_is_held_to_the_contract(kind: str) -> None:
    """By a subclass in the test file of its module."""
    name = registry.BUILT_IN["interpreter"][kind].partition(":")[0].rpartition(".")[2]
    tests = importlib.import_module(f"tests.interpreters.test_{name}")
    held = [each for each in vars(tests).values() if isinstance(each, type) and issubclass(each, InterpreterContract)]
    assert [each for each in held if each.__name__.startswith("Test")], f"tests/interpreters/test_{name}.py has none"

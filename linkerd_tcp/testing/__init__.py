"""For tests of plug-ins: what a namer and an interpreter promise, as test classes to inherit from, and what they need.

The program never imports this. It needs pytest and hypothesis: `pip install linkerd-tcp[testing]`.
"""

try:
    import hypothesis  # noqa: F401
    import pytest
except ImportError as error:
    raise ImportError(f"linkerd_tcp.testing needs {error.name}: pip install 'linkerd-tcp[testing]'") from error

# Before they are imported, so that a broken promise is shown with its values, as in a test file.
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("interpreters", "leaks", "namers", "waiting")))

from linkerd_tcp.testing.hosts import FakeHosts  # noqa: E402
from linkerd_tcp.testing.interpreters import InterpreterContract  # noqa: E402
from linkerd_tcp.testing.leaks import no_leaks, nothing_left  # noqa: E402
from linkerd_tcp.testing.namers import HOSTILE, LookupContract, NamerContract  # noqa: E402
from linkerd_tcp.testing.waiting import eventually  # noqa: E402

__all__ = [
    "HOSTILE",
    "FakeHosts",
    "InterpreterContract",
    "LookupContract",
    "NamerContract",
    "eventually",
    "no_leaks",
    "nothing_left",
]

"""What a test must give back: shipped with the package, for the tests of plug-ins."""

from linkerd_tcp.testing.leaks import DEADLINE_SECS, no_leaks, nothing_left

__all__ = ["DEADLINE_SECS", "no_leaks", "nothing_left"]

"""Asking an interpreter for a delegation, once."""

from time import monotonic
from typing import Final

import gevent

from linkerd_tcp.naming.delegation import DelegateTree
from linkerd_tcp.naming.watch import Watch

POLL_SECS: Final = 0.01


def settled(watch: Watch[DelegateTree], secs: float) -> DelegateTree:
    """The tree once nothing in it is pending, or as it is after `secs`. Nothing stays watched: `watch` is closed."""
    until = monotonic() + secs
    try:
        while watch.value.is_pending and monotonic() < until:
            gevent.sleep(POLL_SECS)
        return watch.value
    finally:
        watch.close()

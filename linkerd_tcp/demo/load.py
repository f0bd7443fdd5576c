"""The demo's clients: many short connections, a few that last, and some to a name that is not there."""

import random
from typing import Final, TypeAlias

import gevent
from gevent import socket
from gevent.pool import Pool

Address: TypeAlias = tuple[str, int]

PER_SEC: Final = 30
"""Short connections begun each second."""

MOST: Final = 60
"""Short ones at a time: while there are as many, none is begun."""

LASTING: Final = 6
LASTING_SECS: Final = (10.0, 20.0)
PAUSE_SECS: Final = 0.5
"""Between two requests on a connection that lasts."""

LOST_SECS: Final = 0.5
"""Between two connections to the name that is not there."""

TIMEOUT_SECS: Final = 5.0
"""Of each step of a client."""

_LAST: Final = b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n"
_NEXT: Final = b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n"


class Load:
    """Clients of `shop`, and of `lost`, where every connection fails. `start`, then `close`."""

    def __init__(self, shop: Address, lost: Address) -> None:
        self._shop = shop
        self._lost = lost
        self._short = Pool(MOST)
        self._owners: list[gevent.Greenlet[..., None]] = []

    def start(self) -> None:
        lasting = [gevent.spawn(self._lasting) for _ in range(LASTING)]
        self._owners = [gevent.spawn(self._many), gevent.spawn(self._to_nowhere), *lasting]

    def close(self) -> None:
        """Every connection is closed when it returns."""
        gevent.killall(self._owners, timeout=1.0)
        self._short.kill(timeout=1.0)

    def _many(self) -> None:
        while True:
            if not self._short.full():
                self._short.spawn(_visit, self._shop)
            gevent.sleep(random.expovariate(PER_SEC))

    def _to_nowhere(self) -> None:
        while True:
            gevent.sleep(LOST_SECS)
            _visit(self._lost)

    def _lasting(self) -> None:
        while True:
            _stay(self._shop, random.uniform(*LASTING_SECS))
            gevent.sleep(PAUSE_SECS)


def _visit(address: Address) -> None:
    """One request, and all of the answer."""
    try:
        with socket.create_connection(address, TIMEOUT_SECS) as connection:
            connection.sendall(_LAST)
            while connection.recv(4096):
                pass
    except OSError:  # what becomes of a connection is what the dashboard is there to say
        return


def _stay(address: Address, secs: float) -> None:
    """Request after request on one connection, for so long or until it ends."""
    try:
        with socket.create_connection(address, TIMEOUT_SECS) as connection, gevent.Timeout(secs, False):
            while True:
                connection.sendall(_NEXT)
                if not connection.recv(4096):
                    return
                gevent.sleep(PAUSE_SECS)
    except OSError:
        return

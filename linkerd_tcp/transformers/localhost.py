"""`io.l5d.localhost`: only addresses of this very machine, whichever it has at the time."""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Literal

from gevent.hub import get_hub

from linkerd_tcp.config.transformers import TransformerOptions
from linkerd_tcp.naming.addr import Address
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.net.interfaces import local_addresses
from linkerd_tcp.transformers.addresses import AddressTransformer, only

REFRESH_SECS: Final = 5.0
"""How often the interfaces are asked: a laptop changes networks, a container gets an address late."""

_log: Final = logging.getLogger(__name__)

Ips = frozenset[str]


class LocalAddresses:
    """The addresses of this machine's interfaces that are up: a `Watch`, asked again while somebody observes it, and
    when it is read after a while.

    Where the system does not say, those known before are kept.
    """

    def __init__(self, ask: Callable[[], Ips] = local_addresses) -> None:
        self._ask = ask
        self._out: Var[Ips] = Var(frozenset())
        self._asked_at = float("-inf")
        self._timer: Any = None
        self._failing = False

    @property
    def value(self) -> Ips:
        # While it is observed the timer asks: whoever reads it must not tell others in passing.
        if self._timer is None and monotonic() - self._asked_at >= REFRESH_SECS:
            self.refresh()
        return self._out.value

    def observe(self, callback: Callable[[Ips], None]) -> Callable[[], None]:
        if self._timer is None:
            self.refresh()
            self._timer = get_hub().loop.timer(REFRESH_SECS, REFRESH_SECS)
            self._timer.start(self.refresh)
        cancel = self._out.observe(callback)

        def cancel_and_rest() -> None:
            cancel()
            if not self._out.observed:
                self._rest()

        return cancel_and_rest

    def refresh(self) -> None:
        """Ask now, and tell what is new."""
        self._asked_at = monotonic()
        try:
            found = self._ask()
        except OSError as error:
            if not self._failing:
                _log.warning("this machine's addresses cannot be read: %s: those known before are kept", error.strerror)
            self._failing = True
            return
        self._failing = False
        self._out.set(found)

    def close(self) -> None:
        self._out.close()
        self._rest()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None


class LocalhostTransformer(AddressTransformer):
    """See the module."""

    def __init__(self, config: "LocalhostConfig", local: LocalAddresses) -> None:
        super().__init__(config.kind, config.id_prefix, only(self._is_local), local)
        self._local = local

    def close(self) -> None:
        self._local.close()

    def _is_local(self, address: Address) -> bool:
        return address.ip.partition("%")[0] in self._local.value


class LocalhostConfig(TransformerOptions):
    """Addresses that one of this machine's interfaces has, the loopback among them."""

    kind: Literal["io.l5d.localhost"] = "io.l5d.localhost"

    def build(self, _context: TransformerContext) -> LocalhostTransformer:
        return LocalhostTransformer(self, LocalAddresses())

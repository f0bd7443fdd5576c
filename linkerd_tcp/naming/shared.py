"""Live addresses that several holders share."""

from collections.abc import Callable

from linkerd_tcp.naming.addr import PENDING, Addr
from linkerd_tcp.naming.watch import Var


class SharedAddr(Var[Addr]):
    """The addresses of one bound name, for everybody who has it: closing them does nothing, since they are not one
    holder's.

    `on_idle` hears of each observation that ends.
    """

    __slots__ = ("_on_idle",)

    def __init__(self, on_idle: Callable[[], None]) -> None:
        super().__init__(PENDING)
        self._on_idle = on_idle

    def observe(self, callback: Callable[[Addr], None]) -> Callable[[], None]:
        cancel = super().observe(callback)

        def cancel_and_tell() -> None:
            cancel()
            self._on_idle()

        return cancel_and_tell

    def close(self) -> None:
        """Nothing; see the class."""

    def end(self) -> None:
        """Tell nobody any more."""
        super().close()

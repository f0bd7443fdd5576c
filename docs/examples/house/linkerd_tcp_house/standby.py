"""`com.example.standby`: the heaviest endpoints get everything; lighter ones stand by until those have failed."""

from collections.abc import Sequence
from random import Random
from typing import Literal

from linkerd_tcp.balancers.endpoints import Endpoint
from linkerd_tcp.config.model import Model
from linkerd_tcp.record import Record


class StandbyConfig(Model):
    """`loadBalancer: {kind: com.example.standby}`: an endpoint's weight is its rank."""

    kind: Literal["com.example.standby"] = "com.example.standby"

    def build(self, random: Random) -> "Standby":
        return Standby()


class Standby:
    """The least loaded of the highest rank."""

    def __init__(self) -> None:
        self._first: list[Endpoint] = []

    def rebuild(self, endpoints: Sequence[Endpoint]) -> None:
        """These may be picked from now on: failed, removed and drained ones are not among them."""
        highest = max((endpoint.weight for endpoint in endpoints), default=0)
        self._first = [endpoint for endpoint in endpoints if endpoint.weight == highest]

    def pick(self, record: Record | None) -> Endpoint | None:
        """Who gets the next connection; called for each one, so it costs no more than it must."""
        return min(self._first, key=lambda endpoint: endpoint.load, default=None)

"""What a kind of load balancing is: a configuration model with `build(random)`, and the picker that it builds."""

from collections.abc import Collection, Iterable, Sequence
from random import Random
from typing import Final, Protocol

from linkerd_tcp.balancers.endpoints import Endpoint
from linkerd_tcp.record import Record

_MAX_REDRAWS: Final = 4


class Picker(Protocol):
    """Chooses among endpoints, all with a weight over 0. `pick` costs the same however many there are."""

    def rebuild(self, endpoints: Sequence[Endpoint]) -> None:
        """Choose among these from now on. The sequence is not changed afterwards; loads change all the time."""

    def pick(self, record: Record | None) -> Endpoint | None:
        """Who gets the next connection, or None if there is nobody; `record` is whose it is, if it is anybody's."""


class PickerConfig(Protocol):
    """A `loadBalancer` of the configuration file."""

    def build(self, random: Random) -> Picker: ...


def pick_untried(
    picker: Picker, endpoints: Sequence[Endpoint], tried: Collection[Endpoint], record: Record | None
) -> Endpoint | None:
    """The picker's choice, but none of `tried`; None if all were. Only for retries: it may look at every endpoint."""
    for _ in range(_MAX_REDRAWS):
        endpoint = picker.pick(record)
        if endpoint is None or endpoint not in tried:
            return endpoint
    return least_loaded(endpoint for endpoint in endpoints if endpoint not in tried)


def least_loaded(endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """The lowest load for its weight, the first such."""
    return min(endpoints, key=lambda endpoint: endpoint.load / endpoint.weight, default=None)

"""Weighted least-loaded power of two choices, the default. docs/balancing.md is its rule in words."""

from collections.abc import Sequence
from itertools import chain
from random import Random
from typing import Final, Literal

from linkerd_tcp.balancers.endpoints import Endpoint
from linkerd_tcp.config.model import Model
from linkerd_tcp.record import Record

_HEAD: Final = 0.25
"""Of a connection; see P2c. A half does as well, a whole one favours the heavy."""


class P2cConfig(Model):
    """`loadBalancer: {kind: p2c}`."""

    kind: Literal["p2c"] = "p2c"

    def build(self, random: Random) -> "P2c":
        return P2c(random)


class P2c:
    """Draws two and takes the less loaded.

    Equal weights: two distinct ones, uniformly; a tie keeps the first. Unequal: two by weight, with replacement, and
    the lower load/weight, a tie keeps the first; so shares follow the weights with no load and under load.

    Unequal weights have one more condition: the second must stay the lower when `_HEAD` is added to both loads.
    Without it an idle light endpoint beats a heavy one with a single connection (0/1 < 1/20): with about as many
    connections open as endpoints, weights of 20, 1, 1, 1 were missed by 8 points; with it, none by more than 5.
    """

    __slots__ = ("_accept", "_alias", "_endpoints", "_equal", "_random", "_size")

    def __init__(self, random: Random) -> None:
        self._random = random.random
        self.rebuild(())

    def rebuild(self, endpoints: Sequence[Endpoint]) -> None:
        """See `Picker.rebuild`."""
        self._endpoints = endpoints
        self._size = len(endpoints)
        weights = [endpoint.weight for endpoint in endpoints]
        self._equal = not weights or min(weights) == max(weights)
        self._accept, self._alias = ([], []) if self._equal else alias_table(weights)

    def pick(self, record: Record | None) -> Endpoint | None:
        """See `Picker.pick`."""
        size = self._size
        if size < 2:
            return self._endpoints[0] if size else None
        random = self._random
        endpoints = self._endpoints
        if self._equal:
            index = int(random() * size)
            other = int(random() * (size - 1))
            first = endpoints[index]
            second = endpoints[other if other < index else other + 1]
            return second if second.load < first.load else first
        accept = self._accept
        at = random() * size
        index = int(at)
        first = endpoints[index if at - index < accept[index] else self._alias[index]]
        at = random() * size
        index = int(at)
        second = endpoints[index if at - index < accept[index] else self._alias[index]]
        if second.load * first.weight >= first.load * second.weight:
            return first
        return second if (second.load + _HEAD) * first.weight <= (first.load + _HEAD) * second.weight else first


def alias_table(weights: Sequence[float]) -> tuple[list[float], list[int]]:
    """Vose's alias method: (accept, alias), so that a draw by weight takes one random number and one comparison.

    Draw i uniformly; it is i with probability accept[i], else alias[i]. `weights` are over 0 and finite. Costs O(n).
    """
    size = len(weights)
    mean = sum(weights) / size
    accept = [weight / mean for weight in weights]
    alias = list(range(size))
    small = [index for index, share in enumerate(accept) if share < 1]
    large = [index for index, share in enumerate(accept) if share >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        accept[high] -= 1 - accept[low]
        if accept[high] < 1:
            small.append(large.pop())
    # What rounding left over is as good as full.
    for index in chain(small, large):
        accept[index] = 1.0
    return accept, alias

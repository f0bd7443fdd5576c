"""Kinds of the public interface that have no code here yet: their options, so that a typo in them is found.

A kind that gets built leaves this file for a module of its own (CONTRIBUTING: a new kind).
"""

from typing import ClassVar, Final

from pydantic import BaseModel

from linkerd_tcp.config.model import Model


class Unbuilt(Model):
    """A kind that is valid in a file and not built yet."""

    built: ClassVar[bool] = False

    kind: str


class UnbuiltBalancer(Unbuilt):
    pass


MODELS: Final[dict[str, dict[str, type[BaseModel]]]] = {
    "balancer": {
        "ewma": UnbuiltBalancer,
        "leastLoaded": UnbuiltBalancer,
        "roundRobin": UnbuiltBalancer,
        "sourceHash": UnbuiltBalancer,
    },
}

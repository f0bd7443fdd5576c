"""Kinds of the public interface that have no code here yet: their options, so that a typo in them is found.

A kind that gets built leaves this file for a module of its own (CONTRIBUTING: a new kind).
"""

from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from linkerd_tcp.config.fields import Items, Name, PathText, PositiveSecs, UrlText
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.tls import ClientTls
from linkerd_tcp.naming.path import Path


class Unbuilt(Model):
    """A kind that is valid in a file and not built yet."""

    built: ClassVar[bool] = False

    kind: str


class Transformer(Unbuilt):
    """Changes what a namer found; which options there are is the kind's own affair."""

    model_config = ConfigDict(extra="allow")


def default_prefix(options: dict[str, Any]) -> Path:
    """`/` and the kind."""
    return Path((options["kind"],)) if "kind" in options else Path()


class UnbuiltNamer(Unbuilt):
    prefix: PathText = Field(default_factory=default_prefix)
    """What follows `/#` in the paths that reach this namer; by default `/` and the kind."""
    transformers: Items[Transformer] = ()


class NamerdNamer(UnbuiltNamer):
    """namerd as a namer."""

    model_config = ConfigDict(extra="allow")

    base_url: UrlText
    namespace: Name = "default"


class NamerdHttpInterpreter(Unbuilt):
    """Names are bound by namerd."""

    base_url: UrlText
    namespace: Name = "default"
    period_secs: PositiveSecs | None = None
    """Ask this often instead of watching, as linkerd-tcp did."""
    watch: bool | None = None
    """By default false where `periodSecs` is given, else true."""
    tls: ClientTls | None = None


class UnbuiltBalancer(Unbuilt):
    pass


MODELS: Final[dict[str, dict[str, type[BaseModel]]]] = {
    "namer": {
        "io.l5d.namerd": NamerdNamer,
    },
    "interpreter": {
        "io.l5d.namerd.http": NamerdHttpInterpreter,
    },
    "balancer": {
        "ewma": UnbuiltBalancer,
        "leastLoaded": UnbuiltBalancer,
        "roundRobin": UnbuiltBalancer,
        "sourceHash": UnbuiltBalancer,
    },
}

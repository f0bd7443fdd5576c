"""One router: how names are bound, where connections come in, how they go out."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from linkerd_tcp.config.client import ClientOf, GlobalClient
from linkerd_tcp.config.fields import DtabText, Items, Name, PositiveMillis, Secs
from linkerd_tcp.config.kinds import InterpreterOf, default_of
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.naming.dtab import Dtab


class BindingCacheConfig(Model):
    """Bound names that are kept."""

    paths: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000
    idle_ttl_secs: Secs = 600.0
    """How long one without traffic stays."""


class RouterConfig(Model):
    """See the module."""

    label: Name
    """Its name in metrics and pages; unique."""
    dtab: DtabText | None = None
    """Delegates destinations to namers; later entries win."""
    interpreter: InterpreterOf = Field(default_factory=lambda: default_of("interpreter", "default"))
    binding_timeout_ms: PositiveMillis = 10_000
    """Or what is left of connectTimeoutMs, if less."""
    binding_cache: BindingCacheConfig = BindingCacheConfig()
    servers: Annotated[Items[ServerConfig], Field(min_length=1)]
    client: ClientOf = Field(default_factory=GlobalClient)

    def effective_dtab(self, namers: Sequence[Any]) -> Dtab:
        """The dtab; where the file has none and the interpreter is the default one, `/svc` is every namer's.

        Of overlapping namers the last listed is asked first, because later dtab entries win.
        """
        if self.dtab is not None:
            return self.dtab
        if self.interpreter.kind != "default":
            return Dtab()
        return Dtab.read("".join(f"/svc => /#{prefix_of(namer)} ; " for namer in namers))


def prefix_of(namer: Any) -> str:
    """A namer's prefix: its own, or `/` and its kind."""
    return str(namer.prefix)

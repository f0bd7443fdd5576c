"""What every namer's options have."""

from typing import Any

from pydantic import Field, model_validator

from linkerd_tcp.config.fields import PathText, refuse
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.transformers import Transformers
from linkerd_tcp.naming.path import Path


def default_prefix(options: dict[str, Any]) -> Path:
    """`/` and the kind."""
    return Path((options["kind"],)) if "kind" in options else Path()


class NamerOptions(Model):
    """Base of a namer kind's model, which gives `kind` its Literal."""

    kind: str
    prefix: PathText = Field(default_factory=default_prefix)
    """What follows `/#` in the paths that reach this namer; by default `/` and the kind."""
    transformers: Transformers = ()
    """Applied in order to what the namer finds."""

    @model_validator(mode="after")
    def _transformers_ask_no_namer(self) -> "NamerOptions":
        # Two namers each behind the other would go round and round.
        for each in self.transformers:
            if getattr(each, "uses_namers", False):
                refuse(
                    f"{each.kind} cannot ask for {each.path} here: behind a namer only /$/... can be asked for "
                    "(an interpreter's transformer asks the namers, too)",
                    key="transformers",
                )
        return self

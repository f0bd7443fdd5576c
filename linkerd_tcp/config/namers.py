"""What every namer's options have."""

from pydantic import Field

from linkerd_tcp.config.fields import PathText
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.transformers import Transformers
from linkerd_tcp.config.unbuilt import default_prefix


class NamerOptions(Model):
    """Base of a namer kind's model, which gives `kind` its Literal."""

    kind: str
    prefix: PathText = Field(default_factory=default_prefix)
    """What follows `/#` in the paths that reach this namer; by default `/` and the kind."""
    transformers: Transformers = ()
    """Applied in order to what the namer finds."""

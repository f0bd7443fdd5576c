"""What every transformer's options have."""

from typing import Annotated, Final

from pydantic import Field

from linkerd_tcp.config.fields import Items, PathText
from linkerd_tcp.config.kinds import TransformerOf
from linkerd_tcp.config.model import Model
from linkerd_tcp.naming.path import Path

MAX_TRANSFORMERS: Final = 16
"""Of one namer or interpreter: each is a step more in a delegation."""

Transformers = Annotated[Items[TransformerOf], Field(max_length=MAX_TRANSFORMERS)]
"""Applied in order to what is found."""

_TRANSFORMED: Final = Path(("%",))


class TransformerOptions(Model):
    """Base of a transformer kind's model, which gives `kind` its Literal and has a method `build(context)`."""

    kind: str
    prefix: PathText | None = None
    """What follows `/%` in front of the names that it changed; by default `/` and the kind."""

    @property
    def default_prefix(self) -> Path:
        return Path((self.kind,))

    @property
    def id_prefix(self) -> Path:
        """What changed names begin with: `/%/io.l5d.localhost`."""
        return _TRANSFORMED + (self.default_prefix if self.prefix is None else self.prefix)

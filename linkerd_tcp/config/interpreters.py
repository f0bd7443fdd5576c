"""What every interpreter's options have."""

from typing import ClassVar

from linkerd_tcp.config.model import Model
from linkerd_tcp.config.transformers import Transformers


class InterpreterOptions(Model):
    """Base of an interpreter kind's model, which gives `kind` its Literal and has a method `build(context)`.

    A method `problems()`, where there is one, gives a line to print for everything that is wrong with the files that
    the options name; it is asked before anything starts.
    """

    uses_namers: ClassVar[bool] = True
    """Whether it asks the namers of the file: over a reload it is kept only if they are."""

    kind: str
    transformers: Transformers = ()
    """Applied in order to what names are bound to."""

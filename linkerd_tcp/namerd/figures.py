"""What is counted of the requests to namerd."""

from dataclasses import dataclass, field

from linkerd_tcp.figures import Histogram
from linkerd_tcp.naming.namer import NamerFigures


@dataclass(slots=True)
class NamerdFigures(NamerFigures):
    """`requests`: the time to the first document of a watch, to the whole answer of any other request."""

    requests: Histogram = field(default_factory=Histogram)

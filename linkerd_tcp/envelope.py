"""What is known about a connection before it is routed."""

from dataclasses import dataclass

from linkerd_tcp.naming.path import Path


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who is calling, where they called, and until when they will wait.

    `source` and `local` are (ip, port); `deadline` is on the clock of time.monotonic, seconds, and bounds
    everything up to the connected endpoint. `destination` is None until an identifier has spoken.
    """

    source: tuple[str, int]
    local: tuple[str, int]
    deadline: float
    destination: Path | None = None

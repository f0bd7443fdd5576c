"""A stream under test, between two sockets that the test holds."""

import gevent

from linkerd_tcp.errors import Cause
from linkerd_tcp.net.duplex import Duplex, LateOptions, Limits
from linkerd_tcp.net.half_duplex import Buffer
from tests.sockets import eventually, tcp_pair


class Relay:
    """A duplex between `client` and `endpoint`, run as a server runs it: in a greenlet that closes both sockets."""

    short = False
    """Whether the endpoint is expected to end it with its first words."""

    def __init__(
        self,
        limits: Limits | None = None,
        buffer_bytes: int = 65536,
        late_options: LateOptions = ((), ()),
        said_before: bytes = b"",
    ) -> None:
        self.client, src = tcp_pair()
        self.endpoint, dst = tcp_pair()
        self.client.sendall(said_before)
        self.buffer = Buffer(buffer_bytes)
        self.duplex = Duplex(src, dst, self.buffer, limits or Limits(), late_options, self.short)
        self.src, self.dst = src, dst
        self.greenlet = gevent.spawn(self._run)
        eventually(lambda: self.duplex._greenlet is not None)

    def _run(self) -> Cause:
        try:
            return self.duplex.run()
        finally:
            self.src.close()
            self.dst.close()

    def cause(self) -> Cause:
        cause: Cause = self.greenlet.get(timeout=5)
        return cause

    def close(self) -> None:
        self.client.close()
        self.endpoint.close()
        self.greenlet.join(5)
        assert self.greenlet.dead
        self.buffer.pipes.give_up()

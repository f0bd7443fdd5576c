"""The ClientHello of a TLS connection that passes through: looked at, never taken."""

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.identifiers.by_name import NothingFound
from linkerd_tcp.net.peek import FirstBytes
from linkerd_tcp.wire import client_hello
from linkerd_tcp.wire.client_hello import ClientHello
from linkerd_tcp.wire.parsing import WireError


def peek_hello(first: FirstBytes) -> ClientHello:
    """What the client's TLS begins with; all of it stays in the socket.

    NothingFound: not TLS, no TLS that can be read, or no whole hello before the client's end or the deadline (a
    protocol in which the server speaks first shows itself so). ConnectionFailed (reset) if the client is gone.
    """
    try:
        peeked = first.peek(client_hello.parse, client_hello.MAX_BYTES)
    except WireError as error:
        raise NothingFound(f"the client sent no TLS ClientHello: {error}") from error
    except OSError as error:
        raise ConnectionFailed(Cause.RESET, f"client: {error.strerror}") from error
    if peeked.message is not None:
        return peeked.message
    sent = f"{len(peeked.seen)} bytes of a TLS ClientHello" if peeked.seen else "nothing"
    when = "before it ended its side" if peeked.ended else "within detectTimeoutMs"
    raise NothingFound(f"the client sent {sent} {when}")

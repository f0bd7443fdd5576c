"""PostgreSQL's way into TLS: a request in plain text, an answer of one byte, then TLS.

PostgreSQL documentation, "Message Flow", SSL Session Encryption and GSSAPI Session Encryption. The exchange is made
with the client before its ClientHello can be looked at, and again with the endpoint, which knows nothing of the first
one; the TLS between the two then passes through untouched.
"""

from _socket import socket as Socket
from enum import Enum
from typing import Final

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.net.peek import FirstBytes
from linkerd_tcp.net.wait import ReadWaiter
from linkerd_tcp.wire.client_hello import SSL_REQUEST
from linkerd_tcp.wire.parsing import Incomplete

GSS_REQUEST: Final = bytes.fromhex("0000000804d21630")
"""GSSENCRequest, which a client with Kerberos tickets sends first."""

_YES, _NO = b"S", b"N"


class First(Enum):
    """What a client of PostgreSQL begins with."""

    SSL = "SSLRequest"
    GSS = "GSSENCRequest"
    OTHER = "TLS at once, plain text, or something else"


def first_message(data: bytes) -> First | Incomplete:
    """What `data` begins with; eight bytes tell, or fewer that fit neither request."""
    for kind, request in ((First.SSL, SSL_REQUEST), (First.GSS, GSS_REQUEST)):
        if data[: len(request)] == request:
            return kind
    if SSL_REQUEST.startswith(data) or GSS_REQUEST.startswith(data):
        return Incomplete(len(SSL_REQUEST))
    return First.OTHER


def answer(client: Socket, until: float) -> bool:
    """Take the client's request for TLS and say yes; False, and nothing is taken, if it begins otherwise.

    Encryption by GSSAPI is declined first, as a server without it does. Exactly the requests are taken: what a client
    sent behind them, unasked, is left to be the beginning of TLS or of nothing. Blocks until `until` at most
    (time.monotonic seconds). ConnectionFailed (reset) when the client breaks.
    """
    try:
        for _ in range(2):
            kind = FirstBytes(client, until).peek(first_message, len(SSL_REQUEST)).message
            if kind is None or kind is First.OTHER:
                return False
            client.recv(len(SSL_REQUEST))
            client.send(_YES if kind is First.SSL else _NO)
            if kind is First.SSL:
                return True
    except OSError as error:
        raise ConnectionFailed(Cause.RESET, f"client: {error.strerror}") from error
    return False


def ask(endpoint: Socket, name: str | None, until: float) -> None:
    """Ask the endpoint for TLS as the client did; ConnectionFailed unless it says yes by `until`.

    One byte is read and no more: what would follow it in plain text is not the endpoint's (CVE-2021-23222).
    """
    waiter = ReadWaiter(endpoint.fileno(), until)
    try:
        endpoint.send(SSL_REQUEST)
        waiter.wait()
        said = endpoint.recv(1)
    except TimeoutError:
        raise ConnectionFailed(Cause.TIMEOUT, f"{name}: no answer to the request for TLS (SSLRequest)") from None
    except OSError as error:
        raise ConnectionFailed(Cause.RESET, f"{name}: {error.strerror}, when asked for TLS") from error
    finally:
        waiter.close()
    if said != _YES:
        meant = {_NO: "it has no TLS (ssl = on in postgresql.conf)", b"": "it hung up"}.get(said, f"it said {said!r}")
        raise ConnectionFailed(Cause.TLS, f"{name}: refuses TLS when asked for it (SSLRequest): {meant}")

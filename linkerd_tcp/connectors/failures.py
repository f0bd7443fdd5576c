"""What an errno of connect() means: its cause, and words that say what to do. The only such table."""

import errno
import os
from typing import Final, NamedTuple

from linkerd_tcp.connectors.connector import ConnectFailed
from linkerd_tcp.errors import Cause


class _Meaning(NamedTuple):
    cause: Cause
    words: str
    blames_endpoint: bool = True
    elsewhere: bool = True


_DESCRIPTORS: Final = "out of file descriptors here; raise the limit (ulimit -n, LimitNOFILE=) or lower maxConcurrency"
_MEMORY: Final = "the kernel has no memory for another socket; see net.ipv4.tcp_mem"

_MEANINGS: Final[dict[int, _Meaning]] = {
    errno.ECONNREFUSED: _Meaning(Cause.REFUSED, "connection refused: nothing accepts connections there"),
    errno.ETIMEDOUT: _Meaning(Cause.TIMEOUT, "no answer in time: host down, packets dropped, or its queue full"),
    errno.ECONNRESET: _Meaning(Cause.RESET, "connection reset while connecting"),
    errno.ECONNABORTED: _Meaning(Cause.RESET, "connection aborted while connecting"),
    errno.EPIPE: _Meaning(Cause.RESET, "connection closed while connecting"),
    errno.ENETUNREACH: _Meaning(Cause.UNREACHABLE, "no route to that network"),
    errno.ENETDOWN: _Meaning(Cause.UNREACHABLE, "the network is down"),
    errno.EHOSTUNREACH: _Meaning(Cause.UNREACHABLE, "no route to that host, or a firewall rejects it"),
    errno.EHOSTDOWN: _Meaning(Cause.UNREACHABLE, "the host is down"),
    errno.EACCES: _Meaning(Cause.UNREACHABLE, "not permitted by this machine's firewall or security policy"),
    errno.EPERM: _Meaning(Cause.UNREACHABLE, "not permitted by this machine's firewall or security policy"),
    errno.EAFNOSUPPORT: _Meaning(Cause.UNREACHABLE, "this machine has no such address family (IPv6 switched off?)"),
    errno.EINVAL: _Meaning(Cause.UNREACHABLE, "not an address that can be connected to from here"),
    # What is short here is no endpoint's fault, and another endpoint needs the same thing.
    errno.EMFILE: _Meaning(Cause.LIMIT, _DESCRIPTORS, blames_endpoint=False, elsewhere=False),
    errno.ENFILE: _Meaning(Cause.LIMIT, _DESCRIPTORS, blames_endpoint=False, elsewhere=False),
    errno.ENOBUFS: _Meaning(Cause.LIMIT, _MEMORY, blames_endpoint=False, elsewhere=False),
    errno.ENOMEM: _Meaning(Cause.LIMIT, _MEMORY, blames_endpoint=False, elsewhere=False),
    # Local ports run out per remote address: another endpoint has its own.
    errno.EADDRNOTAVAIL: _Meaning(
        Cause.LIMIT,
        "no local port left towards it; widen net.ipv4.ip_local_port_range or add endpoints",
        blames_endpoint=False,
    ),
}


def map_error(code: int) -> Cause:
    """The cause that an errno of socket() or connect() counts under."""
    meaning = _MEANINGS.get(code)
    return Cause.OTHER if meaning is None else meaning.cause


def failure(text: str, code: int) -> ConnectFailed:
    """What to raise when connecting to `text` ended with errno `code`."""
    meaning = _MEANINGS.get(code)
    if meaning is None:
        return ConnectFailed(Cause.OTHER, f"{text}: {os.strerror(code)} ({errno.errorcode.get(code, code)})")
    message = f"{text}: {meaning.words} ({errno.errorcode[code]})"
    return ConnectFailed(meaning.cause, message, blames_endpoint=meaning.blames_endpoint, elsewhere=meaning.elsewhere)


def met_itself(text: str) -> ConnectFailed:
    """A loopback connect was given the port it was dialling: nobody listens there."""
    return ConnectFailed(Cause.REFUSED, f"{text}: connection refused: nothing listens there (it connected to itself)")

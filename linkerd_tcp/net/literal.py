"""IP addresses as people write them."""

import socket
from typing import Final

_ATON: Final = frozenset("0123456789abcdefABCDEFxX.")


def ip_literal(host: str) -> str | None:
    """The IP address that `host` spells, in its usual form, or None where it is a name.

    IPv4 as inet_aton reads it (`127.1`, `0x7f.0.0.1`, `2130706433`), IPv6 with or without brackets and scope.
    """
    if host[:1] == "[" and host[-1:] == "]" and ":" in host:
        host = host[1:-1]
    if ":" in host:
        bare, percent, scope = host.partition("%")
        try:
            return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, bare)) + percent + scope
        except (OSError, ValueError):
            return None
    # The C function stops reading at white space: "127.1 and more" is an address to it.
    if not host[:1].isdigit() or not set(host) <= _ATON:
        return None
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None

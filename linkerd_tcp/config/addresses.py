"""Hosts, ports and networks as people write them. Every reader raises ValueError with words for an operator."""

import ipaddress
import re
from typing import Final

from linkerd_tcp.config.words import say
from linkerd_tcp.net.literal import ip_literal

_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# A dot between any two labels: were it optional, a text that is no host would take exponential time.
_HOST: Final = re.compile(rf"(?=.{{1,253}}\.?$){_LABEL}(?:\.{_LABEL})*\.?")


def read_ip(text: str) -> str:
    """An address to listen on."""
    ip = ip_literal(text) if "." in text or ":" in text else None
    if ip is None:
        hint = " (did you mean 127.0.0.1?)" if text == "localhost" else " (0.0.0.0 is every one)" if text == "*" else ""
        raise ValueError(f"expected an IP address such as 127.0.0.1 or ::1, got {say(text)}{hint}")
    return ip


def read_host(text: str) -> str:
    """An IP address (brackets round an IPv6 one are allowed) or a host name, in lower case."""
    ip = ip_literal(text)
    if ip is not None:
        return ip
    if _HOST.fullmatch(text) is None or text.replace(".", "").isdigit():
        raise ValueError(f"expected a host name or an IP address, got {say(text)}")
    return text.lower()


def read_host_port(text: str) -> tuple[str, int]:
    """`127.0.0.1:8080`, `web.example:80`, `[::1]:8080`; the port is 1 to 65535."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"expected host:port, got {say(text)}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"expected host:port, got {say(text)} (an IPv6 address goes in brackets: [::1]:8080)")
    # Not isdigit alone: it is also true for the digits of other scripts.
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"expected a port from 1 to 65535 after the colon, got {say(text)}")
    return read_host(host), int(port)


def read_cidr(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """`10.0.0.0/8`, or one address."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"expected a network such as 10.0.0.0/8 or fd00::/8, got {say(text)}") from None
    raise ValueError(f"{say(text)} is an address inside a network (did you mean {meant}?)")

"""Which DNS servers to ask, and for which full names: as configured, or as /etc/resolv.conf says now."""

import os
import socket
from time import monotonic
from typing import Final, NamedTuple

import dns.exception
import dns.name
from dns.name import Name

from linkerd_tcp.config.addresses import read_ip
from linkerd_tcp.config.words import say

RESOLV_CONF: Final = "/etc/resolv.conf"
DNS_PORT: Final = 53
MAX_SERVERS: Final = 4
MAX_SYSTEM_SERVERS: Final = 3
"""As many lines of resolv.conf the C library reads."""

MAX_SEARCH: Final = 6
MAX_NDOTS: Final = 15
LOOK_SECS: Final = 1.0
"""How often resolv.conf is looked at, at most."""

_MAX_BYTES: Final = 64 * 1024


class Server(NamedTuple):
    """Where a DNS server listens; an IPv6 address may have a scope (`fe80::1%eth0`)."""

    ip: str
    port: int = DNS_PORT

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET

    def address(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """For `connect`; OSError where the scope is no interface of this machine now."""
        bare, _, scope = self.ip.partition("%")
        if not scope:
            return (bare, self.port)
        return (bare, self.port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope))

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Settings(NamedTuple):
    """Servers in the order in which they are asked; `search` and `ndots` as resolv.conf(5) has them."""

    servers: tuple[Server, ...]
    search: tuple[Name, ...] = ()
    ndots: int = 1

    def candidates(self, name: str) -> list[Name]:
        """The full names that `name` may stand for, in order. One that ends in a dot is full already."""
        if name.endswith("."):
            return [dns.name.from_text(name, None)]
        relative = dns.name.from_text(name, None)
        full = relative.concatenate(dns.name.root)
        searched = []
        for domain in self.search:
            try:
                searched.append(relative.concatenate(domain))
            except dns.name.NameTooLong:
                continue  # there can be no such name
        return [full, *searched] if name.count(".") >= self.ndots else [*searched, full]


def read_server(text: str) -> Server:
    """`127.0.0.1`, `127.0.0.1:5353`, `::1`, `[::1]:5353`. ValueError, with words for an operator."""
    host, port = text, str(DNS_PORT)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"expected an address such as [::1]:53, got {say(text)}")
        port = rest[1:] if rest else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        ip = read_ip(host)
    except ValueError:
        raise ValueError(f"expected the IP address of a DNS server, such as 127.0.0.1:53, got {say(text)}") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"expected a port from 1 to 65535 after the colon, got {say(text)}")
    return Server(ip, int(port))


def read_domain(text: str) -> Name:
    """A search domain. ValueError, with words for an operator."""
    if not text.isascii():
        raise ValueError(f"expected a domain in ASCII, got {say(text)} (write its xn-- form)")
    try:
        domain = dns.name.from_text(text, dns.name.root)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"expected a domain such as svc.example, got {say(text)} ({error})") from None
    if domain == dns.name.root and text != ".":
        raise ValueError("expected a domain such as svc.example, got nothing")
    return domain


def read_resolv_conf(text: str) -> Settings:
    """As resolv.conf(5): the last of `search` and `domain` counts, options other than ndots do not, nor do lines that
    make no sense. Without a server it is this machine.
    """
    servers: list[Server] = []
    search: tuple[Name, ...] = ()
    ndots = 1
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        match words:
            case ["nameserver", ip, *_]:
                servers.extend(_server(ip))
            case ["search" | "domain", *domains]:
                search = tuple(name for domain in domains for name in _domain(domain))[:MAX_SEARCH]
            case ["options", *options]:
                ndots = _ndots(options, ndots)
    return Settings(tuple(dict.fromkeys(servers))[:MAX_SYSTEM_SERVERS] or (Server("127.0.0.1"),), search, ndots)


def _server(text: str) -> list[Server]:
    try:
        return [Server(read_ip(text))]
    except ValueError:
        return []


def _domain(text: str) -> list[Name]:
    try:
        return [read_domain(text)]
    except ValueError:
        return []


def _ndots(options: list[str], before: int) -> int:
    for option in options:
        key, _, number = option.partition(":")
        if key == "ndots" and number.isascii() and number.isdigit() and len(number) < 9:
            before = min(int(number), MAX_NDOTS)
    return before


class Chosen:
    """The settings to use. What the configuration does not say comes from resolv.conf, which is looked at again.

    With servers of its own nothing comes from there: another network's search domains make no sense to them.
    """

    def __init__(
        self,
        servers: tuple[Server, ...] = (),
        search: tuple[Name, ...] | None = None,
        ndots: int | None = None,
        path: str = RESOLV_CONF,
    ) -> None:
        self._servers = servers
        self._search = search
        self._ndots = ndots
        self._path = path
        self._seen: object = None
        self._looked_at = 0.0
        self.follows_system = not servers
        self.current = Settings(servers, search or (), 1 if ndots is None else ndots)
        if self.follows_system:
            self.look(0.0)

    def look(self, every_secs: float = LOOK_SECS) -> bool:
        """Whether they are others than before. Looks at the file at most every so often."""
        now = monotonic()
        if not self.follows_system or now - self._looked_at < every_secs:
            return False
        self._looked_at = now
        try:
            status = os.stat(self._path)
            seen: object = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return False
            with open(self._path, encoding="utf-8", errors="replace") as file:
                text = file.read(_MAX_BYTES)
        except OSError as error:
            # Not there at all: as the C library, this machine is asked. It comes back when the network does.
            seen, text = error.errno, ""
            if seen == self._seen:
                return False
        self._seen = seen
        before, system = self.current, read_resolv_conf(text)
        search = system.search if self._search is None else self._search
        self.current = Settings(system.servers, search, system.ndots if self._ndots is None else self._ndots)
        return self.current != before

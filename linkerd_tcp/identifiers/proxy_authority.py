"""The host name that a PROXY protocol header says the client asked for."""

from typing import Literal

from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.identifiers.by_name import ByName, ByNameConfig, NothingFound, read_name
from linkerd_tcp.net.peek import FirstBytes


class ProxyAuthorityConfig(ByNameConfig):
    """`identifier: {kind: io.l5d.proxyAuthority}`: the authority www.example.com goes to /svc/www.example.com."""

    kind: Literal["io.l5d.proxyAuthority"] = "io.l5d.proxyAuthority"

    def build(self) -> ByName:
        return ByName(self, find_authority)

    def never_finds(self, server: ServerConfig) -> str | None:
        if server.proxy_protocol is None:
            return "no PROXY header is ever read: proxyProtocol is needed"
        return None


def find_authority(envelope: Envelope, first: FirstBytes) -> str:
    """PP2_TYPE_AUTHORITY of the header that was believed; NothingFound if it says none, or there is no header."""
    header = envelope.proxy
    if header is None:
        raise NothingFound("no PROXY header came, or its sender is not trusted")
    if header.authority is None:
        only = " (only version 2 can)" if header.version == 1 else ""
        raise NothingFound(f"the PROXY header, version {header.version}, names no authority{only}")
    return read_name(header.authority, "the PROXY header's authority")

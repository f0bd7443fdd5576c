"""`com.example.bySource`: who calls from which network goes where."""

from ipaddress import ip_address
from typing import Literal

from pydantic import model_validator

from linkerd_tcp.config.addresses import read_cidr
from linkerd_tcp.config.fields import PathText, Table, refuse
from linkerd_tcp.config.model import Model
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.peek import FirstBytes


class BySourceConfig(Model):
    """The destination by the client's address, the one in a believed PROXY header included."""

    kind: Literal["com.example.bySource"] = "com.example.bySource"
    networks: Table[PathText]
    """`10.0.0.0/8: /svc/internal`; of several networks that an address is in, the smallest."""
    default: PathText
    """The destination of everybody else."""

    @model_validator(mode="after")
    def _networks(self) -> "BySourceConfig":
        for text in self.networks:
            try:
                read_cidr(text)
            except ValueError as error:
                refuse(str(error), key="networks")
        return self

    def build(self) -> "BySource":
        return BySource(self)


class BySource:
    """One is built for each server; `identify` runs in the connection's greenlet."""

    def __init__(self, config: BySourceConfig) -> None:
        networks = [(read_cidr(text), path) for text, path in config.networks.items()]
        self._networks = sorted(networks, key=lambda each: -each[0].prefixlen)
        self._default = config.default

    def identify(self, envelope: Envelope, first: FirstBytes) -> Path:
        """The destination. An identifier may look at `first`, the bytes that the client sent, within its deadline."""
        source = ip_address(envelope.source[0])
        return next((path for network, path in self._networks if source in network), self._default)

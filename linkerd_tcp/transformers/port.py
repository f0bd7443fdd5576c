"""`io.l5d.port`: every address with another port, where each host has a proxy of its own in front."""

from dataclasses import replace
from typing import Literal

from linkerd_tcp.config.fields import EndpointPort, PathText
from linkerd_tcp.config.transformers import TransformerOptions
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.transformers.addresses import AddressTransformer


class PortConfig(TransformerOptions):
    """The port of every address is this one."""

    kind: Literal["io.l5d.port"] = "io.l5d.port"
    port: EndpointPort
    prefix: PathText | None = None
    """What follows `/%` in front of the names that it changed; by default `/io.l5d.port/<port>`."""

    @property
    def default_prefix(self) -> Path:
        return Path((self.kind, str(self.port)))

    def build(self, _context: TransformerContext) -> AddressTransformer:
        return AddressTransformer(self.kind, self.id_prefix, self._with_port)

    def _with_port(self, bound: Bound) -> Bound:
        """Of several addresses that become one, the first stays, with its weight and meta."""
        changed: dict[str, Address] = {}
        for address in bound.addresses:
            changed.setdefault(address.ip, replace(address, port=self.port))
        return Bound(tuple(changed.values()), bound.meta)

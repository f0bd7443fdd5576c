"""`io.l5d.specificHost`: only the addresses of one host."""

from typing import Literal

from linkerd_tcp.config.fields import Ip
from linkerd_tcp.config.transformers import TransformerOptions
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.transformers.addresses import AddressTransformer, only


class SpecificHostConfig(TransformerOptions):
    """Addresses with this IP, whatever their port."""

    kind: Literal["io.l5d.specificHost"] = "io.l5d.specificHost"
    host: Ip

    def build(self, _context: TransformerContext) -> AddressTransformer:
        return AddressTransformer(self.kind, self.id_prefix, only(lambda address: address.ip == self.host))

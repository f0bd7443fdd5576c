"""Endpoints as people list them, in the configuration and in endpoint files."""

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from linkerd_tcp.config.addresses import read_host_port
from linkerd_tcp.config.fields import EndpointPort, FrozenDict, Host, Table, Weight, refuse
from linkerd_tcp.config.model import Model
from linkerd_tcp.net.literal import ip_literal


class Endpoint(Model):
    """One place to connect to: an IP address, or a host name still to be resolved."""

    host: Host
    port: EndpointPort
    weight: Weight = 1.0
    """Its share of new connections relative to the others; 0 is none."""
    meta: Table[Any] = Field(default_factory=FrozenDict)
    """Free-form, shown to people."""

    @property
    def is_ip(self) -> bool:
        """Whether `host` needs no resolving."""
        return ip_literal(self.host) is not None


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        host, port = read_host_port(value)
    except ValueError as error:
        refuse(str(error))
    return {"host": host, "port": port}


EndpointItem: TypeAlias = Annotated[Endpoint, BeforeValidator(_from_text, json_schema_input_type=str | Endpoint)]
"""`host:port`, or a mapping of host, port, weight and meta."""

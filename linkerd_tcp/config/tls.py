"""TLS and the PROXY protocol, on servers, on clients and on admin."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from linkerd_tcp.config.fields import Cidr, FilePath, FrozenDict, Items, Name, Table
from linkerd_tcp.config.model import Model

AlpnName = Annotated[str, Field(min_length=1, max_length=255)]


def _split_ciphers(value: Any) -> Any:
    return tuple(value.split(":")) if isinstance(value, str) and value else value


Ciphers = Annotated[
    Items[Name],
    BeforeValidator(_split_ciphers, json_schema_input_type=str | list[str]),
]


class Identity(Model):
    """A private key and its certificates."""

    private_key: FilePath
    """PEM file of the private key."""
    certs: Annotated[Items[FilePath], Field(min_length=1)]
    """PEM files: the certificate first, then its chain."""
    password_file: FilePath | None = None
    """File whose first line opens the private key."""


class ClientAuth(Model):
    """Whether callers show a certificate."""

    mode: Literal["none", "optional", "required"]
    trust_certs: Items[FilePath] = ()
    """PEM files of the authorities that sign callers' certificates."""


class ServerTls(Model):
    """TLS ends here."""

    default_identity: Identity | None = None
    """Shown to callers that name no server, or none of `identities`."""
    identities: Table[Identity] = Field(default_factory=FrozenDict)
    """By server name; `*.example.com` is any one label."""
    alpn_protocols: Items[AlpnName] = ()
    min_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    ciphers: Ciphers = ()
    """OpenSSL names, TLS 1.2 only; empty is OpenSSL's own choice."""
    client_auth: ClientAuth | None = None


class ClientIdentity(Model):
    """What this proxy shows to an endpoint that asks."""

    certs: Annotated[Items[FilePath], Field(min_length=1)]
    private_key: FilePath
    password_file: FilePath | None = None


class ClientTls(Model):
    """TLS towards endpoints."""

    dns_name: Name | None = None
    """The name the endpoint's certificate must hold, sent as SNI; `{captures}` of the prefix may stand in it."""
    trust_certs: Items[FilePath] = ()
    """PEM files of trusted authorities; empty is the system's."""
    client_auth: ClientIdentity | None = None
    alpn_protocols: Items[AlpnName] = ()
    disable_validation: bool = False
    """Accept any certificate: encryption without knowing with whom."""


class TrustedProxy(Model):
    """A PROXY protocol header is read from these sources."""

    trusted: Annotated[Items[Cidr], Field(min_length=1)]
    """Networks whose header is believed."""
    mode: Literal["required", "optional"] = "required"


def _version_only(value: Any) -> Any:
    return {"version": value} if isinstance(value, str) else value


class ProxyHeader(Model):
    """A PROXY protocol header is sent to endpoints."""

    version: Literal["v1", "v2"]
    tlvs: Items[Literal["authority", "alpn", "ssl", "crc32c", "uniqueId"]] = ()
    """What a v2 header also says."""


ProxyHeaderText = Annotated[
    ProxyHeader, BeforeValidator(_version_only, json_schema_input_type=Literal["v1", "v2"] | ProxyHeader)
]
"""`v1`, `v2` or a mapping."""

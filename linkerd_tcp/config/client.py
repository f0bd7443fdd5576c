"""How endpoints are connected to: the same for all, or by name."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from linkerd_tcp.config.fields import Items, PatternText, PositiveMillis, Secs
from linkerd_tcp.config.kinds import BalancerOf, ByKind, default_of
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.sockets import SocketOptions
from linkerd_tcp.config.tls import ClientTls, ProxyHeaderText
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.pattern import substitute


class FailFast(Model):
    """When an endpoint is taken out, and for how long."""

    max_consecutive_failures: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    failure_penalty_secs: Secs = 60.0


class ClientSettings(Model):
    """What holds for the connections to one bound name. Balancers are shared by equal ones."""

    connect_timeout_ms: PositiveMillis = 1_000
    """One attempt."""
    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = 5
    """Endpoints tried for one connection."""
    max_waiters: Annotated[int, Field(ge=1, le=2**63)] = 1_000_000
    """Connections awaiting binding or connecting, per balancer."""
    min_connections: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Kept connected ahead of need."""
    fail_fast: FailFast = FailFast()
    load_balancer: BalancerOf = Field(default_factory=lambda: default_of("balancer", "p2c"))
    tls: ClientTls | None = None
    proxy_protocol: ProxyHeaderText | None = None
    socket_options: SocketOptions = SocketOptions()


class GlobalClient(ClientSettings):
    """The same for every name."""

    kind: Literal["io.l5d.global"] = "io.l5d.global"

    def settings_for(self, dst: Path, bound: Path) -> ClientSettings:
        """What holds for `bound`, reached as `dst`; equal arguments give equal settings."""
        return self


class PrefixedSettings(ClientSettings):
    """What holds for the names below a prefix; only the keys that the file sets count."""

    prefix: PatternText
    """Beginning /#/, /$/ or /%/ it is of the bound name, else of the destination."""

    def captures(self, dst: Path, bound: Path) -> dict[str, str] | None:
        """What the prefix captured, or None if it does not match."""
        concrete = str(self.prefix)[:3] in ("/#/", "/$/", "/%/")
        found: dict[str, str] | None = self.prefix.match(bound if concrete else dst)
        return found

    def said(self, captures: dict[str, str]) -> dict[str, Any]:
        """The keys that the file sets, captures put in."""
        said = {key: getattr(self, key) for key in self.model_fields_set if key != "prefix"}
        tls = said.get("tls")
        if tls is not None and tls.dns_name is not None and captures:
            said["tls"] = tls.model_copy(update={"dns_name": substitute(tls.dns_name, captures)})
        return said


class StaticClient(Model):
    """By prefix; of those that match, later ones win key by key."""

    kind: Literal["io.l5d.static"]
    configs: Items[PrefixedSettings]

    def settings_for(self, dst: Path, bound: Path) -> ClientSettings:
        """What holds for `bound`, reached as `dst`; equal arguments give equal settings."""
        merged: dict[str, Any] = {}
        for each in self.configs:
            captures = each.captures(dst, bound)
            if captures is not None:
                merged |= each.said(captures)
        return ClientSettings.model_construct(**merged)


ClientConfig: TypeAlias = GlobalClient | StaticClient

ClientOf: TypeAlias = Annotated[
    ClientConfig,
    ByKind("client", "io.l5d.global", {"io.l5d.global": GlobalClient, "io.l5d.static": StaticClient}),
]

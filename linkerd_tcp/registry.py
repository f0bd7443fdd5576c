"""Which kinds there are: role -> kind -> where its configuration model lives.

Adding a kind is one new file and one line here, or an entry point `linkerd_tcp.<role>` in a package of one's own
(name: the kind, value: "module:Config"). A kind's module is imported when a file first names it.
"""

import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import Final

BUILT_IN: Final[dict[str, dict[str, str]]] = {
    "namer": {
        "io.l5d.fs": "namers.fs:FsConfig",
        "io.l5d.static": "namers.static:StaticConfig",
        "io.l5d.rewrite": "namers.rewrite:RewriteConfig",
        "io.l5d.namerd": "namers.namerd:NamerdConfig",
        "io.l5d.dns": "namers.dns:DnsConfig",
        "io.l5d.dnssrv": "namers.dnssrv:DnsSrvConfig",
    },
    "interpreter": {
        "default": "linkerd_tcp.interpreters.default:DefaultConfig",
        "io.l5d.fs": "linkerd_tcp.interpreters.file:FileConfig",
        "io.l5d.namerd.http": "linkerd_tcp.interpreters.namerd_http:NamerdHttpConfig",
    },
    "identifier": {
        "io.l5d.static": "linkerd_tcp.identifiers.static:StaticIdentifierConfig",
        "io.l5d.sni": "linkerd_tcp.identifiers.sni:SniConfig",
        "io.l5d.alpn": "linkerd_tcp.identifiers.alpn:AlpnConfig",
        "io.l5d.clientCert": "linkerd_tcp.identifiers.client_cert:ClientCertConfig",
        "io.l5d.proxyAuthority": "linkerd_tcp.identifiers.proxy_authority:ProxyAuthorityConfig",
        "io.l5d.localAddress": "linkerd_tcp.identifiers.local_address:LocalAddressConfig",
    },
    "balancer": {
        "p2c": "linkerd_tcp.balancers.p2c:P2cConfig",
    },
    "transformer": {
        "io.l5d.port": "linkerd_tcp.transformers.port:PortConfig",
        "io.l5d.localhost": "linkerd_tcp.transformers.localhost:LocalhostConfig",
        "io.l5d.specificHost": "linkerd_tcp.transformers.specific_host:SpecificHostConfig",
        "io.l5d.const": "linkerd_tcp.transformers.const:ConstConfig",
        "io.l5d.replace": "linkerd_tcp.transformers.replace:ReplaceConfig",
    },
    # What is always there and no file configures: a namer itself, not the model of one.
    "utilities": {
        "/$/": "namers.inet:Utilities",
    },
}

NOT_BUILT_YET: Final[dict[str, frozenset[str]]] = {
    "balancer": frozenset({"ewma", "leastLoaded", "roundRobin", "sourceHash"}),
}
"""Kinds of the public interface that have no code here yet: named to the user, exit 2."""


class UnknownKind(LookupError):
    """`kind` is not of `role`; `known` are those that are, sorted."""

    def __init__(self, role: str, kind: str, known: list[str]) -> None:
        super().__init__(f"unknown {role} kind {kind!r}")
        self.role, self.kind, self.known = role, kind, known


class ConflictingKinds(LookupError):
    """Two packages offer the same kind of one role."""


def kinds(role: str) -> dict[str, str]:
    """Every kind of `role` with its place; ConflictingKinds if a package offers one that is there already."""
    table = dict(BUILT_IN[role])
    for kind, place in _offered(role):
        if table.get(kind, place) != place:
            raise ConflictingKinds(f"{role} kind {kind!r} is offered by {table[kind]} and {place}")
        table[kind] = place
    return table


@cache  # finding entry points reads the metadata of every installed package
def _offered(role: str) -> tuple[tuple[str, str], ...]:
    """(kind, place) of the installed packages' own kinds."""
    return tuple((point.name, point.value) for point in entry_points(group=f"linkerd_tcp.{role}"))


def load(role: str, kind: str) -> type:
    """The configuration model of `kind`; UnknownKind if there is none.

    Of a package's own kind also ImportError, AttributeError or TypeError, if what it offers is not there.
    """
    table = kinds(role)
    if kind not in table:
        raise UnknownKind(role, kind, sorted({*table, *NOT_BUILT_YET.get(role, ())}))
    module, _, name = table[kind].partition(":")
    model = getattr(importlib.import_module(module), name)
    if not isinstance(model, type):
        raise TypeError(f"{table[kind]} is no class")
    return model

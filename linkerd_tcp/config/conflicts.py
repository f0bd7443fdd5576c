"""What each key may say alone but not together. Found in the file's plain values, so that they are told in one go
with the errors of single keys; whatever is no mapping, list, text or number where it should be is passed over here.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any

from linkerd_tcp.config.origin import dotted
from linkerd_tcp.config.problems import Loc, Problem
from linkerd_tcp.config.words import say
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.literal import ip_literal

Place = tuple[Loc, Any]

ADMIN_PROTOCOL = "http/1.1"


def conflicts_of(value: Any) -> list[Problem]:
    """Every conflict in a document."""
    routers = list(_items(value, "routers"))
    servers = [server for loc, router in routers for server in _items(router, "servers", loc)]
    found: list[Problem] = [
        *_duplicate_labels(routers),
        *_duplicate_prefixes(list(_items(value, "namers"))),
        *_shared_addresses(value, servers),
    ]
    for server in servers:
        found += _destination(*server)
    for loc, tls in _server_tls(value, servers):
        found += _server_tls_conflicts(loc, tls)
        if loc[0] == "admin":
            found += _other_protocols((*loc, "alpnProtocols"), tls.get("alpnProtocols"))
    for loc, router in routers:
        client = router.get("client")
        if isinstance(client, dict):
            found += _client_conflicts((*loc, "client"), client)
    return found


def _items(outer: Any, key: str, loc: Loc = ()) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The mappings in the list `key` of `outer`, which stands at `loc`."""
    listed = outer.get(key) if isinstance(outer, dict) else None
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict):
            yield (*loc, key, index), item


def _duplicate_labels(routers: list[tuple[Loc, dict[str, Any]]]) -> Iterator[Problem]:
    first: dict[str, Loc] = {}
    for loc, router in routers:
        label = router.get("label")
        if isinstance(label, str) and first.setdefault(label, loc) != loc:
            yield (*loc, "label"), f"{say(label)} is the label of {dotted(first[label])} already", False, -1


def _duplicate_prefixes(namers: list[tuple[Loc, dict[str, Any]]]) -> Iterator[Problem]:
    first: dict[Path, Loc] = {}
    for loc, namer in namers:
        kind, text = namer.get("kind"), namer.get("prefix")
        text = f"/{kind}" if text is None else text
        if not isinstance(text, str) or not isinstance(kind, str):
            continue
        try:
            prefix = Path.read(text)
        except DtabError:
            continue
        if first.setdefault(prefix, loc) != loc:
            hint = " (give one of them another prefix)" if "prefix" not in namer else ""
            yield (*loc, "prefix"), f"{prefix} is the prefix of {dotted(first[prefix])} already{hint}", False, -1


def _shared_addresses(value: Any, servers: list[tuple[Loc, dict[str, Any]]]) -> Iterator[Problem]:
    """Two listeners on one address. Port 0 is never the same twice; 0.0.0.0 and :: are every address of their kind."""
    taken: dict[int, list[tuple[str, str]]] = {}
    places: list[tuple[Loc, dict[str, Any], int | None]] = []
    for key, default_port in (("admin", 9989), ("namerd", 4180)):
        section = value.get(key) if isinstance(value, dict) else None
        if isinstance(section, dict) or (key == "admin" and section is None):
            places.append(((key,), section or {}, default_port))
    places += [(loc, server, None) for loc, server in servers]
    for loc, section, default in places:
        port = section.get("port", default)
        ip = section.get("ip") or "127.0.0.1"
        literal = ip_literal(ip) if isinstance(ip, str) else None
        if not isinstance(port, int) or isinstance(port, bool) or not port or literal is None:
            continue
        for other_ip, other in taken.setdefault(port, []):
            if _overlap(literal, other_ip):
                shown = f"[{literal}]:{port}" if ":" in literal else f"{literal}:{port}"
                hint = " (whose port is 9989 unless it says another)" if other == "admin" and port == 9989 else ""
                yield (*loc, "port"), f"{shown} is taken by {other}{_on(other_ip, literal)}{hint}", False, -1
                break
        taken[port].append((literal, dotted(loc)))


def _on(ip: str, other: str) -> str:
    return f", which listens on every address ({ip})" if ip != other and ipaddress.ip_address(ip).is_unspecified else ""


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return first.version == second.version and (first == second or first.is_unspecified or second.is_unspecified)


def _destination(loc: Loc, server: dict[str, Any]) -> Iterator[Problem]:
    has_name, has_identifier = server.get("dstName") is not None, server.get("identifier") is not None
    if has_name and has_identifier:
        yield (*loc, "identifier"), "dstName is given, too: keep one of the two", True, -1
    elif not has_name and not has_identifier:
        yield loc, "where do its connections go? dstName or identifier is needed (such as dstName: /svc/web)", True, -1


def _server_tls(value: Any, servers: list[tuple[Loc, dict[str, Any]]]) -> Iterator[tuple[Loc, dict[str, Any]]]:
    admin = value.get("admin") if isinstance(value, dict) else None
    outers = [(("admin",), admin), *servers]
    for loc, outer in outers:
        if isinstance(outer, dict) and isinstance(outer.get("tls"), dict):
            yield (*loc, "tls"), outer["tls"]


def _server_tls_conflicts(loc: Loc, tls: dict[str, Any]) -> Iterator[Problem]:
    if not tls.get("defaultIdentity") and not tls.get("identities"):
        words = "there is no certificate to show: defaultIdentity or identities is needed"
        yield loc, words, True, -1
    auth = tls.get("clientAuth")
    if isinstance(auth, dict) and auth.get("mode") in ("optional", "required") and not auth.get("trustCerts"):
        yield (
            (*loc, "clientAuth"),
            f"mode {auth['mode']} needs trustCerts: who signs the callers' certificates",
            True,
            -1,
        )


def _other_protocols(loc: Loc, protocols: Any) -> Iterator[Problem]:
    """A browser that is offered h2 would speak it."""
    for at, protocol in enumerate(protocols if isinstance(protocols, list) else ()):
        if protocol != ADMIN_PROTOCOL:
            yield (*loc, at), f"admin speaks {ADMIN_PROTOCOL} only, which need not be said", False, -1


def _client_conflicts(loc: Loc, client: dict[str, Any]) -> Iterator[Problem]:
    entries = [*_items(client, "configs", loc)] if client.get("kind") == "io.l5d.static" else [(loc, client)]
    for entry_loc, entry in entries:
        yield from _client_tls_conflicts(entry_loc, entry)
        header = entry.get("proxyProtocol")
        if isinstance(header, dict) and header.get("version") == "v1" and header.get("tlvs"):
            yield (*entry_loc, "proxyProtocol", "tlvs"), "only version v2 has them", True, -1
        minimum = entry.get("minConnections")
        if not isinstance(minimum, int) or minimum <= 0:
            continue
        for other_loc, other in entries:
            # A later entry that says minConnections itself has the last word on it.
            overruled = other_loc > entry_loc and other.get("minConnections") is not None
            if other.get("proxyProtocol") is None or overruled:
                continue
            if _meet(entry.get("prefix"), other.get("prefix")):
                where = "" if other_loc == entry_loc else f" of {dotted(other_loc)}"
                words = f"not with proxyProtocol{where}: a connection made ahead of need has no client to tell of"
                yield (*entry_loc, "minConnections"), words, True, -1
                break


def _meet(one: Any, other: Any) -> bool:
    """Whether one name can have both prefixes; only what is certain, so of two that differ in kind: no."""
    if not isinstance(one, str) or not isinstance(other, str):
        return one is other is None
    first, second = one.strip("/").split("/"), other.strip("/").split("/")
    pairs = list(zip(first, second, strict=False))
    return one in ("/", other) or other == "/" or all(a == b or "*" in (a, b) or "{" in a + b for a, b in pairs)


def _client_tls_conflicts(loc: Loc, entry: Any) -> Iterator[Problem]:
    tls = entry.get("tls") if isinstance(entry, dict) else None
    if isinstance(tls, dict) and not tls.get("dnsName") and tls.get("disableValidation") is not True:
        strangers = [key for key in ("commonName", "dnsname", "dns_name") if key in tls]
        if not strangers:
            yield (*loc, "tls"), "dnsName is needed: the name that the endpoint's certificate must hold", True, -1

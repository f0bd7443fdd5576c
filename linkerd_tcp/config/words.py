"""The words of configuration errors: how a value is named to its author, and what linkerd 1's keys are called here."""

from typing import Any, Final

SHOWN_CHARACTERS: Final = 60


def say(value: Any) -> str:
    """`value` as an error message shows it: `the text "on"`, `the number 5`, `a list`; cut when long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {_cut(_number(value))}"
    if isinstance(value, str):
        shown = _cut(value).replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown) + '"'
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return _cut(str(value))


def _number(value: float) -> str:
    if isinstance(value, int) and value.bit_length() > 400:
        return "with very many digits"
    return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


# Model name -> key that linkerd 1 (or an older habit) has there -> what to write instead.
ADVICE: Final[dict[str, dict[str, str]]] = {
    "AppConfig": {
        "telemetry": "metrics are always at /metrics of the admin address; leave it out",
        "usage": "nothing is ever reported to anybody; leave it out",
        "announcers": "servers are not announced here; leave it out",
        "loggers": "connections are logged with accessLog: {path: access.log}",
        "httpAccessLog": "connections are logged with accessLog: {path: access.log}",
        "storage": "namerd's storage is namerd.storage here",
        "interfaces": "namerd's HTTP interface is the section namerd here",
        "router": "write a list: routers",
    },
    "AdminConfig": {
        "shutdownGraceMs": "write graceSecs, in seconds",
        "host": "write ip",
        "httpIdentifierPort": "there is no HTTP routing here; leave it out",
        "workerThreads": "leave it out",
    },
    "NamerdConfig": {"namers": "namerd serves the namers of this file: write them at the top"},
    "RouterConfig": {
        "protocol": "every router here routes TCP; leave it out",
        "service": "its limits belong to servers and client; leave it out",
        "dstPrefix": "a server's destination is its dstName, whole",
        "baseDtab": "write dtab",
        "identifier": "an identifier belongs to a server: servers[].identifier",
        "announcers": "servers are not announced here; leave it out",
        "originator": "leave it out",
        "failFast": "write client.failFast",
        "loadBalancer": "write client.loadBalancer",
        "bindingTimeoutSecs": "write bindingTimeoutMs, in milliseconds",
        "namers": "namers are shared by all routers: write them at the top",
    },
    "BindingCacheConfig": {
        "trees": "only paths are cached here; leave it out",
        "bounds": "only paths are cached here; leave it out",
        "clients": "only paths are cached here; leave it out",
    },
    "ServerConfig": {
        "announce": "servers are not announced here; leave it out",
        "label": "a server is known by its ip and port; leave it out",
        "clearContext": "leave it out",
        "maxConcurrentRequests": "write maxConcurrency",
        "requestAttemptTimeoutMs": "write connectTimeoutMs",
        "timeoutMs": "write connectTimeoutMs or idleTimeoutMs",
        "serverSession": "write idleTimeoutMs and connectionLifetimeSecs",
        "idleTimeMs": "write idleTimeoutMs",
        "lifeTimeMs": "write connectionLifetimeSecs, in seconds",
        "dst": "write dstName",
        "protocol": "every server here accepts TCP; leave it out",
    },
    "ServerTls": {
        "certPath": "write defaultIdentity: {certs: [FILE], privateKey: FILE}",
        "keyPath": "write defaultIdentity: {certs: [FILE], privateKey: FILE}",
        "certs": "write defaultIdentity: {certs: [FILE], privateKey: FILE}",
        "privateKey": "write defaultIdentity: {certs: [FILE], privateKey: FILE}",
        "intermediateCertsPath": "add the file to defaultIdentity.certs, after the certificate",
        "caCertPath": "write clientAuth: {mode: required, trustCerts: [FILE]}",
        "requireClientAuth": "write clientAuth: {mode: required, trustCerts: [FILE]}",
        "trustCerts": "write clientAuth: {mode: required, trustCerts: [FILE]}",
        "protocols": "write minVersion",
        "enabled": "leave it out; without tls there is none",
    },
    "Identity": {
        "certPath": "write certs: [FILE]",
        "cert": "write certs: [FILE]",
        "keyPath": "write privateKey",
        "key": "write privateKey",
        "intermediateCertsPath": "add the file to certs, after the certificate",
    },
    "ClientTls": {
        "commonName": "write dnsName",
        "trustCertsBundle": "write trustCerts: [FILE]",
        "caCert": "write trustCerts: [FILE]",
        "enabled": "leave it out; without tls there is none",
        "protocols": "leave it out; TLS 1.2 and 1.3 are spoken",
        "certs": "write clientAuth: {certs: [FILE], privateKey: FILE}",
        "privateKey": "write clientAuth: {certs: [FILE], privateKey: FILE}",
    },
    "ClientSettings": {
        "hostConnectionPool": "write minConnections and maxWaiters",
        "clientSession": "write idleTimeoutMs and connectionLifetimeSecs of the server",
        "failureAccrual": "write failFast: {maxConsecutiveFailures: 5, failurePenaltySecs: 60}",
        "requestAttemptTimeoutMs": "write connectTimeoutMs",
        "requeueBudget": "write maxAttempts",
        "retries": "write maxAttempts",
        "configs": "it needs kind: io.l5d.static beside it",
        "prefix": "it belongs to an item of configs, with kind: io.l5d.static",
    },
    "SocketOptions": {
        "reuseAddr": "it is always on; leave it out",
        "reusePort": "it is used where it is needed; leave it out",
        "readTimeoutMs": "write idleTimeoutMs of the server",
        "writeTimeoutMs": "write userTimeoutMs",
    },
    "KindOptions": {
        "experimental": "nothing here is marked so; leave it out",
        "enableProbation": "an endpoint that discovery removed gets no new connections; leave it out",
        "maxEffort": "leave it out",
        "dst": "write baseUrl: http://HOST:PORT",
        "retry": "leave it out",
        "failureThreshold": "leave it out",
        "host": "leave it out",
    },
}

# Role -> linkerd 1's kind -> what to write instead.
KIND_ADVICE: Final[dict[str, dict[str, str]]] = {
    "interpreter": {
        "io.l5d.namerd": "write io.l5d.namerd.http and namerd's HTTP address as baseUrl",
        "io.l5d.mesh": "write io.l5d.namerd.http and namerd's HTTP address as baseUrl",
    },
    "balancer": {"heap": "write leastLoaded", "aperture": "write p2c"},
    "client": {"global": "write io.l5d.global", "static": "write io.l5d.static"},
    "transformer": dict.fromkeys(
        ("io.l5d.k8s.daemonset", "io.l5d.k8s.localnode"),
        "linkerd 1 has it; here there is io.l5d.localhost, and io.l5d.port for a proxy on each host",
    ),
    "namer": {
        **dict.fromkeys(
            (
                "io.l5d.consul",
                "io.l5d.curator",
                "io.l5d.istio",
                "io.l5d.k8s",
                "io.l5d.k8s.external",
                "io.l5d.k8s.ns",
                "io.l5d.marathon",
                "io.l5d.rancher",
                "io.l5d.serversets",
                "io.l5d.zkLeader",
            ),
            "linkerd 1 has it; here endpoints come from files, io.l5d.fs, or from namerd, io.l5d.namerd",
        ),
        "io.l5d.inet": "/$/inet/HOST/PORT is always there; leave it out",
    },
}

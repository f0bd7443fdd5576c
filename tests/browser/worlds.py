"""The program in the states that its pages are looked at in: just started, busy, broken, and full of hostile values.

Each is a real process (or several: `workers`), with real endpoints and clients beside it.
"""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from linkerd_tcp.wire.proxy_protocol import build_v2
from linkerd_tcp.wire.proxy_protocol_tlv import Authority as Asked
from tests.browser.traffic import Endpoint, Held, Load, Traffic
from tests.system.harness import Proxy, free_port, until
from tests.tls_files import Authority

DTAB: Final = """\
# Where each service is.
/svc     => /#/io.l5d.fs ;
/svc/api => 3 * /#/io.l5d.fs/api & 1 * /#/io.l5d.fs/canary ;
/svc/old => /#/io.l5d.fs/gone | /#/io.l5d.static/legacy ;
"""
NAMESPACES: Final = {"default": "/svc => /#/io.l5d.fs ;", "staging": "/svc/web => /#/io.l5d.fs/canary ;"}
HOSTILE: Final = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202egnp.exe\u2066\x1b[31m'
"""Markup, a change of direction and a control sequence; it may be written by whoever can open a connection."""

HOSTILE_FILE: Final = "<svg onload=alert(3)>\u202etxt"
SERVERS: Final = ("web", "api", "old", "nowhere")


@dataclass
class World:
    """One state of the program, and what is around it."""

    name: str
    proxy: Proxy
    traffic: Traffic
    endpoints: dict[str, list[Endpoint]] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    authority: Authority | None = None

    @property
    def url(self) -> str:
        return self.proxy.admin_url

    def port(self, name: str) -> int:
        """Of the server whose connections go to /svc/NAME."""
        return self.proxy.port("default", SERVERS.index(name))

    def load(self, name: str, per_second: float) -> Load:
        self.loads.append(Load(self.traffic, self.port(name), per_second))
        return self.loads[-1]

    def hold(self, name: str, number: int, *, talk: bool = True) -> Held:
        self.held.append(Held(self.traffic, self.port(name), number, talk=talk))
        return self.held[-1]

    def endpoint(self, bound: str, endpoint: Endpoint) -> dict[str, Any]:
        """Its row in /bindings.json, in the first router."""
        found: list[dict[str, Any]] = [
            row
            for binding in self.proxy.get_json("/bindings.json")["routers"][0]["bindings"]
            for balancer in binding["balancers"]
            if balancer["bound"] == bound
            for row in balancer["endpoints"]
            if row["address"] == endpoint.address
        ]
        return found[0]


def configuration(
    authority: Authority,
    *,
    workers: int = 1,
    days: int = 300,
    penalty_secs: int = 60,
    admin: dict[str, Any] | None = None,
    more: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Two routers, with the servers of SERVERS in the first, and `more`. `days`: as long is the certificate valid."""
    key, cert = authority.sign("www.example.com", "DNS:www.example.com", "DNS:example.com", days=days)
    tls = {"defaultIdentity": {"privateKey": str(key), "certs": [str(cert)]}}
    fail_fast = {"maxConsecutiveFailures": 3, "failurePenaltySecs": penalty_secs}
    return {
        "admin": {"port": 0, **(admin or {})},
        "workers": workers,
        "accessLog": {"path": "access.log", "format": "json"},
        "namerd": {"port": 0, "storage": {"kind": "io.l5d.inMemory", "namespaces": NAMESPACES}},
        "namers": [
            {"kind": "io.l5d.static", "services": {"legacy": [f"127.0.0.1:{free_port()}"]}},
            {"kind": "io.l5d.fs", "rootDir": "disco"},
        ],
        "routers": [
            {
                "label": "default",
                "dtab": DTAB,
                "servers": [
                    *({"port": 0, "dstName": f"/svc/{name}"} for name in SERVERS[:-1]),
                    {"port": 0, "dstName": "/unknown/nowhere"},
                ],
                "client": {"kind": "io.l5d.global", "failFast": fail_fast},
            },
            {
                "label": "tls",
                "dtab": "/svc => /#/io.l5d.fs ;",
                "servers": [{"port": 0, "tls": tls, "identifier": {"kind": "io.l5d.sni", "default": "/svc/web"}}],
            },
            *more,
        ],
    }


@contextlib.contextmanager
def started(folder: Path, name: str, **options: Any) -> Iterator[World]:
    """The program, serving, with three endpoints of web, two of api and one canary that nobody has asked for yet.

    `options` are those of `configuration`.
    """
    authority = Authority(folder / "ca")
    with Traffic() as traffic, Proxy(folder, configuration(authority, **options)) as proxy:
        world = World(name, proxy, traffic, authority=authority)
        world.endpoints = {
            "web": [Endpoint(traffic) for _ in range(3)],
            "api": [Endpoint(traffic, 0.02) for _ in range(2)],
            "canary": [Endpoint(traffic)],
        }
        for service, endpoints in world.endpoints.items():
            proxy.endpoints(f"{service}.yml", [each.address for each in endpoints])
        yield world


@contextlib.contextmanager
def empty(folder: Path, **options: Any) -> Iterator[World]:
    """Just started."""
    with started(folder, "empty", **options) as world:
        yield world


@contextlib.contextmanager
def busy(folder: Path, **options: Any) -> Iterator[World]:
    """Connections that last, and new ones all the time."""
    with started(folder, "busy", **options) as world:
        world.hold("web", 24)
        world.hold("api", 12)
        world.load("web", 30)
        world.load("api", 15)
        until("a few are done", lambda: all(load.counts["answered"] >= 20 for load in world.loads))
        yield world


@contextlib.contextmanager
def broken(folder: Path, **options: Any) -> Iterator[World]:
    """Endpoints that refuse, one that is drained, a namer gone stale, a refused reload, a certificate that ends."""
    namerd_folder = folder / "namerd"
    namerd_folder.mkdir()
    namerd_port = free_port()
    url = f"http://127.0.0.1:{namerd_port}"
    interpreter = {"kind": "io.l5d.namerd.http", "baseUrl": url, "namespace": "default"}
    remote = {"label": "remote", "interpreter": interpreter, "servers": [{"port": 0, "dstName": "/svc/web"}]}
    with contextlib.ExitStack() as namerd:
        far = _namerd(namerd_folder, namerd_port)
        namerd.enter_context(far)
        with started(folder, "broken", days=5, more=[remote], **options) as world:
            far.endpoints("web.yml", [each.address for each in world.endpoints["web"]])
            world.hold("web", 12)
            world.load("web", 30)
            world.load("api", 10)
            world.load("nowhere", 1)
            world.load("old", 0.5)
            remotely = Held(world.traffic, world.proxy.port("remote"), 2)
            world.held.append(remotely)
            namerd.close()
            _break(world)
            yield world


def _namerd(folder: Path, port: int) -> Proxy:
    """Another process that serves names, and is ended while it is asked."""
    conf = {
        "admin": {"port": 0},
        "namerd": {"port": port, "storage": {"kind": "io.l5d.inMemory", "namespaces": NAMESPACES}},
        "namers": [{"kind": "io.l5d.fs", "rootDir": "disco"}],
        "routers": [{"label": "own", "servers": [{"port": 0, "dstName": "/svc/web"}]}],
    }
    return Proxy(folder, conf)


def _break(world: World) -> None:
    proxy = world.proxy
    victim = world.endpoints["web"][0]
    victim.kill()
    until("it is left out", lambda: world.endpoint("/#/io.l5d.fs/web", victim)["state"] == "failed")
    drained = world.endpoints["api"][1].address
    until("api is bound", lambda: drained in proxy.endpoint_states())
    status, said = proxy.post("/endpoints/drain", {"bound": "/#/io.l5d.fs/api", "address": drained})
    assert status == 200, said
    good = proxy.path.read_text()
    proxy.write(good.replace("maxConsecutiveFailures: 3", "maxConsecutiveFailures: many"))
    status, said = proxy.post("/reload")
    assert status == 422, said
    proxy.endpoints("canary.yml", "- nowhere near an address\n")


@contextlib.contextmanager
def hostile(folder: Path, **options: Any) -> Iterator[World]:
    """Strangers, and a stranger with access to the endpoint files, say what could be taken for markup."""
    proxied = {
        "label": "proxied",
        "dtab": f"# {HOSTILE[:40]}\n/svc => /#/io.l5d.fs ; /svc/x => /#/io.l5d.fs/x ;",
        "servers": [
            {
                "port": 0,
                "proxyProtocol": {"trusted": ["127.0.0.0/8"], "mode": "required"},
                "identifier": {"kind": "io.l5d.proxyAuthority"},
            }
        ],
    }
    with started(folder, "hostile", more=[proxied], **options) as world:
        disco = folder / "disco"
        (disco / HOSTILE_FILE).write_text(world.endpoints["web"][0].address.replace(":", " ") + "\n")
        (disco / f"{HOSTILE_FILE}.yml").write_text(f"- {HOSTILE_FILE}\n")
        (disco / "x.yml").write_text(f'- "{HOSTILE_FILE}:80"\n')
        world.load("web", 5)
        world.hold("web", 3)
        for number in range(3):
            _say_by_header(world.proxy.port("proxied"), HOSTILE)
            _say_by_header(world.proxy.port("proxied"), f"x{number}.example.com")
            _say_by_header(world.proxy.port("proxied"), "x")
            _say_by_sni(world.proxy.port("tls"), "<b>&x.example")
            _say_plainly(world.proxy.port("tls"), HOSTILE.encode())
            _say_plainly(world.proxy.port("proxied"), HOSTILE.encode())
        yield world


def _say_by_header(port: int, authority: str) -> None:
    """A PROXY header whose TLV names that authority."""
    _say_plainly(port, build_v2(("192.0.2.7", 1), ("192.0.2.1", 2), [Asked(authority)]))


def _say_plainly(port: int, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client, contextlib.suppress(OSError):
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        client.recv(4096)


def _say_by_sni(port: int, name: str) -> None:
    """A ClientHello with a server name that no client of good will sends."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    stand_in = "n" * len(name)
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=stand_in)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    _say_plainly(port, out.read().replace(stand_in.encode(), name.encode()))


STATES: Final = {"empty": empty, "busy": busy, "broken": broken, "hostile": hostile}

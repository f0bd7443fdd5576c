"""Steps that talk to nobody: choosing, looking up, parsing."""

from pathlib import Path as File
from random import Random
from typing import Any

import pytest

from benchmarks.picking import picker_among
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.bind import bind
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.wire import client_hello, proxy_protocol
from linkerd_tcp.wire.proxy_protocol_v1 import build_v1
from linkerd_tcp.wire.proxy_protocol_v2 import build_v2
from tests.rig import addresses

HELLOS = File(__file__).resolve().parents[2] / "tests/wire/corpus/client_hello/valid"
SOURCE, DESTINATION = ("192.0.2.7", 50112), ("198.51.100.1", 443)


def entries(count: int) -> str:
    """A dtab of so many entries; /svc/web takes the last three."""
    rest = "".join(f"/svc/s{number} => /host/h{number} ;\n" for number in range(count - 3))
    return f"{rest}/host => /#/fs ;\n/svc => /host ;\n/svc/web => /host/web-2 | /host/web ;\n"


@pytest.mark.parametrize("count", [10, 10_000])
def test_pick(benchmark: Any, count: int) -> None:
    assert benchmark(picker_among(count).pick, None) is not None


@pytest.mark.parametrize("count", [10, 1000])
def test_dtab_parse(benchmark: Any, count: int) -> None:
    assert len(benchmark(Dtab.read, entries(count))) == count


@pytest.mark.parametrize("count", [10, 1000])
def test_route_lookup_of_a_new_path(benchmark: Any, count: int) -> None:
    """Through the dtab to a bound name: what the first connection to a name costs, beside its namer."""
    dtab, web, addr = Dtab.read(entries(count)), Path.read("/svc/web"), Var(addresses(1))

    def lookup(path: Path) -> Any:
        return nametree.Leaf(BoundName(path, addr)) if path[0] == "#" and path[-1] == "web" else nametree.NEG

    assert not isinstance(benchmark(bind, dtab, web, lookup), nametree.NegTree)


@pytest.mark.parametrize("name", ["curl-7.88-http2", "openssl-3.0-tls12"])
def test_client_hello_parse(benchmark: Any, name: str) -> None:
    lines = (HELLOS / f"{name}.hex").read_text("ascii").splitlines()
    data = bytes.fromhex("".join(line for line in lines if line[:1] != "#"))
    assert isinstance(benchmark(client_hello.parse, data), client_hello.ClientHello)


@pytest.mark.parametrize("version", [1, 2])
def test_proxy_header_parse(benchmark: Any, version: int) -> None:
    build = {1: build_v1, 2: build_v2}[version]
    assert benchmark(proxy_protocol.parse, build(SOURCE, DESTINATION) + b"GET /").source == SOURCE


def test_a_branch_of_a_union_chosen(benchmark: Any) -> None:
    tree = nametree.Union(tuple(nametree.Weighted(weight, nametree.Leaf(weight)) for weight in (1.0, 4.0, 95.0)))
    assert isinstance(benchmark(nametree.choose, tree, Random(3).random), nametree.Leaf)

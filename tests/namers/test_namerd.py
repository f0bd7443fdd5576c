from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from linkerd_tcp import registry
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.interpreters import discovery_problems_of
from linkerd_tcp.interpreters.default import DefaultInterpreter
from linkerd_tcp.naming.addr import PENDING, Failed
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.name import Binding, BoundName
from linkerd_tcp.naming.namer import Namer, NamerContext, WatchState
from linkerd_tcp.naming.nametree import Leaf, Union, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.testing.hosts import FakeHosts
from linkerd_tcp.testing.leaks import no_leaks
from linkerd_tcp.testing.namers import NamerContract
from linkerd_tcp.testing.waiting import eventually
from namers.inet import Utilities
from namers.namerd import NamerdConfig, NamerdNamer
from namers.static import StaticConfig
from tests.namerd_standin import Namerd
from tests.namerd_state import bound, leaf, union

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")
ID = "/#/io.l5d.fs/web"
RETRY = {"baseSeconds": 0.02, "maxSeconds": 0.1}


@pytest.fixture
def namerd(no_leaks: None) -> Iterator[Namerd]:
    with Namerd() as standin:
        standin.bind("/svc/web", leaf(ID))
        standin.bind("/svc/web/rest", leaf(ID, "/rest"))
        standin.addr(ID, bound("127.0.0.1:1"))
        yield standin


def build(namerd: Namerd, **options: Any) -> NamerdNamer:
    config = registry.load("namer", "io.l5d.namerd").model_validate(  # type: ignore[attr-defined]
        {"kind": "io.l5d.namerd", "baseUrl": namerd.base_url, "retry": RETRY, **options}
    )
    assert isinstance(config, NamerdConfig)
    return config.build(NamerContext(hosts_with_loopback()))


def hosts_with_loopback() -> FakeHosts:
    hosts = FakeHosts()
    hosts.resolve("127.0.0.1", "127.0.0.1")
    return hosts


@pytest.fixture
def namer(namerd: Namerd) -> Iterator[NamerdNamer]:
    made = build(namerd)
    made.start()
    yield made
    made.close()


class TestNamerdNamer(NamerContract):
    @pytest.fixture
    def namer(self, namer: NamerdNamer) -> NamerdNamer:
        return namer

    @pytest.fixture
    def known(self) -> Path:
        return Path.read("/svc/web/rest")

    def row(self, namer: Namer, known: Path) -> WatchState:
        """The row of the path, or of the id that it led to, once only its addresses are observed."""
        rows = list(namer.watches())
        of_path = [row for row in rows if row.name == str(known)]
        [row] = of_path or [row for row in rows if row.name == ID]
        return row


def known_names(watch: Watch[Binding]) -> list[BoundName]:
    return [] if watch.value == PENDING or isinstance(watch.value, Failed) else list(leaves(watch.value))  # type: ignore[arg-type]


def test_ids_never_meet_those_of_this_file(namer: NamerdNamer) -> None:
    watch = namer.lookup(Path.read("/svc/web"))
    eventually(lambda: isinstance(watch.value, Leaf))
    [name] = leaves(watch.value)  # type: ignore[arg-type]
    assert isinstance(name, BoundName)
    assert str(name.id) == "/#/io.l5d.namerd/#/io.l5d.fs/web"
    watch.close()


def test_a_prefix_of_one_s_own_stands_in_ids_too(namerd: Namerd) -> None:
    namer = build(namerd, prefix="/x")
    assert str(namer.prefix) == "/x"
    watch = namer.lookup(Path.read("/svc/web"))
    eventually(lambda: isinstance(watch.value, Leaf))
    [name] = leaves(watch.value)  # type: ignore[arg-type]
    assert str(name.id) == "/#/x/#/io.l5d.fs/web"  # type: ignore[union-attr]
    watch.close()
    namer.close()


def test_polled_names_are_known_by_their_path(namerd: Namerd) -> None:
    namer = build(namerd, periodSecs=0.05)
    watch = namer.lookup(Path.read("/svc/web"))
    eventually(lambda: isinstance(watch.value, Leaf))
    [name] = leaves(watch.value)  # type: ignore[arg-type]
    assert str(name.id) == "/#/io.l5d.namerd/svc/web"  # type: ignore[union-attr]
    watch.close()
    namer.close()


def test_a_split_of_namerd_s_is_one_here(namerd: Namerd, namer: NamerdNamer) -> None:
    namerd.bind("/svc/split", union((0.9, leaf("/#/a")), (0.1, leaf("/#/b"))))
    watch = namer.lookup(Path.read("/svc/split"))
    eventually(lambda: isinstance(watch.value, Union))
    assert [branch.weight for branch in watch.value.branches] == [0.9, 0.1]  # type: ignore[union-attr]
    watch.close()


@pytest.fixture
def fallback(namer: NamerdNamer) -> Iterator[DefaultInterpreter]:
    """First namerd, then what is written here."""
    hosts = FakeHosts()
    here = StaticConfig.model_validate({"services": {"web": ["127.0.0.1:9"], "new": ["127.0.0.1:9"]}}).build(
        NamerContext(hosts)
    )
    dtab = Dtab.read("/svc => /#/io.l5d.namerd/svc | /#/io.l5d.static")
    interpreter = DefaultInterpreter(dtab, (here, namer), Utilities(hosts))
    yield interpreter
    interpreter.close()
    here.close()


def ids(watch: Watch[Binding]) -> list[str]:
    return [str(name.id) for name in known_names(watch)]


def test_only_what_namerd_knows_not_to_be_there_falls_through(namerd: Namerd, fallback: DefaultInterpreter) -> None:
    web, new = fallback.bind(Path.read("/svc/web")), fallback.bind(Path.read("/svc/new"))
    eventually(lambda: ids(web) == ["/#/io.l5d.namerd/#/io.l5d.fs/web"])
    eventually(lambda: ids(new) == ["/#/io.l5d.static/new"])
    namerd.bind("/svc/web", {"type": "neg"})
    eventually(lambda: ids(web) == ["/#/io.l5d.static/web"])
    namerd.bind("/svc/web", leaf(ID))
    eventually(lambda: ids(web) == ["/#/io.l5d.namerd/#/io.l5d.fs/web"])
    namerd.stop_listening()
    namerd.cut()
    other = fallback.bind(Path.read("/svc/other"))
    eventually(lambda: isinstance(other.value, Failed))
    assert ids(web) == ["/#/io.l5d.namerd/#/io.l5d.fs/web"]
    for watch in (web, new, other):
        watch.close()


def test_files_of_its_tls_that_cannot_be_used_are_found_before_anything_starts(tmp_path: FilePath) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    config = parse_config(
        b"namers: [{kind: io.l5d.namerd, baseUrl: 'https://h', tls: {trustCerts: [ca.pem]}}]\n"
        b"routers: [{label: a, servers: [{port: 0, dstName: /svc}]}]",
        "l5d.yml",
        tmp_path,
    )
    [problem] = discovery_problems_of(config)
    assert str(tmp_path / "ca.pem") in problem


def test_what_namerd_has_not_said_yet_does_not_fall_through(namerd: Namerd, fallback: DefaultInterpreter) -> None:
    namerd.fault("headers")
    watch = fallback.bind(Path.read("/svc/web"))
    eventually(lambda: namerd.streams["bind watch"] == 1)
    assert watch.value == PENDING
    watch.close()

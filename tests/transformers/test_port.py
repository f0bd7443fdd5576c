import pytest

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.namer import Namer, NamerContext
from linkerd_tcp.naming.nametree import leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing import FakeHosts, NamerContract
from linkerd_tcp.transformers.build import build_namer
from linkerd_tcp.transformers.port import PortConfig
from tests.transformers.conftest import bound

PORT = {"kind": "io.l5d.port", "port": 4140}


def changed(addresses: Bound) -> Bound:
    return PortConfig.model_validate(PORT)._with_port(addresses)


def test_every_address_gets_the_port() -> None:
    assert changed(bound("10.0.0.1:1", "10.0.0.2:2*0.5", zone="a")) == bound(
        "10.0.0.1:4140", "10.0.0.2:4140*0.5", zone="a"
    )
    assert changed(bound()) == bound()
    address = Address("::1", 1, 0.5, {"zone": "a"})
    assert changed(Bound((address,))).addresses[0].meta == {"zone": "a"}


def test_addresses_that_become_one_are_there_once_as_the_first_of_them_was() -> None:
    assert changed(bound("10.0.0.1:1*0.5", "10.0.0.2:1", "10.0.0.1:2")) == bound("10.0.0.1:4140*0.5", "10.0.0.2:4140")


class TestBehindARealNamer(NamerContract):
    """What a namer promises it promises behind a transformer, too."""

    settle_secs = 0

    @pytest.fixture
    def namer(self) -> Namer:
        hosts = FakeHosts()
        config = registry.load("namer", "io.l5d.static").model_validate(  # type: ignore[attr-defined]
            {
                "kind": "io.l5d.static",
                "services": {"web": ["127.0.0.1:80", "127.0.0.2:80"]},
                "transformers": [PORT, PORT],
            }
        )
        namer = build_namer(config, NamerContext(hosts), registry.load("utilities", "/$/")(hosts))
        namer.start()
        return namer

    @pytest.fixture
    def known(self) -> Path:
        return Path(("web", "rest"))

    def test_it_is_behind_one(self, namer: Namer, known: Path) -> None:
        watch = namer.lookup(known)
        [name] = leaves(watch.value)  # type: ignore[arg-type]
        assert str(name.id) == "/%/io.l5d.port/4140/%/io.l5d.port/4140/#/io.l5d.static/web"  # type: ignore[union-attr]
        watch.close()

import logging

import gevent
import pytest

from linkerd_tcp.naming.addr import NEG, Addr
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import Leaf, leaves
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.transformer import TransformerContext
from linkerd_tcp.naming.watch import Var, Watch
from linkerd_tcp.testing import eventually
from linkerd_tcp.testing.leaks import no_leaks
from linkerd_tcp.transformers import localhost
from linkerd_tcp.transformers.localhost import LocalAddresses, LocalhostConfig, LocalhostTransformer
from tests.transformers.conftest import BuildNamer, Inner, bound
from tests.transformers.test_wrapped import WEB, name

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


class Machine:
    """A machine whose addresses a test decides."""

    def __init__(self, *ips: str) -> None:
        self.ips = frozenset(ips)
        self.error: OSError | None = None
        self.asked = 0

    def __call__(self) -> frozenset[str]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.ips


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localhost, "REFRESH_SECS", 0.02)


def transformed(machine: Machine, source: Var[Addr]) -> tuple[LocalhostTransformer, Watch[Addr]]:
    transformer = LocalhostTransformer(LocalhostConfig(), LocalAddresses(machine))
    tree = transformer.transform(Leaf(BoundName(WEB, source, WEB)), lambda _key, _open: pytest.fail("asks nobody"))
    [found] = leaves(tree)  # type: ignore[arg-type]
    assert (str(found.id), str(found.residual)) == ("/%/io.l5d.localhost/web", "/web")
    return transformer, found.addr


def test_addresses_of_this_machine_are_left(inner: Inner, namer: BuildNamer) -> None:
    inner.set("/web", Leaf(name("/#/inner/web", bound("127.0.0.1:80", "192.0.2.77:80", "127.0.0.2:80"))))
    watch = namer({"kind": "io.l5d.localhost"}).lookup(WEB)
    [found] = leaves(watch.value)  # type: ignore[arg-type]
    assert found.addr.value == bound("127.0.0.1:80"), "the addresses that interfaces have, and no others"  # type: ignore[union-attr]
    watch.close()


def test_a_change_of_the_machine_s_addresses_is_followed() -> None:
    machine, source = Machine("10.0.0.1"), Var[Addr](bound("10.0.0.1:80", "10.0.0.2:80", "fe80::1%eth0:80"))
    transformer, addr = transformed(machine, source)
    assert addr.value == bound("10.0.0.1:80")
    told: list[Addr] = []
    cancel = addr.observe(told.append)
    machine.ips = frozenset({"10.0.0.2", "fe80::1"})
    eventually(lambda: told == [bound("10.0.0.2:80", "fe80::1%eth0:80")])
    machine.ips = frozenset({"10.9.9.9"})
    eventually(lambda: told[1:] == [NEG])
    machine.ips = frozenset({"10.0.0.1"})
    eventually(lambda: told[2:] == [bound("10.0.0.1:80")])
    cancel()
    asked = machine.asked
    gevent.sleep(0.1)
    assert machine.asked == asked, "nobody observes it, nobody is asked"
    machine.ips = frozenset({"10.0.0.2"})
    assert addr.value == bound("10.0.0.2:80"), "asked when it is read"
    transformer.close()


def test_a_system_that_does_not_say_keeps_what_was_known_and_is_complained_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine, source = Machine("10.0.0.1"), Var[Addr](bound("10.0.0.1:80", "10.0.0.2:80"))
    transformer, addr = transformed(machine, source)
    cancel = addr.observe(lambda _: None)
    machine.error = OSError(24, "Too many open files")
    asked = machine.asked
    eventually(lambda: machine.asked > asked + 3)
    assert addr.value == bound("10.0.0.1:80")
    [warning] = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert "Too many open files" in warning
    machine.error, machine.ips = None, frozenset({"10.0.0.2"})
    eventually(lambda: addr.value == bound("10.0.0.2:80"))
    cancel()
    transformer.close()


def test_closing_ends_the_asking() -> None:
    machine, source = Machine("10.0.0.1"), Var[Addr](bound("10.0.0.1:80"))
    transformer, addr = transformed(machine, source)
    told: list[Addr] = []
    addr.observe(told.append)
    transformer.close()
    transformer.close()
    machine.ips = frozenset()
    gevent.sleep(0.1)
    assert told == []


def test_it_is_built_of_its_options() -> None:
    context = TransformerContext(lambda _path: Var(Leaf(name("/x"))))
    assert LocalhostConfig.model_validate({"kind": "io.l5d.localhost", "prefix": "/here"}).build(
        context
    )._id_prefix == Path.read("/%/here")

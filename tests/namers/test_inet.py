import pytest

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import Address, Bound, Failed, Pending
from linkerd_tcp.naming.name import BoundName
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.testing import FakeHosts, NamerContract
from namers.inet import Utilities
from tests.leaks import no_leaks

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


@pytest.fixture
def utilities(hosts: FakeHosts) -> Utilities:
    return Utilities(hosts)


class TestUtilities(NamerContract):
    settle_secs = 0

    @pytest.fixture
    def namer(self, utilities: Utilities) -> Utilities:
        return utilities

    @pytest.fixture
    def known(self) -> Path:
        return Path(("inet", "127.0.0.1", "80", "rest"))


def found(utilities: Utilities, path: str) -> object:
    watch = utilities.lookup(Path.read(path))
    watch.close()
    return watch.value


def test_it_is_what_the_program_loads() -> None:
    assert registry.load("utilities", "/$/") is Utilities


@pytest.mark.parametrize(
    ("path", "bound", "residual", "address"),
    [
        ("/inet/127.1/80", "/$/inet/127.1/80", "/", "127.0.0.1:80"),
        ("/inet/10.0.0.1/80/a/b", "/$/inet/10.0.0.1/80", "/a/b", "10.0.0.1:80"),
        ("/inet/1234/foobar", "/$/inet/1234", "/foobar", "127.0.0.1:1234"),
        ("/inet/1234", "/$/inet/1234", "/", "127.0.0.1:1234"),
        ("/inet/::1/80", "/$/inet/::1/80", "/", "[::1]:80"),
        ("/fixedinet/127.1/80", "/$/fixedinet/127.1/80", "/", "127.0.0.1:80"),
        ("/io.buoyant.rinet/80/127.1/x", "/$/io.buoyant.rinet/80/127.1", "/x", "127.0.0.1:80"),
    ],
)
def test_addresses_written_out_are_bound(
    path: str, bound: str, residual: str, address: str, utilities: Utilities
) -> None:
    watch = utilities.lookup(Path.read(path))
    assert isinstance(watch.value, Leaf)
    name = watch.value.value
    assert isinstance(name, BoundName)
    assert (str(name.id), str(name.residual)) == (bound, residual)
    assert isinstance(name.addr.value, Bound)
    assert [str(each) for each in name.addr.value.addresses] == [address]
    watch.close()


def test_a_host_name_is_followed_and_neg_is_no_reason_to_look_further(utilities: Utilities, hosts: FakeHosts) -> None:
    watch = utilities.lookup(Path.read("/inet/web.example/80"))
    assert isinstance(watch.value, Leaf)
    name = watch.value.value
    assert isinstance(name, BoundName)
    assert name.addr.value == Pending()
    hosts.resolve("web.example", "10.0.0.1")
    assert name.addr.value == Bound((Address("10.0.0.1", 80),))
    hosts.set("web.example", NEG_ADDR)
    assert name.addr.value == NEG_ADDR
    assert isinstance(watch.value, Leaf)
    watch.close()
    assert hosts.open == []


def test_a_fixed_address_is_resolved_once(utilities: Utilities, hosts: FakeHosts) -> None:
    watch = utilities.lookup(Path.read("/fixedinet/web.example/80"))
    hosts.resolve("web.example", "10.0.0.1")
    hosts.resolve("web.example", "10.0.0.2")
    [row] = utilities.watches()
    assert (row.name, row.state, row.addresses) == ("/fixedinet/web.example/80", "bound", 1)
    assert hosts.open == []
    watch.close()


@pytest.mark.parametrize(
    "path", ["/inet", "/inet/host", "/inet/host/0", "/inet/host/65536", "/inet/host/http", "/inet/0"]
)
def test_an_address_that_is_none_is_a_failure(path: str, utilities: Utilities) -> None:
    assert isinstance(found(utilities, path), Failed)


def test_an_unknown_utility_is_a_failure_that_says_so(utilities: Utilities) -> None:
    answer = found(utilities, "/com.example.Thing/x")
    assert isinstance(answer, Failed)
    assert answer.cause == "Unknown namer: /$/com.example.Thing"


@pytest.mark.parametrize("rest", ["", "/a/b"])
def test_nil_is_empty_and_fail_fails_whatever_follows(rest: str, utilities: Utilities) -> None:
    assert found(utilities, "/nil" + rest) == EMPTY
    assert found(utilities, "/fail" + rest) == FAIL


@pytest.mark.parametrize(
    ("path", "rewritten"),
    [
        ("/io.buoyant.hostportPfx/pfx/host:8080/etc", "/pfx/host/8080/etc"),
        ("/io.buoyant.hostportPfx/pfx/host:http", "/pfx/host/http"),
        ("/io.buoyant.porthostPfx/pfx/host:8080/etc", "/pfx/8080/host/etc"),
        ("/hostportPfx/pfx/host:8080", "/pfx/host/8080"),
        ("/io.buoyant.hostportPfx/pfx/host", None),
        ("/io.buoyant.hostportPfx/pfx/:80", None),
        ("/io.buoyant.hostportPfx/pfx/::1:80", None),
        ("/io.buoyant.hostportPfx/pfx/host:HTTP", None),
        ("/io.buoyant.hostportPfx/pfx/host:" + "a" * 64, None),
        ("/io.buoyant.hostportPfx/host:80", None),
        ("/io.buoyant.http.subdomainOfPfx/buoyant.io/pfx/foo.buoyant.io/name", "/pfx/foo/name"),
        ("/io.buoyant.http.subdomainOfPfx/buoyant.io/pfx/foo.buoyant.io:80/name", "/pfx/foo/name"),
        ("/io.buoyant.http.subdomainOfPfx/buoyant.io/pfx/a.b.buoyant.io", "/pfx/a.b"),
        ("/io.buoyant.http.subdomainOfPfx/buoyant.io/pfx/buoyant.io", None),
        ("/io.buoyant.http.subdomainOfPfx/buoyant.io/pfx/.buoyant.io", None),
        ("/io.buoyant.http.subdomainOfPfx/buoyant.io/pfx/foobuoyant.io", None),
        ("/io.buoyant.http.subdomainOfPfx/buoyant.io/pfx", None),
        ("/io.buoyant.http.subdomainOf/buoyant.io/foo.buoyant.io/name", "/foo/name"),
        ("/io.buoyant.http.domainToPathPfx/pfx/foo.buoyant.io/name", "/pfx/io/buoyant/foo/name"),
        ("/io.buoyant.http.domainToPathPfx/pfx/foo.", "/pfx/foo"),
        ("/io.buoyant.http.domainToPathPfx/pfx/a..b", None),
        ("/io.buoyant.http.domainToPath/foo.buoyant.io", "/io/buoyant/foo"),
        ("/io.buoyant.http.anyHostPfx/pfx/foo.buoyant.io/name", "/pfx/name"),
        ("/io.buoyant.http.anyHost/foo.buoyant.io/name", "/name"),
        ("/io.buoyant.http.anyMethodPfx/pfx/GET/name", "/pfx/name"),
        ("/io.buoyant.http.anyMethod/get/name", None),
    ],
)
def test_paths_are_rewritten_or_neg(path: str, rewritten: str | None, utilities: Utilities) -> None:
    assert found(utilities, path) == (NEG if rewritten is None else Leaf(Path.read(rewritten)))

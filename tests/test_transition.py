"""A configuration is applied whole or not at all, and nobody who is connected or waits notices."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest

from linkerd_tcp.book import Book
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.errors import StartError
from linkerd_tcp.net.descriptors import Capacity
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.testing import FakeHosts
from linkerd_tcp.transition import Running, Transition, stop_listening
from tests.leaks import no_leaks
from tests.rig import Endpoint
from tests.sockets import eventually
from tests.system.harness import free_port

assert no_leaks

Configure = Callable[..., AppConfig]


@pytest.fixture
def endpoint(no_leaks: None) -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def running(no_leaks: None) -> Iterator[Running]:
    made = Running(HostResolver(), Capacity(1_000), Buffer(65536), Book(), print)
    yield made
    stop_listening(list(made.servers.values()))
    eventually(lambda: not made.book.open)
    made.close()
    made.hosts.close()


@pytest.fixture
def configure(endpoint: Endpoint, tmp_path: FilePath) -> Configure:
    """A configuration with servers on the given ports, all to the one endpoint."""

    def parse(*ports: int, router: str = "r", services: str = "web", server: str = "", more: str = "") -> AppConfig:
        servers = "".join(f"    - {{port: {port}, dstName: /svc/web{server}}}\n" for port in ports)
        text = (
            f"namers:\n- kind: io.l5d.static\n  services: {{{services}: ['127.0.0.1:{endpoint.port}']}}\n"
            f"routers:\n- label: {router}\n  servers:\n{servers}{more}"
        )
        return parse_config(text, "test.yml", tmp_path)

    return parse


def apply(running: Running, config: AppConfig) -> list[str]:
    transition = Transition(running, config)
    transition.switch()
    return transition.changes


def port_of(running: Running, nth: int = 0) -> int:
    return list(running.servers.values())[nth].local[1]


def answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"?")
        return client.recv(1) == b"?"


def ends_at_once(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        return client.recv(1) == b""


def test_start_is_a_transition_from_nothing(running: Running, configure: Configure) -> None:
    changes = apply(running, configure(0))
    assert changes == ["namer /#/io.l5d.static added", "router r added", "server 127.0.0.1:0 added"]
    assert answers(port_of(running))


def test_the_same_file_again_changes_nothing(running: Running, configure: Configure) -> None:
    apply(running, configure(0))
    namers, server = dict(running.namers), next(iter(running.servers.values()))
    assert apply(running, configure(0)) == []
    assert running.namers == namers
    assert next(iter(running.servers.values())) is server


def test_a_server_that_stays_keeps_its_socket_and_its_connections(running: Running, configure: Configure) -> None:
    apply(running, configure(0))
    port = port_of(running)
    (server,) = running.servers.values()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        changes = apply(running, configure(0, server=", idleTimeoutMs: 5000"))
        assert changes == [f"server 127.0.0.1:{port} changed"]
        assert list(running.servers.values()) == [server]
        assert server.config.idle_timeout_ms == 5000
        client.sendall(b"b")
        assert client.recv(1) == b"b"
    assert answers(port)


def test_added_servers_serve_and_removed_ones_refuse_but_let_the_open_ones_be(
    running: Running, configure: Configure
) -> None:
    first, second = free_port(), free_port()
    apply(running, configure(first))
    with socket.create_connection(("127.0.0.1", first)) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        changes = apply(running, configure(second))
        assert changes == [f"server 127.0.0.1:{second} added", f"server 127.0.0.1:{first} removed"]
        assert answers(second)
        with pytest.raises(ConnectionRefusedError):
            answers(first)
        client.sendall(b"b")
        assert client.recv(1) == b"b"
    apply(running, configure(first))
    assert answers(first)


def test_a_drain_holds_in_a_router_that_comes_later(running: Running, configure: Configure) -> None:
    apply(running, configure(0))
    assert answers(port_of(running))
    (router,) = running.routers.values()
    ((balancer,), (row,)) = router.balancers(), router.balancers()[0].endpoints_json()
    assert router.drain(str(balancer.bound), row["address"], True)
    apply(running, configure(0, router="renamed"))
    assert ends_at_once(port_of(running))


def test_a_refused_listener_undoes_everything(running: Running, configure: Configure) -> None:
    apply(running, configure(0))
    before = (dict(running.namers), dict(running.routers), dict(running.servers))
    free = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(StartError, match=rf"^routers\[0\].servers\[2\].port: cannot listen on 127.0.0.1:{taken}: "):
            Transition(running, configure(0, free, taken, services="other"))
    assert (running.namers, running.routers, running.servers) == before
    with pytest.raises(ConnectionRefusedError):
        answers(free)
    assert answers(port_of(running))


def test_a_changed_namer_is_replaced_and_bindings_follow(running: Running, configure: Configure) -> None:
    apply(running, configure(0))
    old = next(iter(running.namers.values()))
    assert answers(port_of(running))
    assert apply(running, configure(0, services="elsewhere")) == ["namer /#/io.l5d.static changed"]
    assert next(iter(running.namers.values())) is not old
    assert ends_at_once(port_of(running))
    apply(running, configure(0))
    assert answers(port_of(running))


def test_the_connections_of_a_removed_router_go_on_without_it(running: Running, configure: Configure) -> None:
    apply(running, configure(0, router="old"))
    with socket.create_connection(("127.0.0.1", port_of(running))) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        apply(running, configure(free_port(), router="new"))
        assert running.leaving == [], "nobody waits there, and what is connected needs no router"
        client.sendall(b"b")
        assert client.recv(1) == b"b"
    eventually(lambda: not running.book.open)


@pytest.fixture
def late(no_leaks: None) -> Iterator[Running]:
    """As `running`, but what host names lead to is for the test to say."""
    made = Running(FakeHosts(), Capacity(1_000), Buffer(65536), Book(), print)  # type: ignore[arg-type]
    yield made
    stop_listening(list(made.servers.values()))
    eventually(lambda: not made.book.open)
    made.close()


def with_host(config: AppConfig) -> AppConfig:
    """Its endpoints under a host name."""
    (namer,) = config.namers
    services = {
        name: [item.model_copy(update={"host": "late.test"}) for item in items]
        for name, items in namer.services.items()  # type: ignore[attr-defined]
    }
    return config.model_copy(update={"namers": (namer.model_copy(update={"services": services}),)})


def test_a_removed_router_and_its_namers_serve_those_who_wait_and_then_go(late: Running, configure: Configure) -> None:
    first, second = free_port(), free_port()
    apply(late, with_host(configure(first, router="old")))
    with socket.create_connection(("127.0.0.1", first), timeout=5) as waiting:
        eventually(lambda: late.routers["old"].has_waiters)
        next(iter(late.servers.values()))._acceptor.pause()
        with socket.create_connection(("127.0.0.1", first), timeout=5) as queued:
            apply(late, configure(second, router="new", services="other"))
            late.sweep()
            assert [router.label for router in late.leaving] == ["old"]
            late.hosts.resolve("late.test", "127.0.0.1")  # type: ignore[attr-defined]
            for client in (waiting, queued):
                client.sendall(b"!")
                assert client.recv(1) == b"!"
            late.sweep()
            assert (late.leaving, late.leaving_namers) == ([], [])
            assert late.hosts.open == []  # type: ignore[attr-defined]


def test_a_removed_router_goes_though_another_of_its_name_has_connections(
    running: Running, configure: Configure
) -> None:
    first, second = free_port(), free_port()
    apply(running, configure(first, router="r"))
    with socket.create_connection(("127.0.0.1", first)) as old:
        apply(running, configure(second, router="s"))
        apply(running, configure(first, router="r"))
        with socket.create_connection(("127.0.0.1", first)) as new:
            for client in (old, new):
                client.sendall(b"a")
                assert client.recv(1) == b"a"
            running.sweep()
            assert running.leaving == []


def test_an_interpreter_for_which_nothing_changed_goes_on_with_all_it_knows(
    running: Running, configure: Configure
) -> None:
    apply(running, configure(0))
    before = running.routers["r"].interpreter
    apply(running, configure(free_port()))
    assert running.routers["r"].interpreter is before
    apply(running, configure(0, services="elsewhere"))
    assert running.routers["r"].interpreter is not before

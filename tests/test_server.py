"""The story of one connection, whatever happens in it, and that nothing is left behind."""

import socket
from collections.abc import Callable, Iterator
from time import monotonic

import gevent
import pytest

from linkerd_tcp.config.sockets import KeepAlive, SocketOptions
from linkerd_tcp.errors import Cause
from linkerd_tcp.naming import nametree
from linkerd_tcp.naming.addr import PENDING
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.listener import bind
from linkerd_tcp.record import as_json
from linkerd_tcp.server import Server, end_connection
from tests.leaks import no_leaks
from tests.rig import WEB, Endpoint, Rig, addresses, leaf
from tests.sockets import eventually, read_all, reset

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def endpoint(no_leaks: None) -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def rig(endpoint: Endpoint) -> Iterator[Rig]:
    made = Rig(addresses(endpoint.port))
    yield made
    made.close()


def test_a_connection_is_balanced_counted_and_recorded(rig: Rig, endpoint: Endpoint) -> None:
    with rig.connect() as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        source = client.getsockname()
        (record,) = rig.book.open.values()
        assert (record.bytes_so_far(), rig.server.figures.active) == ((5, 5), 1)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    record = rig.ended()
    shape = as_json(record)
    assert shape["cause"] == "client_closed"
    assert shape["source"] == f"127.0.0.1:{source[1]}"
    assert (shape["path"], shape["bound"]) == ("/svc/web", "/#/test/web")
    assert shape["endpoint"] == f"127.0.0.1:{endpoint.port}"
    assert (shape["rxBytes"], shape["txBytes"]) == (5, 5)
    assert [step["what"] for step in shape["steps"]] == ["accepted", "connected"]
    assert [(tried["endpoint"], tried["error"]) for tried in shape["attempts"]] == [(shape["endpoint"], None)]
    figures = rig.server.figures
    assert (figures.accepts, figures.closes, figures.rx_bytes, figures.tx_bytes) == (1, 1, 5, 5)
    assert figures.failures == {}
    assert [logged.id for logged in rig.logged] == [record.id]


def test_a_client_that_says_fin_before_it_is_connected_is_still_served(rig: Rig) -> None:
    rig.interpreter.bindings[WEB] = PENDING
    with rig.connect() as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        rig.interpreter.set(WEB, leaf(rig.addr))
        assert read_all(client) == b"question"
    assert rig.ended().cause is Cause.CLIENT_CLOSED


def test_a_failed_connection_says_why_and_is_counted(rig: Rig) -> None:
    rig.interpreter.set(WEB, nametree.NEG)
    with rig.connect() as client:
        assert read_all(client) == b""
    record = rig.ended()
    assert record.cause is Cause.NOT_FOUND
    assert record.detail is not None
    assert "/svc/web is not found" in record.detail
    assert record.explanation["type"] == "neg"
    assert rig.server.figures.connect_failures == {Cause.NOT_FOUND: 1}
    assert rig.server.figures.failures == {Cause.NOT_FOUND: 1}
    assert rig.server.figures.waiting == 0


def test_accepted_sockets_have_the_socket_options_of_their_server(endpoint: Endpoint) -> None:
    options = SocketOptions(keep_alive=KeepAlive(idle_secs=17, count=3))
    rig = Rig(addresses(endpoint.port), {"socket_options": options})
    try:
        with rig.connect():
            eventually(lambda: any(record.flow for record in rig.book.open.values()))
            (record,) = rig.book.open.values()
            accepted = record.flow._src
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            # Those that find out that an idle peer is dead: once it has lasted.
            eventually(lambda: accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 5)
            assert record.flow._dst.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 17
    finally:
        rig.close()


def test_options_that_are_turned_off_are_off_for_the_next_connection(endpoint: Endpoint) -> None:
    rig = Rig(addresses(endpoint.port), {"socket_options": SocketOptions(user_timeout_ms=5000)})
    try:
        off = SocketOptions(no_delay=False, keep_alive=None)
        rig.server.reconfigure(rig.server.config.model_copy(update={"socket_options": off}), rig.router)
        with rig.connect():
            eventually(lambda: any(record.flow for record in rig.book.open.values()))
            (record,) = rig.book.open.values()
            accepted = record.flow._src
            assert not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    finally:
        rig.close()


def test_the_log_says_a_kind_of_failure_once_in_a_while(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.interpreter.set(WEB, nametree.NEG)
    for _ in range(5):
        with rig.connect() as client:
            assert read_all(client) == b""
    rig.ended(5)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{rig.server.label}: a client was not connected: not_found: /svc/web is not found: ")


def test_beyond_max_concurrency_connections_wait_and_none_is_dropped(endpoint: Endpoint) -> None:
    rig = Rig(addresses(endpoint.port), server={"max_concurrency": 2})
    clients = [rig.connect() for _ in range(5)]
    for client in clients:
        client.sendall(b"x")
    eventually(lambda: rig.server.figures.active == 2)
    gevent.sleep(0.02)  # the promise is that no more come
    assert rig.server.figures.accepts == 2
    for client in clients:
        assert client.recv(1) == b"x"
        client.close()
    assert rig.ended(5).cause is Cause.CLIENT_CLOSED
    rig.close()


def test_without_descriptors_for_a_pair_the_listener_pauses(rig: Rig) -> None:
    rig.capacity.most = 1
    first, second = rig.connect(), rig.connect()
    second.sendall(b"y")
    eventually(lambda: rig.server.figures.accepts == 1)
    gevent.sleep(0.02)  # the promise is that no more come
    assert rig.server.figures.accepts == 1
    first.close()
    assert second.recv(1) == b"y"
    second.close()
    rig.ended(2)


def test_what_one_server_took_is_not_there_for_another(rig: Rig) -> None:
    listening = bind("127.0.0.1", 0, 16, "port")
    other = Server(rig.server.config, rig.router, listening, rig.book, rig.capacity, Buffer(65536))
    other.start()
    rig.capacity.most = 1
    first, second = rig.connect(), socket.create_connection(other.local, timeout=5)
    eventually(lambda: rig.capacity.used == 1)
    gevent.sleep(0.02)  # the promise is that no more come
    assert rig.capacity.used == 1
    for client in (first, second):
        client.sendall(b"z")
        client.shutdown(socket.SHUT_WR)
    assert {read_all(first), read_all(second)} == {b"z"}
    first.close()
    second.close()
    gevent.spawn(other.stop_listening).get(timeout=5)
    rig.ended(2)


def test_a_lowered_limit_holds_for_the_next_connection_too(rig: Rig) -> None:
    clients = [rig.connect() for _ in range(2)]
    eventually(lambda: rig.server.figures.active == 2)
    rig.server.reconfigure(rig.server.config.model_copy(update={"max_concurrency": 2}), rig.router)
    clients.append(rig.connect())
    gevent.sleep(0.02)  # the promise is that no more come
    assert rig.server.figures.active == 2
    for client in clients:
        client.sendall(b"z")
        assert client.recv(1) == b"z"
        client.close()
    rig.ended(3)


def test_reconfiguring_changes_new_connections_only(rig: Rig) -> None:
    with rig.connect() as old:
        old.sendall(b"a")
        assert old.recv(1) == b"a"
        rig.server.reconfigure(rig.server.config.model_copy(update={"idle_timeout_ms": 50}), rig.router)
        with rig.connect() as new:
            assert read_all(new) == b""
        assert rig.ended().cause is Cause.IDLE
        old.sendall(b"b")
        assert old.recv(1) == b"b"
    rig.ended(2)


def test_who_waits_in_the_queue_is_served_when_the_listener_ends(endpoint: Endpoint) -> None:
    rig = Rig(addresses(endpoint.port), server={"max_concurrency": 1})
    clients = [rig.connect() for _ in range(4)]
    eventually(lambda: rig.server.figures.accepts == 1)
    stopping = gevent.spawn(rig.server.stop_listening)
    for client in clients:
        client.sendall(b"z")
        assert client.recv(1) == b"z"
    stopping.get(timeout=5)
    with pytest.raises(OSError, match="refused"):
        rig.connect()
    for client in clients:
        client.close()
    rig.ended(4)
    rig.close()


def test_ending_a_connection_from_outside_says_so(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        (record,) = rig.book.open.values()
        end_connection(record, Cause.CLOSED_BY_ADMIN)
        assert read_all(client) == b""
    assert rig.ended().cause is Cause.CLOSED_BY_ADMIN
    end_connection(record, Cause.OTHER)
    gevent.sleep(0)
    assert record.cause is Cause.CLOSED_BY_ADMIN


def test_ending_a_connection_that_still_waits_gives_everything_back(rig: Rig) -> None:
    rig.interpreter.bindings[WEB] = PENDING
    with rig.connect() as client:
        eventually(lambda: rig.book.open)
        (record,) = rig.book.open.values()
        end_connection(record, Cause.SHUTDOWN)
        end_connection(record, Cause.SHUTDOWN)
        assert read_all(client) == b""
    assert rig.ended().cause is Cause.SHUTDOWN


# Every event in every stage: whatever happens and whenever, nothing is left (the rig and no_leaks look).


def bind_stage(rig: Rig, _: "Silent") -> Callable[[], None]:
    rig.interpreter.bindings[WEB] = PENDING
    return lambda: rig.interpreter.set(WEB, leaf(rig.addr))


def connect_stage(_: Rig, silent: "Silent") -> Callable[[], None]:
    silent.fill()
    return silent.drain


def stream_stage(_: Rig, __: "Silent") -> Callable[[], None]:
    return lambda: None


class Silent:
    """An endpoint that accepts when told to, and whose queue can be filled so that connects hang."""

    def __init__(self) -> None:
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(0)
        self.port = self.listening.getsockname()[1]
        self.fillers: list[socket.socket] = []
        self.filler_ports: set[int] = set()

    def fill(self) -> None:
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)
            self.filler_ports.add(filler.getsockname()[1])

    def drain(self) -> None:
        self.listening.listen(16)
        for filler in self.fillers:
            filler.close()
        self.fillers.clear()

    def accept(self) -> socket.socket:
        """The proxy's connection, after those that filled the queue."""
        self.listening.settimeout(5)
        while True:
            sock, peer = self.listening.accept()
            if peer[1] not in self.filler_ports:
                return sock
            sock.close()

    def close(self) -> None:
        self.drain()
        self.listening.close()


def client_reset(client: socket.socket, _: socket.socket | None) -> None:
    reset(client)


def client_fin(client: socket.socket, _: socket.socket | None) -> None:
    client.close()


def endpoint_reset(_: socket.socket, endpoint: socket.socket | None) -> None:
    assert endpoint is not None
    reset(endpoint)


def endpoint_fin(_: socket.socket, endpoint: socket.socket | None) -> None:
    assert endpoint is not None
    endpoint.close()


def stopped_reader(client: socket.socket, endpoint: socket.socket | None) -> None:
    """The endpoint writes until nothing more is taken, then both go."""
    assert endpoint is not None
    endpoint.settimeout(0.2)
    with pytest.raises(TimeoutError):
        endpoint.sendall(b"x" * 100_000_000)
    reset(client)


def timeout(_: socket.socket, __: socket.socket | None) -> None:
    """Nothing at all: the limits end it."""


@pytest.mark.parametrize("event", [client_reset, client_fin, endpoint_reset, endpoint_fin, stopped_reader, timeout])
@pytest.mark.parametrize("stage", [bind_stage, connect_stage, stream_stage])
def test_whatever_happens_in_whatever_stage_nothing_is_left(
    stage: Callable[[Rig, Silent], Callable[[], None]],
    event: Callable[[socket.socket, socket.socket | None], None],
) -> None:
    silent = Silent()
    limits = {"idle_timeout_ms": 1000, "half_close_timeout_ms": 300, "connect_timeout_ms": 3000}
    rig = Rig(addresses(silent.port), server=limits, connect_timeout_ms=2900, max_attempts=1)
    proceed = stage(rig, silent)
    began = monotonic()
    client = rig.connect()
    eventually(lambda: rig.book.open)
    accepted = None
    if event in (endpoint_reset, endpoint_fin, stopped_reader):
        proceed()
        accepted = silent.accept()
        event(client, accepted)
    elif event is not timeout:
        event(client, None)
        proceed()
    record = rig.ended()
    assert record.cause is not None
    assert monotonic() - began < 6
    if event is timeout:
        expected = {bind_stage: Cause.PENDING, connect_stage: Cause.TIMEOUT, stream_stage: Cause.IDLE}
        assert record.cause is expected[stage]
    client.close()
    if accepted is not None:
        accepted.close()
    silent.close()
    rig.close()

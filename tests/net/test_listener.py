"""Listening sockets: clear refusals, pauses that keep the queue, and an end that loses nobody."""

import errno
import socket
import sys
from _socket import socket as RawSocket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from linkerd_tcp.errors import StartError
from linkerd_tcp.net.listener import Acceptor, bind
from tests.leaks import no_leaks
from tests.sockets import eventually
from tests.system.harness import free_port

assert no_leaks


class Accepting:
    """An acceptor that keeps what it accepted."""

    def __init__(self) -> None:
        self.listening = bind("127.0.0.1", 0, 128, "port")
        self.address = self.listening.getsockname()
        self.accepted: list[RawSocket] = []
        self.pause_after: int | None = None
        self.acceptor = Acceptor(self.listening, self._take)
        self.clients: list[socket.socket] = []

    def _take(self, sock: RawSocket, peer: Any) -> None:
        self.accepted.append(sock)
        if len(self.accepted) == self.pause_after:
            self.acceptor.pause()

    def connect(self) -> None:
        self.clients.append(socket.create_connection(self.address, timeout=2))

    def close(self) -> None:
        self.acceptor.close()
        for sock in (*self.accepted, *self.clients):
            sock.close()


@pytest.fixture
def accepting(no_leaks: None) -> Iterator[Accepting]:
    made = Accepting()
    yield made
    made.close()


def test_everyone_who_connects_is_accepted_as_a_non_blocking_socket(accepting: Accepting) -> None:
    accepting.acceptor.resume()
    for _ in range(100):
        accepting.connect()
    eventually(lambda: len(accepting.accepted) == 100)
    assert all(sock.gettimeout() == 0 for sock in accepting.accepted)


def test_a_pause_leaves_the_rest_in_the_queue_and_resume_gets_them(accepting: Accepting) -> None:
    accepting.pause_after = 2
    for _ in range(5):
        accepting.connect()
    accepting.acceptor.resume()
    eventually(lambda: len(accepting.accepted) == 2)
    gevent.sleep(0.02)  # the promise is that nothing happens meanwhile
    assert len(accepting.accepted) == 2
    accepting.acceptor.resume()
    eventually(lambda: len(accepting.accepted) == 5)


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_an_ending_listener_serves_who_is_in_its_queue_and_lets_nobody_in(accepting: Accepting) -> None:
    accepting.connect()
    accepting.acceptor.refuse_new()
    late = socket.socket()
    late.settimeout(0.1)
    with pytest.raises(TimeoutError):
        late.connect(accepting.address)
    late.close()
    assert accepting.acceptor.accept_waiting() is False
    assert len(accepting.accepted) == 1
    accepting.accepted[0].sendall(b"served")
    accepting.acceptor.close()
    assert accepting.clients[0].recv(10) == b"served"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(accepting.address, timeout=2)


def test_running_out_of_descriptors_rests_and_goes_on(
    accepting: Accepting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Exhausted:
        def __init__(self, real: RawSocket) -> None:
            self.real, self.refusals = real, 2
            self.fileno, self.family, self.getsockname = real.fileno, real.family, real.getsockname
            self.close = real.close

        def _accept(self) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self.real._accept()  # type: ignore[attr-defined]

    accepting.acceptor.listening = Exhausted(accepting.listening)  # type: ignore[assignment]
    accepting.connect()
    accepting.acceptor.resume()
    eventually(lambda: len(accepting.accepted) == 1)
    assert "Too many open files" in caplog.text


@pytest.mark.parametrize(
    ("ip", "words"),
    [("127.0.0.1", "the port is taken"), ("192.0.2.1", "this machine has no such address")],
)
def test_a_refused_bind_names_the_key_and_what_to_do(ip: str, words: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        port = holder.getsockname()[1]
        with pytest.raises(StartError) as refused:
            bind(ip, port, 10, "routers[0].servers[0].port")
    assert str(refused.value).startswith(f"routers[0].servers[0].port: cannot listen on {ip}:{port}: ")
    assert words in str(refused.value)


def test_ipv6_and_ipv4_of_one_port_are_two_listeners() -> None:
    port = free_port()  # the kernel's choice for the one may be taken for the other
    six = bind("::1", port, 10, "port")
    four = bind("127.0.0.1", port, 10, "port")
    six.close()
    four.close()

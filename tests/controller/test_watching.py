"""Answers without end: many at once, slow readers, and clients that vanish in every way there is."""

import gc
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time

import gevent
import greenlet
import pytest

from linkerd_tcp.controller import shapes
from linkerd_tcp.naming.addr import Address, Bound
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.web.server import Limits
from tests.controller.conftest import ONE, FakeNamer, Plane, Stream
from tests.sockets import eventually, read_all, reset

ROOT = Path(__file__).resolve().parents[2]
MANY = 1_000
TCP_REPAIR = 19
WATCH = "/api/1/bind/default?path=/svc/foo&watch=1"


def greenlets() -> int:
    gc.collect()
    return sum(isinstance(each, greenlet.greenlet) and not each.dead for each in gc.get_objects())


@contextmanager
def watchers(plane: Plane, target: str, number: int = MANY) -> Iterator[subprocess.Popen[str]]:
    """A process with that many clients, each of which has read its first document."""
    command = [sys.executable, "-m", "tests.controller.watchers", str(plane.server.address[1]), str(number), target]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def told(process: subprocess.Popen[str], change: Callable[[], object]) -> tuple[float, int, str]:
    """How long the last client took to hear of `change`, how many different documents they got, and one of them."""
    process.stdin.write(f"{time()}\n")
    process.stdin.flush()
    change()
    secs, different, document = process.stdout.readline().split(" ", 2)
    return float(secs), int(different), document.strip()


@pytest.mark.alone
def test_a_thousand_watchers_hear_of_each_change_within_a_second_and_leave_nothing(plane: Plane) -> None:
    before = greenlets()
    with watchers(plane, WATCH) as process:
        assert plane.server.watchers == MANY
        assert len(plane.control.topics) == 1
        for target in ("two", "foo", "two"):
            secs, different, document = told(
                process, lambda to=target: plane.put("default", f"/svc/foo => /#/fake/{to}")
            )
            assert secs < 1
            assert (different, f'"id":"/#/fake/{target}"' in document) == (1, True)
            assert plane.get("/api/1/dtabs").status_code == 200  # and there is room for others
    eventually(lambda: plane.server.watchers == 0, 5)
    eventually(lambda: greenlets() <= before + 2)


@pytest.mark.alone
def test_as_many_names_as_watchers_are_bound_anew_within_a_second(plane: Plane) -> None:
    streams = [plane.follow(f"{WATCH}&dtab=/n{n}=>/a") for n in range(200)]
    for stream in streams:
        stream.line()
    began = time()
    plane.put("default", "/svc/foo => /#/fake/two")
    for stream in streams:
        assert stream.json()["bound"]["id"] == "/#/fake/two"
    assert time() - began < 1


def test_a_large_document_is_rendered_once_for_all(
    plane: Plane, namer: FakeNamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []
    real = shapes._addr
    monkeypatch.setattr(shapes, "_addr", lambda addr: rendered.append(addr) or real(addr))
    streams = [plane.follow("/api/1/addr/default?path=/%23/fake/foo&watch=1") for _ in range(50)]
    for stream in streams:
        stream.line()
    namer.addrs["foo"].set(Bound(tuple(Address("127.0.0.1", port) for port in range(1, 3_000))))
    for stream in streams:
        assert len(stream.json()["addrs"]) == 2_999
    assert len(rendered) == 2


@pytest.mark.parametrize("leave", [socket.socket.close, reset, lambda sock: sock.shutdown(socket.SHUT_WR)])
def test_a_client_that_leaves_is_noticed_at_once(plane: Plane, leave: Callable[[socket.socket], object]) -> None:
    stream = plane.follow("/api/1/dtabs/nothing?watch=1")
    assert plane.server.watchers == 1
    stream._file.close()
    leave(stream.socket)
    eventually(lambda: plane.server.watchers == 0, 1)
    assert not plane.server._http._server.answering


def test_a_machine_that_vanishes_is_asked_after(plane: Plane) -> None:
    plane.follow("/api/1/dtabs/nothing?watch=1")
    (handler,) = plane.server._http._server.following

    def option(name: str, level: int = socket.IPPROTO_TCP) -> int:
        return handler.socket.getsockopt(level, getattr(socket, name))

    assert option("SO_KEEPALIVE", socket.SOL_SOCKET) == 1
    assert option("TCP_KEEPIDLE") + option("TCP_KEEPINTVL") * option("TCP_KEEPCNT") < 30
    assert option("TCP_USER_TIMEOUT") < 30_000  # keepalive does not ask while something is not acknowledged


def test_a_machine_that_has_forgotten_its_connection_is_noticed(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.web.following._KeepAlive.idle_secs", 1)
    stream = plane.follow("/api/1/dtabs/nothing?watch=1")
    try:
        # The kernel lets go of it without a word, as a machine that loses its power.
        stream.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except OSError as error:
        pytest.skip(f"needs the right to repair connections: {error}")
    stream.close()
    assert plane.server.watchers == 1
    eventually(lambda: plane.server.watchers == 0)


def test_a_slow_reader_gets_the_latest_and_not_all(plane: Plane) -> None:
    long = Dtab.read("/svc/a/b/c/d => /#/fake/foo;" * 1_000)
    stream = plane.follow("/api/1/dtabs/default?watch=1", window="4096")
    stream.line()
    for n in range(100):
        plane.store.put("default", Dtab.read(f"/n{n} => /x;") + long)
        gevent.sleep(0)
    plane.put("default", "/last => /one")
    lines = [stream.line()]
    while "last" not in lines[-1]:
        lines.append(stream.line())
    assert len(lines) < 20


def test_who_does_not_read_at_all_is_let_go(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.web.handler.STALL_SECS", 0.1)
    plane.put("default", "/svc/a/b/c/d => /#/fake/foo;" * 9_000)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(plane.server.address)
        client.sendall(b"GET /api/1/dtabs/default?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: plane.server.watchers == 1)
        eventually(lambda: plane.server.watchers == 0)


def test_who_reads_a_byte_now_and_then_is_let_go(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkerd_tcp.web.following.DOCUMENT_SECS", 0.1)
    plane.put("default", "/svc/a/b/c/d => /#/fake/foo;" * 9_000)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(plane.server.address)
        client.sendall(b"GET /api/1/dtabs/default?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: plane.server.watchers == 1)
        got = 0
        while data := client.recv(8192):
            got += len(data)
            gevent.sleep(0.005)
        assert got < 400_000
    eventually(lambda: plane.server.watchers == 0)


def test_a_client_may_go_on_sending_and_is_not_read(plane: Plane) -> None:
    stream = plane.follow("/api/1/dtabs/yeezus?watch=1")
    stream.line()
    stream.socket.sendall(b"GET /api/1/dtabs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert stream.is_silent()
    plane.put("yeezus", "/a=>/b")
    assert stream.json() == [{"prefix": "/a", "dst": "/b"}]
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        stream.socket.sendall(b"x" * 16 * 1024 * 1024)
    eventually(lambda: plane.server.watchers == 0)


def test_watches_leave_room_for_requests(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.server._http._server.limits = Limits("control plane", max_connections=8, max_body_bytes=9, max_followers=5)
    streams = [plane.follow(WATCH) for _ in range(5)]
    refused = plane.follow(WATCH)
    assert refused.status == 503
    refused.close()
    assert plane.get("/api/1/dtabs").status_code == 200
    streams[0].close()
    eventually(lambda: plane.server.watchers == 4)
    assert plane.follow(WATCH).status == 200


def test_http_1_0_gets_its_documents_without_chunks(plane: Plane) -> None:
    with socket.create_connection(plane.server.address, timeout=5) as client:
        client.sendall(b"GET /api/1/dtabs/yeezus?watch=1 HTTP/1.0\r\nHost: localhost\r\n\r\n")
        got = b""
        while not got.endswith(b"}]\n"):
            got += client.recv(65536)
        assert got.partition(b"\r\n\r\n")[2] == b'[{"prefix":"/yeezy","dst":"/yeezus"}]\n'
        assert b"chunked" not in got


def test_closing_ends_every_watch_in_order(plane: Plane) -> None:
    streams = [plane.follow(WATCH) for _ in range(20)]
    for stream in streams:
        stream.line()
    gevent.spawn(plane.server.close).get(timeout=3)
    assert [stream.line() for stream in streams] == [None] * 20
    assert read_all(streams[0].socket) == b""


def test_head_of_a_watch_ends_at_once(plane: Plane) -> None:
    assert plane.ask("HEAD", WATCH).status_code == 200
    assert plane.server.watchers == 0


def test_watches_go_on_with_other_namers(plane: Plane, namer: FakeNamer) -> None:
    kept, changed = plane.follow(WATCH), plane.follow("/api/1/resolve/default?path=/svc/two&watch=1")
    kept.line()
    assert changed.json()["addrs"][1]["port"] == 2
    other = FakeNamer(foo=ONE, two=Bound((Address("127.0.0.1", 9),)))
    gevent.spawn(plane.control.switch, plane.store, [other]).get(timeout=5)
    assert not namer.held
    assert changed.json()["addrs"][0]["port"] == 9
    assert kept.is_silent()
    other.answer("foo", other.leaf("two"))
    assert kept.json()["bound"]["id"] == "/#/fake/two"


def test_watches_go_on_with_another_store(plane: Plane, make_plane: Callable[..., Plane], namer: FakeNamer) -> None:
    targets = ("/api/1/dtabs?watch=1", "/api/1/dtabs/yeezus?watch=1", WATCH)
    streams: list[Stream] = [plane.follow(target) for target in targets]
    for stream in streams:
        stream.line()
    other = make_plane([namer], {"yeezus": "/yeezy => /yeezus", "default": "/svc/foo => /#/fake/two"}).store
    gevent.spawn(plane.control.switch, other, [namer]).get(timeout=5)
    assert streams[0].json() == ["default", "yeezus"]
    assert streams[2].json()["bound"]["id"] == "/#/fake/two"
    assert streams[1].is_silent()
    other.put("yeezus", Dtab.read("/a=>/b"))
    assert streams[1].json() == [{"prefix": "/a", "dst": "/b"}]

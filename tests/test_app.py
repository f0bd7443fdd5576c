"""The life of the program: what stop, grace and reload promise."""

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from time import monotonic
from typing import Any

import gevent
import pytest

from linkerd_tcp.app import App
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.errors import Cause, ConfigError, StartError
from linkerd_tcp.logs import Logs
from tests.leaks import no_leaks
from tests.rig import Endpoint
from tests.sockets import eventually, read_all

assert no_leaks


class Program:
    """An App over a file that the test writes."""

    def __init__(self, folder: FilePath, text: str) -> None:
        self.file = folder / "l5d.yml"
        self.file.write_text(text)
        self.errors = os.open(folder / "log", os.O_RDWR | os.O_CREAT)
        self.logs = Logs({}, fd=self.errors)
        self.app = App(self.load(), self.load, self.logs)
        self.life: Any = None

    def load(self) -> Any:
        return parse_config(self.file.read_text(), "l5d.yml", self.file.parent)

    def start(self) -> None:
        self.app.start()
        self.life = gevent.spawn(self.app.run_until_stopped)

    def connect(self, nth: int = 0) -> socket.socket:
        return socket.create_connection(self.app.servers[nth].local, timeout=5)

    def close(self) -> None:
        if self.life is not None:
            self.app.shutdown(0)
            self.life.get(timeout=10)
        self.logs.close()
        os.close(self.errors)


@pytest.fixture
def endpoint(no_leaks: None) -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


Begin = Callable[..., Program]


@pytest.fixture
def text(endpoint: Endpoint) -> Callable[..., str]:
    def write(server: str = "", more: str = "", port: int = 0) -> str:
        return f"""
admin: {{port: 0, graceSecs: 5}}
namers: [{{kind: io.l5d.static, services: {{web: ["127.0.0.1:{endpoint.port}"]}}}}]
routers: [{{label: r, servers: [{{port: {port}, dstName: /svc/web{server}}}]}}]
{more}"""

    return write


@pytest.fixture
def begin(tmp_path: FilePath, text: Callable[..., str], no_leaks: None) -> Iterator[Begin]:
    begun: list[Program] = []

    def make(**said: Any) -> Program:
        program = Program(tmp_path, text(**said))
        begun.append(program)
        program.start()
        return program

    yield make
    for program in begun:
        program.close()


def exchange(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(len(words))


def test_it_serves_is_ready_and_stops_cleanly(begin: Begin) -> None:
    program = begin()
    assert program.app.ready == (True, [])
    with program.connect() as client:
        assert exchange(client, b"hello") == b"hello"
    eventually(lambda: not program.app.book.open)
    program.app.shutdown()
    assert program.app.ready[0] is False
    program.life.get(timeout=3)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(program.app.servers[0].local)


def test_open_connections_go_on_through_the_grace_and_quiet_ones_end_with_fin(begin: Begin) -> None:
    program = begin()
    with program.connect() as client:
        assert exchange(client, b"a") == b"a"
        began = monotonic()
        program.app.shutdown(2)
        eventually(lambda: program.app.servers[0]._stopped)
        assert exchange(client, b"b") == b"b"
        assert read_all(client) == b"", "FIN, not a reset"
        assert 0.9 < monotonic() - began < 2
    program.life.get(timeout=3)
    assert program.app.book.closed[-1].cause is Cause.SHUTDOWN


def test_at_the_grace_the_rest_are_reset(begin: Begin) -> None:
    program = begin(server=", idleTimeoutMs: 0")
    with program.connect() as silent:
        assert exchange(silent, b"a") == b"a"
        talking = gevent.spawn(chatter, silent)
        began = monotonic()
        program.app.shutdown(1)
        program.life.get(timeout=3)
        assert monotonic() - began < 2
        with pytest.raises(ConnectionResetError):
            talking.get(timeout=3)
    assert program.app.book.closed[-1].cause is Cause.SHUTDOWN


def test_a_second_request_to_stop_can_shorten_the_grace_and_not_lengthen_it(begin: Begin) -> None:
    program = begin()
    with program.connect() as client:
        assert exchange(client, b"a") == b"a"
        program.app.shutdown(60)
        eventually(lambda: program.app.servers[0]._stopped)
        program.app.shutdown()
        program.app.shutdown(0.2)
        program.app.shutdown(60)
        began = monotonic()
        program.life.get(timeout=3)
        assert monotonic() - began < 2
    assert program.app.book.closed[-1].cause is Cause.SHUTDOWN


def test_what_is_stopping_is_not_reloaded(begin: Begin) -> None:
    program = begin()
    with program.connect() as client:
        assert exchange(client, b"a") == b"a"
        program.app._reload_lock.acquire()
        late = gevent.spawn(refusal, program.app)
        gevent.sleep(0)
        program.app.shutdown(60)
        program.app._reload_lock.release()
        eventually(lambda: program.app.servers[0]._stopped)
        began = monotonic()
        assert "stopping" in refusal(program.app)
        assert monotonic() - began < 1, "at once, not at the end of the grace"
        program.app.shutdown(0)
        assert "stopping" in late.get(timeout=3), "also one that waited for another"


def refusal(app: App) -> str:
    with pytest.raises(StartError) as refused:
        app.reload()
    return str(refused.value)


def chatter(sock: socket.socket) -> None:
    """Never quiet: says something every 10 ms."""
    while True:
        sock.sendall(b".")
        if not sock.recv(1):
            return
        gevent.sleep(0.01)


def test_who_waits_to_be_connected_at_the_grace_is_ended_too(begin: Begin, text: Callable[..., str]) -> None:
    program = begin()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        program.file.write_text(
            text(server=", connectTimeoutMs: 60000")
            .replace("routers: [{label: r,", "routers: [{label: r, client: {connectTimeoutMs: 60000},")
            .replace('["127', f'["127.0.0.1:{full.getsockname()[1]}"] }} }}]\n# ["127')
        )
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        program.app.reload()
        with program.connect() as client:
            eventually(lambda: program.app.book.open)
            program.app.shutdown(0.1)
            program.life.get(timeout=3)
            assert program.app.book.closed[-1].cause is Cause.SHUTDOWN
            client.close()
        for filler in fillers:
            filler.close()


def test_a_wrong_file_changes_nothing_and_is_said(begin: Begin) -> None:
    program = begin()
    good = program.file.read_text()
    with program.connect() as client:
        assert exchange(client, b"a") == b"a"
        program.file.write_text(good.replace("dstName", "dstNam"))
        with pytest.raises(ConfigError, match=r"unknown key \(did you mean dstName\?\)"):
            program.app.reload()
        assert program.app.last_reload_ok is False
        assert "did you mean dstName?" in "".join(program.app.last_reload.errors)
        assert exchange(client, b"b") == b"b"
        with program.connect() as another:
            assert exchange(another, b"c") == b"c"
    program.file.write_text(good)
    assert program.app.reload() == []
    assert program.app.last_reload_ok is True


def test_a_reload_says_what_needs_a_restart(begin: Begin) -> None:
    program = begin()
    program.file.write_text(program.file.read_text() + "bufferSizeBytes: 4096\n")
    for _ in range(2):
        (line,) = program.app.reload()
        assert "bufferSizeBytes" in line
        assert program.app.config.buffer_size_bytes == 65536, "what runs is shown, not what the file wishes"


def test_a_reload_applies_and_says_admins_own_keys(begin: Begin) -> None:
    program = begin()
    program.file.write_text(program.file.read_text().replace("graceSecs: 5", "graceSecs: 7, readOnly: true"))
    assert program.app.reload() == ["admin.graceSecs changed", "admin.readOnly changed"]
    assert (program.app.config.admin.grace_secs, program.app.config.admin.read_only) == (7, True)


def test_host_names_that_do_not_resolve_are_seen(begin: Begin, text: Callable[..., str]) -> None:
    program = begin()
    assert [str(namer.prefix) for namer in program.app.namers] == ["/io.l5d.static"]
    program.file.write_text(text().replace('["127.0.0.1:', '["no-such-host.invalid:'))
    program.app.reload()
    with program.connect() as client:
        assert read_all(client) == b""
    assert [str(namer.prefix) for namer in program.app.namers] == ["/io.l5d.static", "/$/hosts"]
    eventually(lambda: [row.name for row in program.app.namers[-1].watches()] == ["no-such-host.invalid"])


def test_names_whose_last_news_was_refused_are_named_while_it_is_ready(begin: Begin, tmp_path: FilePath) -> None:
    (tmp_path / "disco").mkdir()
    (tmp_path / "disco" / "bad").write_text("nonsense\n")
    program = begin()
    text = program.file.read_text().replace("/svc/web", "/svc/bad")
    program.file.write_text(re.sub(r"namers: .*", "namers: [{kind: io.l5d.fs, rootDir: disco}]", text))
    program.app.reload()
    with program.connect() as client:
        assert read_all(client) == b""
    is_ready, (line,) = program.app.ready
    assert is_ready
    assert line.startswith("namer /#/io.l5d.fs: /bad: ")
    assert line.endswith("(nothing known yet)")
    (tmp_path / "disco" / "bad").write_text("127.0.0.1 80\n")
    eventually(lambda: program.app.ready == (True, []))


def test_the_access_log_is_switched_by_a_reload(begin: Begin, tmp_path: FilePath) -> None:
    program = begin(more="accessLog: {path: first.log, format: json}\n")

    def visit() -> None:
        seen = len(program.app.book.closed)
        with program.connect() as client:
            assert exchange(client, b"a") == b"a"
        eventually(lambda: len(program.app.book.closed) > seen)

    visit()
    eventually(lambda: (tmp_path / "first.log").read_text().count("\n") == 1)
    program.file.write_text(program.file.read_text().replace("first", "second"))
    program.app.reload()
    visit()
    eventually(lambda: (tmp_path / "second.log").read_text().count("\n") == 1)
    assert (tmp_path / "first.log").read_text().count("\n") == 1


def test_an_access_log_that_cannot_be_opened_refuses_the_reload(begin: Begin) -> None:
    program = begin()
    good = program.file.read_text()
    program.file.write_text(good.replace("/svc/web", "/svc/other") + "accessLog: {path: .}\n")
    with pytest.raises(StartError, match=r"accessLog.path"):
        program.app.reload()
    with program.connect() as client:
        assert exchange(client, b"a") == b"a"
    assert program.app.config.access_log is None


def test_a_taken_port_leaves_nothing_behind(tmp_path: FilePath, text: Callable[..., str], no_leaks: None) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        program = Program(tmp_path, text(port=port))
        with pytest.raises(StartError, match=rf"routers\[0\].servers\[0\].port: cannot listen on 127.0.0.1:{port}"):
            program.app.start()
        program.close()

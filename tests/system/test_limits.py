"""Peers that are slow, silent, gone or too many: each costs only itself."""

import contextlib
import hashlib
import random
import resource
import socket
import threading
from pathlib import Path

import gevent
import pytest

from tests.system.harness import Proxy, config, until
from tests.system.peers import Backend, Client, Held, Visits, visit

MIB = 1024 * 1024


@pytest.mark.parametrize("descriptors", [300])
def test_out_of_descriptors_what_is_accepted_is_connected_and_the_others_wait(tmp_path: Path, descriptors: int) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address]), descriptors=descriptors) as proxy:
        clients = [Client(proxy.address) for _ in range(400)]
        answered: set[int] = set()

        def ask(number: int) -> None:
            with contextlib.suppress(gevent.GreenletExit):
                clients[number].ask()
                answered.add(number)

        asking = [gevent.spawn(ask, number) for number in range(400)]
        try:
            until("as many as fit are answered", lambda: len(answered) > 80)
            for path in ("/metrics", "/connections.json", "/ready", "/bindings.json") * 5:
                assert proxy.get(path)[0] == 200
            served = set(answered)
            assert len(served) <= descriptors // 2
            for number in served:
                clients[number].close()
            # Room is made as they are answered; each of the others is served in its turn.
            done = set(served)
            while len(done) < 400:
                fresh = until("the next ones are served", lambda done=done: answered - done)
                for number in fresh:
                    clients[number].close()
                done |= fresh
        finally:
            gevent.killall(asking)
            for client in clients:
                client.close()
        lines = proxy.closed(400)
        assert {line["cause"] for line in lines} == {"client_closed"}
        assert proxy.metric("l5d_srv_accepts_total") == 400


def test_a_flood_that_sends_nothing_ends_at_the_idle_limit_and_disturbs_nobody(tmp_path: Path) -> None:
    conf = config(server={"idleTimeoutMs": 2000})
    with Backend("b") as backend, Proxy(tmp_path, conf, wait=False) as proxy:
        proxy.endpoints("default.yml", [backend.address])
        proxy.wait_until_serving()
        with Held(proxy.address, 5), Visits(proxy.address, 100) as visits:
            flood = [socket.create_connection(proxy.address, timeout=10) for _ in range(1000)]
            until("they are all accepted", lambda: proxy.metric("l5d_srv_active") >= 1000)
            until("they are all ended", lambda: proxy.metric("l5d_srv_failures_total", cause="idle") == 1000)
            for sock in flood:
                assert sock.recv(1) == b""
                sock.close()
        assert max(visits.seconds) < 2


def test_a_client_that_vanishes_is_counted_and_its_endpoint_let_go(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address])) as proxy:
        clients = [Client(proxy.address) for _ in range(50)]
        for client in clients:
            client.ask()
        for client in clients:
            client.reset()
        lines = proxy.closed(50)
        assert {line["cause"] for line in lines} == {"reset"}
        until("the endpoint's side is closed", lambda: backend.open == 0)
        assert proxy.metric("l5d_srv_failures_total", cause="reset") == 50
        assert set(visit(proxy.address, 3)) == {"b"}


def test_a_client_that_vanishes_before_it_is_served_disturbs_nobody(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address])) as proxy, Visits(proxy.address, 50):
        for _ in range(500):
            Client(proxy.address).reset()
        until("all are over", lambda: proxy.metric("l5d_srv_accepts_total") >= 450)


def test_an_endpoint_that_never_answers_costs_only_its_own_connections(tmp_path: Path) -> None:
    conf = config(server={"idleTimeoutMs": 500})
    with Backend("dumb", silent=True) as dumb, Backend("b") as good:
        with Proxy(tmp_path, config([dumb.address, good.address], server={"idleTimeoutMs": 1000})) as proxy:
            clients = [Client(proxy.address) for _ in range(60)]
            for client in clients:
                client.sock.sendall(b"hello\n")
            answers = [client.wait_for_end(10) for client in clients]
            for client in clients:
                client.close()
            assert set(answers) == {b"", b"b hello\n"}
            assert {line["cause"] for line in proxy.closed(60)} == {"idle"}
        assert conf


def test_an_endpoint_whose_queue_is_full_times_out_and_another_is_tried(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # its queue takes one or two
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        good = stack.enter_context(Backend("b"))
        conf = config([f"127.0.0.1:{full.getsockname()[1]}", good.address], client={"connectTimeoutMs": 300})
        proxy = stack.enter_context(Proxy(tmp_path, conf))
        with Visits(proxy.address, 50) as visits:
            gevent.sleep(3)
        assert set(visits.names) == {"b"}
        lines = proxy.closed(visits.made)
        timed_out = [a for line in lines for a in line["attempts"] if a["error"] == "timeout"]
        assert timed_out
        assert {line["cause"] for line in lines} == {"client_closed"}
        # After the fifth failure it is left alone.
        assert len(timed_out) < 40


def test_a_reader_that_stops_for_some_seconds_loses_nothing(tmp_path: Path) -> None:
    sent = random.Random(3).randbytes(64 * MIB)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sent)

        port = listener.getsockname()[1]
        with Proxy(tmp_path, config([f"127.0.0.1:{port}"])) as proxy:
            thread = threading.Thread(target=serve)
            thread.start()
            with socket.create_connection(proxy.address, timeout=20) as sock:
                digest = hashlib.sha256(sock.recv(MIB))
                before = _resident_bytes(proxy.pid)
                stopped_at = until("the stream stands still", lambda: _still(proxy))
                gevent.sleep(3)
                assert _tx(proxy) == stopped_at
                assert _resident_bytes(proxy.pid) - before < 8 * MIB
                while piece := sock.recv(MIB):
                    digest.update(piece)
            thread.join(20)
            assert digest.hexdigest() == hashlib.sha256(sent).hexdigest()
            [line] = proxy.closed(1)
            assert line["txBytes"] == len(sent)
            assert line["cause"] == "endpoint_closed"


def _tx(proxy: Proxy) -> int:
    [line] = proxy.get_json("/connections.json?state=open")["connections"]
    return int(line["txBytes"])


def _still(proxy: Proxy) -> int:
    first = _tx(proxy)
    gevent.sleep(0.3)
    return first if first == _tx(proxy) else 0


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()

"""Reloading: everything is switched or nothing is, and no connection notices."""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import gevent

from tests.system.harness import Proxy, config, free_port, until
from tests.system.peers import Backend, Client, Held, Visits, backends, visit

RELOADS = 50


def _servers(*ports: int) -> list[dict[str, Any]]:
    return [{"port": port, "dstName": "/svc/default"} for port in ports]


def _listeners(proxy: Proxy) -> set[str]:
    return {dict(labels)["srv"] for (name, labels) in proxy.metrics() if name == "l5d_srv_active"}


def test_fifty_reloads_at_500_new_connections_a_second_fail_and_cut_none(tmp_path: Path) -> None:
    first, second = free_port(), free_port()

    def turn(number: int) -> dict[str, Any]:
        hosts = [
            {"host": "127.0.0.1", "port": backend.port, "weight": 1 + (number + index) % 3}
            for index, backend in enumerate(every[: 2 + number % 2])
        ]
        return config(hosts, servers=_servers(first, second) if number % 2 else _servers(first))

    with backends(3) as every, Proxy(tmp_path, turn(0)) as proxy:
        address = ("127.0.0.1", first)
        waiting: list[Client] = []
        with Held(address, 50) as held, Visits(address, 500) as visits, contextlib.ExitStack() as stack:
            for number in range(1, RELOADS + 1):
                if number % 2 == 0:
                    # In the queue of the server that goes: they are served all the same.
                    waiting = [stack.enter_context(Client(("127.0.0.1", second))) for _ in range(5)]
                proxy.write(turn(number))
                if number % 10 < 5:
                    status, text = proxy.post("/reload")
                    assert status == 200, text
                else:
                    proxy.signal(signal.SIGHUP)
                wanted = {f"127.0.0.1:{port}" for port in ((first, second) if number % 2 else (first,))}
                until("the servers are as written", lambda wanted=wanted: _listeners(proxy) == wanted)
                for client in waiting:
                    assert client.ask() in {"b0", "b1", "b2"}
                waiting = []
                gevent.sleep(0.05)
        assert visits.made > 1000
        assert set(visits.names) == {"b0", "b1", "b2"}
        assert held.answers > 50 * 20
        assert proxy.metric("l5d_config_last_reload_success") == 1
        assert proxy.metric("l5d_srv_failures_total") == 0


def test_the_queue_of_a_removed_server_is_served_to_its_end(tmp_path: Path) -> None:
    stays, goes = free_port(), free_port()
    servers = [{**server, "maxConcurrency": 1} for server in _servers(stays, goes)]
    with (
        Backend("b") as backend,
        Proxy(tmp_path, config([backend.address], servers=servers)) as proxy,
        contextlib.ExitStack() as stack,
    ):
        first = stack.enter_context(Client(("127.0.0.1", goes)))
        first.ask()
        waiting = [stack.enter_context(Client(("127.0.0.1", goes))) for _ in range(50)]
        proxy.write(config([backend.address], servers=servers[:1]))
        assert proxy.post("/reload")[0] == 200
        assert [client.ask() for client in [first, *waiting]] == ["b"] * 51


def test_a_wrong_file_changes_nothing_and_every_error_is_answered(tmp_path: Path) -> None:
    server = {"port": free_port()}
    with backends(2) as (one, two), Proxy(tmp_path, config([one.address], server=server)) as proxy:
        before = proxy.get_json("/config.json")
        wrong = config([two.address], servers=[{"port": 0, "dstName": "svc"}, {"port": 1, "dstNam": "/svc/x"}])
        with Held(proxy.address, 3):
            proxy.write(wrong)
            status, text = proxy.post("/reload")
            assert status == 422
            assert "dstName" in text
            assert "dstNam" in text
            assert "config.yml:" in text
            proxy.signal(signal.SIGHUP)
            until("it is said", lambda: proxy.log.count("config.yml:") >= 2)
            assert set(visit(proxy.address, 5)) == {"b0"}
        assert proxy.get_json("/config.json") == before
        assert proxy.metric("l5d_config_last_reload_success") == 0
        proxy.write(config([two.address], server=server))
        status, text = proxy.post("/reload")
        assert status == 200, text
        assert json.loads(text)
        assert set(visit(proxy.address, 5)) == {"b1"}
        assert proxy.metric("l5d_config_last_reload_success") == 1


def test_a_reload_that_needs_a_taken_port_changes_nothing(tmp_path: Path) -> None:
    port = free_port()
    with (
        backends(2) as (one, two),
        Backend("taken") as taken,
        Proxy(tmp_path, config([one.address], servers=_servers(port))) as proxy,
    ):
        proxy.write(config([two.address], servers=_servers(port, taken.port)))
        status, text = proxy.post("/reload")
        assert status == 422
        assert str(taken.port) in text
        assert set(visit(proxy.address, 5)) == {"b0"}


def test_what_needs_a_restart_is_said_and_not_applied(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address])) as proxy:
        changed = config([backend.address], admin={"port": free_port()}, bufferSizeBytes=4096)
        proxy.write(changed)
        status, text = proxy.post("/reload")
        assert status == 200
        assert "bufferSizeBytes" in text
        assert "admin.port" in text
        assert proxy.get("/ready")[0] == 200


def test_hup_with_the_configuration_from_standard_input_changes_nothing_and_says_why(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address]), stdin=True) as proxy:
        proxy.signal(signal.SIGHUP)
        until("why is said", lambda: "standard input" in proxy.log)
        assert set(visit(proxy.address, 3)) == {"b"}


def test_a_reload_with_an_access_log_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    with backends(2) as (one, two), Proxy(tmp_path, config([one.address], servers=_servers(port))) as proxy:
        os.mkfifo(tmp_path / "access.fifo")  # nobody reads it: only opening it shows that it will not do
        wrong = {"path": "access.fifo", "format": "json"}
        more = _servers(port, other)
        proxy.write(config([two.address], servers=more, accessLog=wrong))
        status, text = proxy.post("/reload")
        assert status == 422
        assert "access.fifo" in text
        assert proxy.metric("l5d_config_last_reload_success") == 0
        assert set(visit(proxy.address, 5)) == {"b0"}
        assert len(proxy.closed(5)) == 5
        # The new listener is not left behind: the next reload can have it.
        proxy.write(config([two.address], servers=more))
        status, text = proxy.post("/reload")
        assert status == 200, text
        assert set(visit(("127.0.0.1", other), 5)) == {"b1"}


def test_no_line_is_lost_when_a_reload_names_another_access_log(tmp_path: Path) -> None:
    port = free_port()
    other = {"path": "other.log", "format": "json"}
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], servers=_servers(port))) as proxy:
        with Visits(proxy.address, 300) as visits:
            for log in (other, {"path": "access.log", "format": "json"}) * 3:
                proxy.write(config([backend.address], servers=_servers(port), accessLog=log))
                status, text = proxy.post("/reload")
                assert status == 200, text
                assert "accessLog" in text
                seen = visits.made
                until("more connections", lambda seen=seen: visits.made > seen + 30)

        def lines() -> int:
            return len(proxy.access_log()) + len(proxy.access_log("other.log"))

        until("a line for each", lambda: lines() == visits.made)
        assert proxy.metric("l5d_log_dropped_lines_total") == 0

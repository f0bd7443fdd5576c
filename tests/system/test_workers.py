"""Several processes that are one proxy: spread evenly, replaced when they die, stopped together."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pool import Pool

from tests.programs import program
from tests.system.fleet import (
    admin_pid,
    ask_itself,
    by_worker,
    children,
    listening,
    lives,
    pids,
    rows,
    serving,
    stopped,
)
from tests.system.harness import SERVING, Proxy, config, free_port, run, static, until
from tests.system.peers import Backend, Client, Held, backends, visit
from tests.system.servers import nginx


def of(number: int | str, endpoints: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A configuration with so many workers."""
    return config(endpoints, workers=number, **more)


def each_worker(address: tuple[str, int], proxy: Proxy, stack: contextlib.ExitStack) -> dict[int, Client]:
    """A connection to each worker."""
    found: dict[int, Client] = {}
    number = len(rows(proxy))
    while len(found) < number:
        client = Client(address)
        client.ask()
        source = "{}:{}".format(*client.sock.getsockname())
        (shown,) = proxy.get_json(f"/connections.json?state=open&source={source}")["connections"]
        worker = int(shown["id"].partition("-")[0])
        if worker in found:
            client.close()
        else:
            found[worker] = stack.enter_context(client)
    return found


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a name short enough for sockets, which pytest's own may be not."""
    with tempfile.TemporaryDirectory(prefix="l5d-") as folder:
        yield Path(folder)


# Start


def test_the_lines_of_the_start_are_printed_once_and_every_worker_serves(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy:
        assert len(SERVING.findall(proxy.log)) == 1
        assert proxy.log.count("admin on http://") == 1
        assert [(row["worker"], row["state"], row["restarts"]) for row in rows(proxy)] == [
            (0, "serving", 0),
            (1, "serving", 0),
        ]
        assert set(visit(proxy.address, 60)) == {"b"}
        until("a line for each", lambda: sum(by_worker(proxy).values()) == 60)
        assert set(by_worker(proxy)) == {"0", "1"}
        assert proxy.metric("l5d_srv_accepts_total") == 60


@pytest.mark.parametrize(("workers", "share"), [(2, 0.1), (4, 0.2)])
def test_connections_are_spread_evenly_over_workers(tmp_path: Path, workers: int, share: float) -> None:
    number = 4000  # a share that is off by chance so far is off by six standard deviations
    with Backend("b") as backend, Proxy(tmp_path, of(workers, [backend.address])) as proxy:
        address, pool = proxy.address, Pool(50)
        for _ in range(number):
            pool.spawn(visit, address)
        pool.join()
        until("a line for each", lambda: sum(by_worker(proxy).values()) == number)
        counted = by_worker(proxy)
        assert len(counted) == workers
        for each in counted.values():
            assert abs(each - number / workers) <= share * number / workers, counted


def test_auto_is_a_worker_for_each_cpu_it_may_run_on(tmp_path: Path) -> None:
    cpus = len(os.sched_getaffinity(0))
    with Backend("b") as backend, Proxy(tmp_path, of("auto", [backend.address])) as proxy:
        assert len(rows(proxy)) == cpus
        assert len(children(proxy.pid)) == (cpus + 1 if cpus > 1 else 0)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (2, 2)])
def test_a_second_instance_on_the_same_port_is_refused_and_names_it(tmp_path: Path, first: int, second: int) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with Backend("b") as backend, Proxy(tmp_path, of(first, [backend.address], server={"port": free_port()})) as proxy:
        with Proxy(other, of(second, [backend.address], server={"port": proxy.port()}), wait=False) as again:
            assert again.exit_status() == 1
            assert f"routers[0].servers[0].port: cannot listen on 127.0.0.1:{proxy.port()}" in again.log
        assert set(visit(proxy.address, 20)) == {"b"}


def test_what_a_worker_cannot_open_ends_the_start_with_1_and_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # nobody reads it: only opening it shows that it will not do
    conf = of(2, ["127.0.0.1:9"], accessLog={"path": "fifo", "format": "json"}, server={"port": free_port()})
    with Proxy(tmp_path, conf, wait=False, environment={"TMPDIR": str(temporary)}) as proxy:
        assert proxy.exit_status() == 1
        assert "fifo" in proxy.log
        assert "serving" not in proxy.log
    assert not listening(conf["routers"][0]["servers"][0]["port"])
    assert list(temporary.iterdir()) == []


def test_it_says_what_to_do_where_no_folder_for_its_sockets_can_be_made(tmp_path: Path) -> None:
    conf = of(2, ["127.0.0.1:9"])
    long = tmp_path / ("a" * 90)
    long.mkdir()
    with Proxy(tmp_path, conf, wait=False, environment={"TMPDIR": str(long)}) as proxy:
        assert proxy.exit_status() == 1
        assert "TMPDIR" in proxy.log
    assert list(long.iterdir()) == []


def test_the_supervisor_has_one_thread_and_no_loop(tmp_path: Path) -> None:
    conf = of(2)
    conf["namers"].append({"kind": "io.l5d.dns"})  # what it imports makes a loop
    conf["routers"][0]["dtab"] = "/svc => /#/io.l5d.fs"
    with Backend("b") as backend, Proxy(tmp_path, conf) as proxy:
        proxy.endpoints("default.yml", [backend.address])
        assert set(visit(proxy.address, 10)) == {"b"}
        killed = pids(proxy)[1]
        os.kill(killed, signal.SIGKILL)
        serving(proxy, 1, killed)
        conf["namers"].append({"kind": "io.l5d.namerd", "baseUrl": "http://127.0.0.1:1", "namespace": "x"})
        proxy.write(conf)
        assert proxy.post("/reload")[0] == 200
        killed = pids(proxy)[0]
        os.kill(killed, signal.SIGKILL)
        serving(proxy, 0, killed)
        assert os.listdir(f"/proc/{proxy.pid}/task") == [str(proxy.pid)]
        assert not [each for each in _descriptors(proxy.pid) if "eventpoll" in each or "inotify" in each]


def _descriptors(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{each}") for each in os.listdir(f"/proc/{pid}/fd")]


# Replacement


@pytest.mark.alone
def test_a_killed_worker_is_replaced_within_a_second_and_it_is_said(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy, contextlib.ExitStack() as stack:
        clients = each_worker(proxy.address, proxy, stack)
        killed, other = pids(proxy)
        began = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        new = serving(proxy, 0, killed)
        assert time.monotonic() - began < 1
        assert f"worker 0 (pid {killed}) was killed by SIGKILL: replaced by pid {new}" in proxy.log
        assert clients[0].ended()
        assert clients[1].ask() == "b"
        assert [(row["pid"], row["restarts"]) for row in rows(proxy)] == [(new, 1), (other, 0)]
        assert set(visit(proxy.address, 40)) == {"b"}


def test_who_waits_in_the_queue_of_a_killed_worker_is_served_by_its_replacement(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy, contextlib.ExitStack() as stack:
        killed = pids(proxy)[1]
        with stopped(killed):
            clients = [stack.enter_context(Client(proxy.address)) for _ in range(60)]
            os.kill(killed, signal.SIGKILL)
        assert [client.ask() for client in clients] == ["b"] * 60


@pytest.mark.alone
def test_a_killed_admin_process_is_replaced_and_no_connection_notices(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy, Held(proxy.address, 10):
        killed = admin_pid(proxy)
        workers = pids(proxy)
        began = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        assert proxy.get("/ping") == (200, "pong")
        assert time.monotonic() - began < 1
        assert f"the admin process (pid {killed}) was killed by SIGKILL: replaced by pid " in proxy.log
        assert pids(proxy) == workers
        assert proxy.get("/ready")[0] == 200


def test_a_worker_that_is_told_to_end_is_replaced_first_and_then_drains(tmp_path: Path) -> None:
    conf = of(2, [], admin={"graceSecs": 3})
    with Backend("b") as backend:
        conf["namers"][0]["services"]["default"] = [backend.address]
        with Proxy(tmp_path, conf) as proxy, contextlib.ExitStack() as stack:
            clients = each_worker(proxy.address, proxy, stack)
            left = pids(proxy)[0]
            with Held(proxy.address, 0):
                os.kill(left, signal.SIGTERM)
                serving(proxy, 0, left)
            assert f"worker 0 (pid {left}) was told to end: replaced by pid " in proxy.log
            for _ in range(20):
                assert [client.ask() for client in clients.values()] == ["b", "b"]
                assert lives(left)
                assert set(visit(proxy.address, 2)) == {"b"}
            # A second before the end of its grace its connections are ended at a quiet moment.
            assert clients[0].wait_for_end(5) == b""
            until("it has gone", lambda: not lives(left))
            assert clients[1].ask() == "b"


def test_a_worker_that_fails_again_and_again_is_replaced_more_and_more_slowly(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy:

        def kill_the_newest() -> bool:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids(proxy)[0] or proxy.process.pid + (1 << 22), signal.SIGKILL)
            return "worker 0 is replaced in 0." in proxy.log and "worker 0 is replaced in 1." in proxy.log

        until("it waits for more than a second", kill_the_newest)
        assert len(re.findall(r"worker 0 \(pid \d+\) was killed", proxy.log)) < 20
        until("it is there again", lambda: rows(proxy)[0]["state"] == "serving")
        assert set(visit(proxy.address, 20)) == {"b"}


def test_a_hundred_replacements_leave_nothing_behind_in_the_supervisor(tmp_path: Path) -> None:
    """Ten of them where the test is not to be thorough."""
    number = 100 if os.environ.get("LINKERD_TCP_TEST_DEEP") else 10
    with Backend("b") as backend, Proxy(tmp_path, of(4, [backend.address])) as proxy:
        before = sorted(_descriptors(proxy.pid))
        for turn in range(number):
            killed = pids(proxy)[turn % 4]
            os.kill(killed, signal.SIGKILL)
            serving(proxy, turn % 4, killed)
        kinds = [sorted(each.partition(":")[0] for each in found) for found in (before, _descriptors(proxy.pid))]
        assert kinds[0] == kinds[1]
        assert len(children(proxy.pid)) == 5


def test_drains_and_log_levels_reach_those_that_come_later(tmp_path: Path) -> None:
    with backends(2) as (one, two), Proxy(tmp_path, of(2, [one.address, two.address])) as proxy:
        assert set(visit(proxy.address, 30)) == {"b0", "b1"}
        bound = {"bound": "/#/io.l5d.static/default", "address": one.address}
        assert proxy.post("/endpoints/drain", {**bound, "address": "127.0.0.1:1"})[0] == 404
        assert proxy.post("/endpoints/drain", bound)[0] == 200
        assert proxy.post("/logging.json", {"logger": "linkerd_tcp", "level": "debug"})[0] == 200
        assert proxy.post("/logging.json", {"logger": "nobody", "level": "debug"})[0] == 404
        assert set(visit(proxy.address, 40)) == {"b1"}
        for number, pid in enumerate(pids(proxy)):
            os.kill(pid, signal.SIGKILL)
            serving(proxy, number, pid)
            levels = {it["logger"]: it["level"] for it in ask_itself(proxy, number, "/logging.json")}
            assert levels["linkerd_tcp"] == "debug"
        assert set(visit(proxy.address, 40)) == {"b1"}
        assert proxy.post("/endpoints/undrain", bound)[0] == 200
        assert set(visit(proxy.address, 60)) == {"b0", "b1"}


def test_a_level_for_a_time_ends_everywhere_also_in_a_process_that_came_meanwhile(tmp_path: Path) -> None:
    def levels() -> set[str]:
        asked = [ask_itself(proxy, number, "/logging.json") for number in range(2)]
        shown = [proxy.get_json("/logging.json"), *asked]
        return {it["level"] for each in shown for it in each if it["logger"] == "namers"}

    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy:
        assert proxy.post("/logging.json", {"logger": "namers", "level": "debug", "forSecs": 6})[0] == 200
        assert levels() == {"debug"}
        first = pids(proxy)[0]
        os.kill(first, signal.SIGKILL)
        serving(proxy, 0, first)
        assert levels() == {"debug"}
        until("the level of the start everywhere", lambda: levels() == {"info"})
        said = {(it["worker"], it["message"]) for it in proxy.get_json("/log.json")["lines"]}
        assert ("supervisor", "the level of namers was for a time, and is as before") in said


# Stop


@pytest.mark.parametrize("how", ["TERM", "INT", "/shutdown", "INT to all", "TERM to all"])
def test_all_workers_drain_and_it_exits_0_within_the_grace(tmp_path: Path, how: str) -> None:
    conf = of(2, [], admin={"graceSecs": 3})
    with Backend("b") as backend:
        conf["namers"][0]["services"]["default"] = [backend.address]
        with Proxy(tmp_path, conf, wrapper=["setsid"]) as proxy, contextlib.ExitStack() as stack:
            address, everyone = proxy.address, [proxy.pid, *children(proxy.pid)]
            clients = each_worker(address, proxy, stack)
            began = time.monotonic()
            if how == "/shutdown":
                assert proxy.post("/shutdown")[0] == 200
            elif how == "INT to all":
                os.killpg(proxy.pid, signal.SIGINT)
            elif how == "TERM to all":
                os.killpg(proxy.pid, signal.SIGTERM)
            else:
                proxy.signal(signal.Signals[f"SIG{how}"])
            until("no new connections", lambda: not listening(address[1]))
            assert proxy.get("/ready")[0] == 503
            assert [client.ask() for client in clients.values()] == ["b", "b"]
            for client in clients.values():
                assert client.wait_for_end(5) == b"", "FIN, not a reset"
            assert proxy.exit_status(10) == 0
            assert 1.5 <= time.monotonic() - began < 6
            assert not any(map(lives, everyone))
        assert [line["cause"] for line in proxy.access_log()].count("shutdown") == 2
        assert "replaced" not in proxy.log


def test_a_second_signal_kills_all_and_exits_1_at_once(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address], admin={"graceSecs": 60})) as proxy:
        address, everyone = proxy.address, children(proxy.pid)
        with Client(address) as client:
            client.ask()
            proxy.signal(signal.SIGTERM)
            until("it drains", lambda: not listening(address[1]))
            began = time.monotonic()
            proxy.signal(signal.SIGTERM)
            assert proxy.exit_status(5) == 1
            assert time.monotonic() - began < 1
        until("all have gone", lambda: not any(map(lives, everyone)), 1)


def test_abort_kills_all_and_exits_1_at_once(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy, Client(proxy.address) as client:
        client.ask()
        everyone = children(proxy.pid)
        assert proxy.post("/abort")[0] == 200
        assert proxy.exit_status(3) == 1
        until("all have gone", lambda: not any(map(lives, everyone)), 1)


def test_ready_says_503_for_the_drain_delay_while_connections_are_still_accepted(tmp_path: Path) -> None:
    admin = {"graceSecs": 5, "drainDelaySecs": 1}
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address], admin=admin)) as proxy:
        address, began = proxy.address, time.monotonic()
        proxy.signal(signal.SIGTERM)
        until("not ready", lambda: proxy.get("/ready")[0] == 503)
        assert set(visit(address, 10)) == {"b"}
        assert proxy.exit_status(10) == 0
        assert time.monotonic() - began >= 1


def test_a_worker_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address], admin={"graceSecs": 0})) as proxy:
        with stopped(pids(proxy)[1]):
            proxy.signal(signal.SIGTERM)
            assert proxy.exit_status(15) == 1
        assert "worker 1 " in proxy.log
        assert "did not end in time" in proxy.log


def test_without_its_supervisor_nothing_holds_the_port_after_the_grace(tmp_path: Path, temporary: Path) -> None:
    conf = of(2, [], admin={"graceSecs": 4})
    with Backend("b") as backend:
        conf["namers"][0]["services"]["default"] = [backend.address]
        with Proxy(tmp_path, conf, environment={"TMPDIR": str(temporary)}) as proxy, contextlib.ExitStack() as stack:
            clients = each_worker(proxy.address, proxy, stack)
            orphans, port = children(proxy.pid), proxy.port()
            proxy.signal(signal.SIGKILL)
            proxy.exit_status()
            until("nobody new is accepted", lambda: not listening(port))
            assert [client.ask() for client in clients.values()] == ["b", "b"]
            for client in clients.values():
                assert client.wait_for_end(5) == b""
            until("all have gone", lambda: not any(map(lives, orphans)), 5)
            assert list(temporary.iterdir()) == []


# Logs


def test_log_lines_say_which_process_they_are_of(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy:
        assert proxy.terminate() == 0
        assert re.search(r"INFO linkerd_tcp\.app \[worker 0\] stopping: ", proxy.log)
        assert re.search(r"INFO linkerd_tcp\.app \[worker 1\] stopping: ", proxy.log)
    with Backend("b") as backend:
        conf = of(2, [backend.address])
        with Proxy(tmp_path, conf, environment={"LINKERD_TCP_LOG_FORMAT": "json"}) as proxy:
            assert proxy.terminate() == 0
            assert '"worker":"1","message":"stopping: ' in proxy.log


def test_usr1_makes_every_worker_go_on_in_a_new_access_log(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy:
        visit(proxy.address, 20)
        until("a line for each", lambda: len(proxy.access_log()) == 20)
        (tmp_path / "access.log").rename(tmp_path / "old.log")
        proxy.signal(signal.SIGUSR1)
        until("a new one is there", (tmp_path / "access.log").exists)

        def in_both() -> bool:
            visit(proxy.address, 5)
            gevent.sleep(0.02)
            return set(by_worker(proxy)) == {"0", "1"}

        until("both write to it", in_both)


def test_lines_of_several_workers_do_not_mix_in_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    pieces: list[bytes] = []

    def read() -> None:
        gevent.socket.wait_read(reader)
        while piece := os.read(reader, 65536):
            pieces.append(piece)
            gevent.socket.wait_read(reader)

    reading = gevent.spawn(read)
    conf = {**of(2, [], accessLog={"path": "-", "format": "json"})}
    conf["routers"][0]["servers"][0]["port"] = port = free_port()
    with Backend("b") as backend:
        conf["namers"][0]["services"]["default"] = [backend.address]
        with Proxy(tmp_path, conf, output=writer, wait=False) as proxy:
            os.close(writer)
            until("it serves", lambda: b"admin on" in b"".join(pieces))
            pool = Pool(50)
            for _ in range(1000):
                pool.spawn(visit, ("127.0.0.1", port))
            pool.join()
            assert proxy.terminate() == 0
    reading.get(timeout=10)
    os.close(reader)
    lines = b"".join(pieces).decode().splitlines()
    assert len([line for line in lines if line.startswith('{"id":"') and line.endswith("}")]) == 1000
    assert all(re.match(r'\{"id":"|serving |admin |20', line) for line in lines)


# Reload


def test_a_hundred_reloads_under_new_connections_lose_none_and_each_is_in_effect_in_every_worker(
    tmp_path: Path,
) -> None:
    """Twenty of them where the test is not to be thorough."""
    wrk = program("wrk")
    reloads, least = (100, 1000) if os.environ.get("LINKERD_TCP_TEST_DEEP") else (20, 300)
    first, second = free_port(), free_port()

    def turn(number: int, ports: list[int]) -> dict[str, Any]:
        *many, one = ports
        weighted = [{"host": "127.0.0.1", "port": p, "weight": 1 + (number + at) % 3} for at, p in enumerate(many)]
        conf = of(
            2, servers=[{"port": p, "dstName": "/svc/web"} for p in ((first, second) if number % 2 else (first,))]
        )
        conf["namers"] = static({"many": weighted, "one": [f"127.0.0.1:{one}"]})
        conf["routers"][0]["dtab"] = f"/svc/web=>/#/io.l5d.static/{'one' if number % 4 < 2 else 'many'}"
        return conf

    with nginx(tmp_path, ("a", "b", "c")) as ports, Proxy(tmp_path, turn(0, ports)) as proxy:
        command = [wrk, "-t1", "-c20", "-d300", "-H", "Connection: close", f"http://127.0.0.1:{first}/"]
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            try:
                for number in range(1, reloads + 1):
                    conf = turn(number, ports)
                    proxy.write(conf)
                    status, text = proxy.post("/reload")
                    assert status == 200, text
                    for worker in range(2):
                        shown = ask_itself(proxy, worker, "/config.json")
                        at = {each["address"] for each in shown["listening"]}
                        assert at == {f"127.0.0.1:{each['port']}" for each in conf["routers"][0]["servers"]}
                        assert shown["routers"][0]["dtab"] == conf["routers"][0]["dtab"]
                        weights = [each["weight"] for each in shown["namers"][0]["services"]["many"]]
                        assert weights == [each["weight"] for each in conf["namers"][0]["services"]["many"]]
                    wanted = {"c"} if number % 4 < 2 else {"a", "b"}
                    assert {_page(port) for port in (first, second)[: 1 + number % 2] for _ in range(6)} <= wanted
                    assert listening(second) == (number % 2 == 1)
            finally:
                load.send_signal(signal.SIGINT)
                said = load.communicate(timeout=20)[0]
        secs = time.monotonic() - began
        assert "Socket errors" not in said, said
        assert "Non-2xx" not in said, said
        done = re.search(r"(\d+) requests in", said)
        assert done, said
        assert int(done[1]) > least * secs, said
        assert proxy.metric("l5d_srv_connect_failures_total") == 0
        assert proxy.metric("l5d_config_last_reload_success") == 1
        assert [row["restarts"] for row in rows(proxy)] == [0, 0]


def _page(port: int) -> str:
    """What a backend says of itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return str(answer.read().decode().strip())


def test_a_reload_that_one_worker_cannot_prepare_changes_nothing_in_any(tmp_path: Path) -> None:
    port, more = free_port(), free_port()
    with backends(2) as (one, two), Proxy(tmp_path, of(2, [one.address], server={"port": port})) as proxy:
        before = proxy.get_json("/config.json")
        with stopped(pids(proxy)[1]):
            servers = [{"port": each, "dstName": "/svc/default"} for each in (port, more)]
            proxy.write(of(2, [two.address], servers=servers))
            status, text = proxy.request("POST", "/reload", b"", secs=25)
            assert status == 422
            assert re.search(r"worker 1 \(pid \d+\) did not answer within 10 s", text)
            assert not listening(more)
        assert proxy.get_json("/config.json") == before
        assert set(visit(proxy.address, 40)) == {"b0"}
        assert proxy.metric("l5d_config_last_reload_success") == 0
        # It has heard of it by now, and nothing of it is left.
        status, text = proxy.post("/reload")
        assert status == 200, text
        assert set(visit(proxy.address, 40)) == {"b1"}
        assert set(visit(("127.0.0.1", more), 40)) == {"b1"}


def test_a_reload_with_an_access_log_that_cannot_be_opened_changes_nothing_in_any_worker(tmp_path: Path) -> None:
    port, more = free_port(), free_port()
    os.mkfifo(tmp_path / "fifo")
    with backends(2) as (one, two), Proxy(tmp_path, of(2, [one.address], server={"port": port})) as proxy:
        servers = [{"port": each, "dstName": "/svc/default"} for each in (port, more)]
        wrong = {"path": "fifo", "format": "json"}
        proxy.write(of(2, [two.address], servers=servers, accessLog=wrong))
        status, text = proxy.post("/reload")
        assert status == 422
        assert text.count("fifo") == 1
        assert not listening(more)
        assert set(visit(proxy.address, 40)) == {"b0"}


def test_a_worker_that_is_replaced_after_a_reload_has_its_configuration_and_listeners(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with backends(2) as (one, two), Proxy(tmp_path, of(2, [one.address], server={"port": first})) as proxy:
        servers = [{"port": each, "dstName": "/svc/default"} for each in (first, second)]
        proxy.write(of(2, [two.address], servers=servers))
        assert proxy.post("/reload")[0] == 200
        for number, pid in enumerate(pids(proxy)):
            os.kill(pid, signal.SIGKILL)
            serving(proxy, number, pid)
        for port in (first, second):
            assert set(visit(("127.0.0.1", port), 40)) == {"b1"}
        proxy.write(of(2, [two.address], server={"port": second}))
        assert proxy.post("/reload")[0] == 200
        assert not listening(first)
        assert set(visit(("127.0.0.1", second), 40)) == {"b1"}


def test_a_configuration_from_standard_input_is_served_and_hup_says_why_it_changes_nothing(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address]), stdin=True) as proxy:
        proxy.signal(signal.SIGHUP)
        until("why is said", lambda: "standard input" in proxy.log)
        assert set(visit(proxy.address, 10)) == {"b"}


def test_the_number_of_workers_is_for_the_next_start(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, of(2, [backend.address])) as proxy:
        proxy.write(of(3, [backend.address]))
        status, text = proxy.post("/reload")
        assert (status, text.count('"workers"')) == (200, 1)
        assert len(rows(proxy)) == 2


def test_a_taken_admin_port_ends_the_start_with_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "disco").mkdir()
        (tmp_path / "c.yml").write_text(
            f"workers: 2\nadmin: {{port: {port}}}\nrouters: [{{label: r, servers: [{{port: 0, dstName: /svc/a}}]}}]\n"
        )
        done = run(tmp_path, "c.yml")
    assert (done.returncode, f"admin.port: cannot listen on 127.0.0.1:{port}" in done.stderr) == (1, True)

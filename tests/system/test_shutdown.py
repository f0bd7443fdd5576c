"""The end: within the grace, with the right status, and nothing lost that need not be."""

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import Proxy, config, until
from tests.system.peers import Backend, Client, Held


def _refused(address: tuple[str, int]) -> bool:
    """Whether nobody listens there any more; looked at without a connection, which would be served."""
    local = f"0100007F:{address[1]:04X} 00000000:0000 0A"  # as the kernel writes 127.0.0.1 and LISTEN
    return local not in Path("/proc/net/tcp").read_text()


def test_term_with_nothing_open_exits_0_at_once(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address])) as proxy:
        began = time.monotonic()
        assert proxy.terminate() == 0
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("how", ["TERM", "INT", "/shutdown"])
def test_open_connections_go_on_until_the_grace_is_over_and_then_it_exits_0(tmp_path: Path, how: str) -> None:
    conf: dict[str, Any] = config(admin={"graceSecs": 3})
    with Backend("b") as backend, Proxy(tmp_path, conf, wait=False) as proxy:
        proxy.endpoints("default.yml", [backend.address])
        proxy.wait_until_serving()
        address = proxy.address
        with Client(address) as busy, Client(address) as quiet:
            busy.ask()
            quiet.ask()
            began = time.monotonic()
            if how == "/shutdown":
                assert proxy.post("/shutdown")[0] == 200
            else:
                proxy.signal(signal.Signals[f"SIG{how}"])
            until("no new connections", lambda: _refused(address))
            assert proxy.get("/ready")[0] == 503
            while time.monotonic() - began < 1.5:
                busy.ask()
                time.sleep(0.02)
            # A second before the end of the grace quiet ones are ended with FIN, not with a reset.
            assert quiet.wait_for_end(5) == b""
            assert proxy.exit_status(10) == 0
            assert 2 <= time.monotonic() - began < 6
        causes = {line["cause"] for line in proxy.access_log()}
        assert causes == {"shutdown"}


def test_an_open_connection_that_never_rests_is_cut_at_the_grace(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], admin={"graceSecs": 2})) as proxy:
        held = Held(proxy.address, 5, pause_secs=0.005)
        with held:
            began = time.monotonic()
            assert proxy.terminate() == 0
            assert 1 <= time.monotonic() - began < 5
            until("all five are cut", lambda: len(held.failures) == 5)
            held.failures.clear()
        assert [line["cause"] for line in proxy.access_log()] == ["shutdown"] * 5


def test_the_grace_can_be_named_in_the_request(tmp_path: Path) -> None:
    with (
        Backend("b") as backend,
        Proxy(tmp_path, config([backend.address], admin={"graceSecs": 600})) as proxy,
        Client(proxy.address) as client,
    ):
        client.ask()
        began = time.monotonic()
        assert proxy.post("/shutdown?graceSecs=1")[0] == 200
        assert proxy.exit_status(10) == 0
        assert time.monotonic() - began < 5


def test_it_ends_as_soon_as_the_last_connection_has(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], admin={"graceSecs": 60})) as proxy:
        address = proxy.address
        with Client(address) as client:
            client.ask()
            proxy.signal(signal.SIGTERM)
            until("no new connections", lambda: _refused(address))
            client.ask()
        assert proxy.exit_status(5) == 0
        assert [line["cause"] for line in proxy.access_log()] == ["client_closed"]


def test_what_waits_in_the_queue_at_the_end_is_served(tmp_path: Path) -> None:
    conf = config(server={"maxConcurrency": 1})
    with Backend("b") as backend, Proxy(tmp_path, conf, wait=False) as proxy:
        proxy.endpoints("default.yml", [backend.address])
        proxy.wait_until_serving()
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(Client(proxy.address))
            first.ask()
            # The listener pauses at its limit: these are in its queue, and would be reset with it.
            clients = [stack.enter_context(Client(proxy.address)) for _ in range(50)]
            assert proxy.metric("l5d_srv_accepts_total") == 1
            proxy.signal(signal.SIGTERM)
            assert [client.ask() for client in [first, *clients]] == ["b"] * 51
        assert proxy.exit_status(10) == 0
        assert [line["cause"] for line in proxy.access_log()] == ["client_closed"] * 51


def test_a_second_signal_exits_1_at_once(tmp_path: Path) -> None:
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], admin={"graceSecs": 60})) as proxy:
        address = proxy.address
        with Client(address) as client:
            client.ask()
            proxy.signal(signal.SIGTERM)
            until("it drains", lambda: _refused(address))
            began = time.monotonic()
            proxy.signal(signal.SIGTERM)
            assert proxy.exit_status(5) == 1
            assert time.monotonic() - began < 2


def test_abort_exits_1_at_once(tmp_path: Path) -> None:
    with (
        Backend("b") as backend,
        Proxy(tmp_path, config([backend.address], admin={"graceSecs": 60})) as proxy,
        Client(proxy.address) as client,
    ):
        client.ask()
        assert proxy.post("/abort")[0] == 200
        assert proxy.exit_status(3) == 1


def test_ready_says_503_for_the_drain_delay_while_connections_are_still_accepted(tmp_path: Path) -> None:
    admin = {"graceSecs": 5, "drainDelaySecs": 1}
    with Backend("b") as backend, Proxy(tmp_path, config([backend.address], admin=admin)) as proxy:
        address = proxy.address
        began = time.monotonic()
        proxy.signal(signal.SIGTERM)
        until("not ready", lambda: proxy.get("/ready")[0] == 503)
        with Client(address) as client:
            assert client.ask() == "b"
        assert proxy.exit_status(10) == 0
        assert time.monotonic() - began >= 1

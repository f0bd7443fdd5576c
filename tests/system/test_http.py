"""nginx behind the proxy, curl and h2load in front of it."""

import re
import subprocess
from collections import Counter
from pathlib import Path

from tests.programs import program
from tests.system.harness import Proxy, config
from tests.system.servers import nginx


def test_curl_gets_each_backend_by_its_weight(tmp_path: Path) -> None:
    curl = program("curl")
    with nginx(tmp_path, ("one", "half", "none")) as ports:
        weights = (1.0, 0.5, 0.0)
        hosts = [
            {"host": "127.0.0.1", "port": port, "weight": weight} for port, weight in zip(ports, weights, strict=True)
        ]
        with Proxy(tmp_path, config(hosts)) as proxy:
            url = f"http://127.0.0.1:{proxy.port()}/"
            command = [curl, "-sS", "--fail", "-H", "Connection: close", *[url] * 600]
            answered = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
            shares = Counter(answered.stdout.split())
            assert sum(shares.values()) == 600
            assert shares["none"] == 0
            # 400 expected; five standard deviations of a fair draw, and the 5 points that are promised.
            assert 400 - 30 - 58 < shares["one"] < 400 + 30 + 58
            logged = Counter(line["endpoint"] for line in proxy.closed(600))
            assert logged == {f"127.0.0.1:{ports[0]}": shares["one"], f"127.0.0.1:{ports[1]}": shares["half"]}


def test_h2load_keeps_alive_and_no_request_fails(tmp_path: Path) -> None:
    h2load = program("h2load")
    with nginx(tmp_path, ("a", "b", "c")) as ports, Proxy(tmp_path, config([f"127.0.0.1:{p}" for p in ports])) as proxy:
        command = [h2load, "--h1", "-c", "50", "-n", "40000", f"http://127.0.0.1:{proxy.port()}/"]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        outcome = re.search(r"requests: .*?(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
        assert outcome, said
        assert [int(number) for number in outcome.groups()] == [40000, 0, 0, 0], said
        lines = proxy.closed(50)
        assert len(lines) == 50
        assert {line["cause"] for line in lines} <= {"client_closed", "endpoint_closed"}
        # What the records counted is what the metrics say.
        assert proxy.metric("l5d_srv_stream_rx_bytes_total") == sum(line["rxBytes"] for line in lines)
        assert proxy.metric("l5d_srv_stream_tx_bytes_total") == sum(line["txBytes"] for line in lines)
        assert proxy.metric("l5d_srv_active") == 0


def test_a_new_connection_for_each_request_fails_none(tmp_path: Path) -> None:
    wrk = program("wrk")
    with nginx(tmp_path, ("a", "b", "c")) as ports, Proxy(tmp_path, config([f"127.0.0.1:{p}" for p in ports])) as proxy:
        command = [wrk, "-t1", "-c20", "-d3", "-H", "Connection: close", f"http://127.0.0.1:{proxy.port()}/"]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        assert "Socket errors" not in said, said
        assert "Non-2xx" not in said, said
        done = re.search(r"(\d+) requests in", said)
        assert done, said
        assert int(done[1]) > 1000, said
        assert proxy.metric("l5d_srv_connect_failures_total") == 0
        assert proxy.metric("l5d_balancer_connect_failures_total") == 0

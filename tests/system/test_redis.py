"""redis-server behind the proxy, redis-benchmark in front of it."""

import subprocess
from pathlib import Path

from tests.programs import program
from tests.system.harness import Proxy, config
from tests.system.servers import redis


def test_redis_benchmark_runs_pipelined_and_with_large_values(tmp_path: Path) -> None:
    benchmark, cli = program("redis-benchmark"), program("redis-cli")
    with redis(tmp_path) as port, Proxy(tmp_path, config([f"127.0.0.1:{port}"])) as proxy:
        at_proxy = ["-h", "127.0.0.1", "-p", str(proxy.port())]
        for extra in (["-c", "50"], ["-c", "20", "-P", "32"], ["-c", "10", "-d", "100000", "-n", "2000"]):
            command = [benchmark, *at_proxy, "-n", "20000", "-t", "set,get", "-q", *extra]
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "rror" not in done.stdout + done.stderr, done.stdout + done.stderr
        value = "x" * 1_000_000
        subprocess.run([cli, *at_proxy, "-x", "set", "big"], input=value, text=True, check=True, timeout=20)
        got = subprocess.run([cli, *at_proxy, "get", "big"], capture_output=True, text=True, check=True, timeout=20)
        assert got.stdout.rstrip("\n") == value
        assert {line["cause"] for line in proxy.closed(82)} <= {"client_closed", "endpoint_closed"}

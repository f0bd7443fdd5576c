"""PostgreSQL behind the proxy; psql and pgbench in front of it."""

import contextlib
import hashlib
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.programs import program
from tests.system.harness import Proxy, config, until
from tests.system.servers import Cluster, end_group, postgres_at, psql
from tests.tls_files import Authority

ROWS = 300_000


def test_copy_brings_a_table_through_unchanged_both_ways(tmp_path: Path, cluster: Cluster) -> None:
    dice = random.Random(1)
    sent = "".join(f"{number}\t{dice.getrandbits(200):050x}\n" for number in range(ROWS))
    (tmp_path / "in").write_text(sent)
    with cluster.run() as (port, _), Proxy(tmp_path, config([f"127.0.0.1:{port}"])) as proxy:
        psql(
            proxy.port(),
            *("-c", "create temp table sheet (id int, text text)"),
            *("-c", f"\\copy sheet from '{tmp_path}/in'"),
            *("-c", f"\\copy (select * from sheet order by id) to '{tmp_path}/out'"),
        )
        assert _digest(tmp_path / "out") == _digest(tmp_path / "in")
        [line] = proxy.closed(1)
        assert min(line["rxBytes"], line["txBytes"]) > len(sent)


@pytest.mark.parametrize("mode", ["verify-full", "require"])
def test_libpq_reaches_its_database_by_name_through_tls_that_passes_through(
    tmp_path: Path, cluster: Cluster, mode: str
) -> None:
    authority = Authority(tmp_path / "ca")
    with contextlib.ExitStack() as stack:
        services = []
        first = {"verify-full": 10, "require": 20}[mode]
        for number, name in enumerate(("one.db.example", "two.db.example"), first):
            key, cert = authority.sign(name)
            data = cluster.copy(number)
            tls = {
                "ssl": "on",
                "ssl_key_file": cluster.install(key, "server.key", data),
                "ssl_cert_file": cluster.install(cert, "server.crt", data),
            }
            port, _ = stack.enter_context(cluster.run(data, **tls))
            services.append(f"{name}: ['127.0.0.1:{port}']")
        conf = f"""
admin: {{port: 0}}
accessLog: {{path: access.log}}
namers: [{{kind: io.l5d.static, services: {{{", ".join(services)}}}}}]
routers:
- label: default
  servers: [{{port: 0, identifier: {{kind: io.l5d.sni, startTls: postgres}}}}]
"""
        proxy = stack.enter_context(Proxy(tmp_path, conf))
        for name in ("one.db.example", "two.db.example"):
            target = (
                f"host={name} hostaddr=127.0.0.1 port={proxy.port()} user=postgres dbname=postgres "
                f"sslmode={mode} sslrootcert={authority.cert}"
            )
            asked = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
            done = subprocess.run(
                [program("psql"), "-X", "-At", "-c", asked, target], capture_output=True, text=True, timeout=30
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("t|TLSv1."), done.stdout
        assert {line["path"] for line in proxy.closed(2)} == {"/svc/one.db.example", "/svc/two.db.example"}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_killing_one_of_three_refuses_none_of_the_connections_made_after_it(tmp_path: Path, cluster: Cluster) -> None:
    pgbench = program("pgbench")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(cluster.run(cluster.copy(number))) for number in range(3)]
        proxy = stack.enter_context(Proxy(tmp_path, config([f"127.0.0.1:{port}" for port, _ in servers])))
        command = [pgbench, "-n", "-S", "-C", "-c", "8", "-j", "2", "-T", "15", *postgres_at(proxy.port())]
        bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            until("it is under way", lambda: bench.poll() is not None or len(proxy.access_log()) >= 300)
            assert bench.poll() is None, bench.communicate()[0]
            port, victim = servers[1]
            end_group(victim, signal.SIGKILL)
            killed_at = time.time()
            said, _ = bench.communicate(timeout=60)
        finally:
            bench.kill()
            bench.wait()
        after = [line for line in proxy.access_log() if line["acceptedAt"] > killed_at]
        assert len(after) >= 1000, said
        not_served = [line for line in after if line["endpoint"] is None or line["cause"] in ("refused", "no_endpoint")]
        assert not not_served, not_served[:3]
        assert {line["cause"] for line in after} <= {"client_closed", "endpoint_closed"}, said
        # It was tried a few times, refused, and left alone for the penalty.
        killed = f"127.0.0.1:{port}"
        assert all(line["endpoint"] != killed for line in after)
        refused = [a for line in proxy.access_log() for a in line["attempts"] if a["endpoint"] == killed and a["error"]]
        assert 1 <= len(refused) <= len(after) / 100
        until("the endpoint counts as failed", lambda: proxy.endpoint_states()[killed]["state"] == "failed")

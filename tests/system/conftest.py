"""Servers that are slow to make are made once."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import no_leaks
from tests.programs import program
from tests.system.servers import Cluster, postgres_at, postgres_program

assert no_leaks


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """The clients and backends in the test end with it."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A stopped PostgreSQL with pgbench's tables in it."""
    for name in ("initdb", "postgres"):
        postgres_program(name)
    pgbench = program("pgbench")
    # Not in pytest's own folder, which is closed to the server's user, and anew with each run of pytest.
    with tempfile.TemporaryDirectory(prefix="linkerd-tcp-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Cluster(Path(folder) / "cluster")
        with made.run() as (port, _):
            subprocess.run([pgbench, "-i", "-q", *postgres_at(port)], check=True, capture_output=True, timeout=60)
        yield made

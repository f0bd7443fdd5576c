"""Servers that are slow to make are made once."""

import subprocess

import pytest

from tests.leaks import no_leaks
from tests.programs import program
from tests.system.servers import Cluster, postgres_at, postgres_program

assert no_leaks


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """The clients and backends in the test end with it."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A stopped PostgreSQL with pgbench's tables in it."""
    for name in ("initdb", "postgres"):
        postgres_program(name)
    pgbench = program("pgbench")
    made = Cluster(tmp_path_factory.mktemp("postgres") / "cluster")
    with made.run() as (port, _):
        subprocess.run([pgbench, "-i", "-q", *postgres_at(port)], check=True, capture_output=True, timeout=60)
    return made

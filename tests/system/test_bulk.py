"""A gigabyte each way, by checksum."""

import hashlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import program
from tests.system.harness import Proxy, config
from tests.system.servers import nginx

MIB = 1024 * 1024
SIZE = 1024 * MIB


@pytest.fixture
def gigabyte(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file of 1 GiB in which no two MiB are the same, and its SHA-256; removed at the end."""
    noise = random.Random(2).randbytes(2 * MIB)
    digest = hashlib.sha256()
    path = tmp_path / "gigabyte"
    with path.open("wb") as file:
        for number in range(SIZE // MIB):
            piece = noise[number * 1021 : number * 1021 + MIB - 8] + number.to_bytes(8)
            file.write(piece)
            digest.update(piece)
    yield path, digest.hexdigest()
    path.unlink()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.alone
def test_a_gigabyte_arrives_whole_each_way(tmp_path: Path, gigabyte: tuple[Path, str]) -> None:
    path, digest = gigabyte
    curl = program("curl")
    with nginx(tmp_path) as [port], Proxy(tmp_path, config([f"127.0.0.1:{port}"])) as proxy:
        url = f"http://127.0.0.1:{proxy.port()}/gigabyte"
        subprocess.run([curl, "-sS", "--fail", "-T", str(path), url], check=True, timeout=60)
        arrived = tmp_path / "nginx/files/gigabyte"
        assert _digest(arrived) == digest
        path.write_bytes(b"")
        subprocess.run([curl, "-sS", "--fail", "-o", str(path), url], check=True, timeout=60)
        arrived.unlink()
        assert _digest(path) == digest
        up, down = proxy.closed(2)
        assert up["rxBytes"] > SIZE
        assert down["txBytes"] > SIZE
        assert {up["cause"], down["cause"]} <= {"client_closed", "endpoint_closed"}

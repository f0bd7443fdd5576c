"""The files on the page about the API do what the page says."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.system.harness import Proxy, free_port, until
from tests.system.peers import backends, visit

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "namerd-api.md").read_text()
FILES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PUT = re.search(r"--data '([^']*)'", PAGE)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def test_one_control_plane_and_two_data_planes(stack: ExitStack, tmp_path: Path) -> None:
    assert len(FILES) == 3
    assert PUT is not None
    default, canary = stack.enter_context(backends(2))
    port = free_port()
    planes = []
    for number, text in enumerate(FILES):
        text = text.replace("namerd:\n", f"namerd:\n  port: {port}\n").replace("4180", str(port))
        text = re.sub(r"port: (74\d\d|999\d)", "port: 0", text)
        folder = tmp_path / str(number)
        folder.mkdir()
        proxy = Proxy(folder, text if "admin:" in text else "admin: {port: 0}\n" + text)
        proxy.endpoints("default.yml", [default.address])
        proxy.endpoints("canary.yml", [canary.address])
        planes.append(stack.enter_context(proxy))
    addresses = [("127.0.0.1", plane.port(label)) for plane, label in zip(planes, ("own", "web", "web"), strict=True)]
    for address in addresses:
        assert visit(address, 100)["b0"] > 70
    session = stack.enter_context(requests.Session())
    session.trust_env = False
    url = f"http://127.0.0.1:{port}/api/1/dtabs/default"
    etag = session.get(url, timeout=5).headers["ETag"]
    headers = {"Content-Type": "application/dtab", "If-Match": etag}
    assert session.put(url, data=PUT[1], headers=headers, timeout=5).status_code == 204
    for address in addresses:
        until("only the canary", lambda address=address: set(visit(address, 20)) == {"b1"})

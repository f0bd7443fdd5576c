"""The backends of the demo, the files that name them, and when they end."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import yaml

from linkerd_tcp.backends import ExampleBackend
from linkerd_tcp.config.load import load_config, missing_files, not_built, warnings
from linkerd_tcp.demo import cast
from linkerd_tcp.demo.stage import PENALTY_SECS
from linkerd_tcp.explain import check_namers
from linkerd_tcp.testing import eventually
from tests.leaks import no_leaks
from tests.rig import Endpoint

assert no_leaks


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    pass


def test_its_configuration_and_endpoint_files_pass_every_check(tmp_path: Path) -> None:
    cast.write(tmp_path, 1001, 1002, 1003)
    config = load_config(str(tmp_path / "demo.yml"))
    assert missing_files(config) + not_built(config) + warnings(config) + check_namers(config) == []
    assert yaml.safe_load((tmp_path / "disco/web.yml").read_text()) == [f"127.0.0.1:{1000 + n}" for n in (1, 2, 3)]
    assert config.routers[0].client.fail_fast.failure_penalty_secs == PENALTY_SECS


def test_the_line_that_is_to_be_tried_is_one_that_works(tmp_path: Path) -> None:
    cast.write(tmp_path, 1001, 1002, 1003)
    web = tmp_path / "disco/web.yml"
    web.write_text(web.read_text().replace("# - {", "- {"))
    assert yaml.safe_load(web.read_text())[0] == {"host": "127.0.0.1", "port": 1001, "weight": 0.5}
    assert check_namers(load_config(str(tmp_path / "demo.yml"))) == []


def test_admin_has_its_usual_port_unless_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not cast._is_free(port)
    assert cast._is_free(port)
    for free, expected in ((True, 9989), (False, 0)):
        monkeypatch.setattr(cast, "_is_free", lambda _, free=free: free)
        folder = tmp_path / str(free)
        folder.mkdir()
        cast.write(folder, 1, 2, 3)
        assert load_config(str(folder / "demo.yml")).admin.port == expected


def test_the_flaky_backend_refuses_for_a_while_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_SECS", "DOWN_SECS", "UP_SECS"):
        monkeypatch.setattr(cast, name, 0.05)
    backend = ExampleBackend(0)
    backend.start()
    address = ("127.0.0.1", backend.port)

    def refuses() -> bool:
        try:
            socket.create_connection(address, 5).close()
        except ConnectionRefusedError:
            return True
        return False

    assert not refuses()
    failing = gevent.spawn(cast.fail_now_and_then, backend)
    for _ in range(2):
        eventually(refuses)
        eventually(lambda: not refuses())
    failing.kill()
    backend.close()


class Played:
    """`play` in a greenlet, by its two pipes."""

    def __init__(self) -> None:
        there, self.orders = os.pipe()
        self._answers, back = os.pipe()
        self._ends = [there, back, self._answers]
        self.greenlet = gevent.spawn(cast.play, there, back)

    def said(self) -> dict[str, object]:
        os.set_blocking(self._answers, False)
        found = b""

        def line() -> bytes:
            nonlocal found
            with contextlib.suppress(BlockingIOError):
                found += os.read(self._answers, 65536)
            return found

        eventually(lambda: line().endswith(b"\n"))
        answer: dict[str, object] = json.loads(found)
        return answer

    def ended(self) -> int:
        """Its exit status. gevent's os.close closes at a later turn of the loop, so that it has to turn."""
        eventually(self.greenlet.ready)
        return int(self.greenlet.get())

    def close(self) -> None:
        for descriptor in self._ends:
            os.close(descriptor)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    monkeypatch.setattr(cast.gevent, "signal_handler", lambda *_: None)
    playing = Played()
    yield playing
    playing.close()


def test_at_the_end_of_its_orders_it_ends_and_leaves_nothing(played: Played) -> None:
    said = played.said()
    folder, ports = Path(str(said["folder"])), said["ports"]
    assert isinstance(ports, list)
    assert (folder / "demo.yml").exists()
    shop = Endpoint()
    where = {"shop": ["127.0.0.1", shop.port], "lost": ["127.0.0.1", 1]}
    os.write(played.orders, json.dumps(where).encode() + b"\n")
    eventually(lambda: shop.accepts > 0)
    os.close(played.orders)
    assert played.ended() == 0
    shop.close()
    assert not folder.exists()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_orders_that_end_before_they_began_are_an_end_too(played: Played) -> None:
    folder = Path(str(played.said()["folder"]))
    os.close(played.orders)
    assert played.ended() == 0
    assert not folder.exists()


def test_what_cannot_be_made_is_said(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cast.tempfile, "tempdir", "/nowhere")
    assert "/nowhere" in str(played.said()["error"])
    assert played.ended() == 1
    os.close(played.orders)

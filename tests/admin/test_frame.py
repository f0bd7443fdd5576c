"""What the pages' figures come from is what the program's own objects say."""

import json
import socket
from collections.abc import Iterator
from typing import get_type_hints

import pytest

from linkerd_tcp.admin.frame import read_frame
from linkerd_tcp.dashboard import frame as shapes
from tests.admin.fake import FakeApp
from tests.rig import Endpoint
from tests.sockets import eventually


@pytest.fixture
def client(app: FakeApp) -> Iterator[socket.socket]:
    with app.connect() as connected:
        yield connected


def keys(shape: type) -> set[str]:
    return set(get_type_hints(shape))


def test_a_frame_has_the_shape_that_pages_are_made_for(app: FakeApp, client: socket.socket) -> None:
    frame = json.loads(json.dumps(read_frame(app)))
    (router,) = frame["routers"]
    (server,) = router["servers"]
    (destination,) = router["destinations"]
    (namer,) = frame["namers"]
    (watch,) = namer["watches"]
    (worker,) = frame["workers"]
    assert set(frame) == keys(shapes.Frame)
    assert set(frame["reload"]) == keys(shapes.Reload)
    assert set(frame["history"]) == keys(shapes.History)
    assert set(frame["history"]["total"]) == keys(shapes.Series)
    assert (set(router), set(server)) == (keys(shapes.Router), keys(shapes.Server))
    assert set(destination) == keys(shapes.Destination)
    assert [set(each) for each in destination["endpoints"]] == [keys(shapes.Endpoint)] * 2
    assert (set(namer), set(watch), set(worker)) == (keys(shapes.Namer), keys(shapes.Watch), keys(shapes.Worker))


def test_an_open_connection_is_counted_where_it_is(
    app: FakeApp, client: socket.socket, endpoints: list[Endpoint]
) -> None:
    client.sendall(b"0123456789")
    assert client.recv(10) == b"0123456789"
    frame = read_frame(app)
    (router,) = frame["routers"]
    (server,) = router["servers"]
    (destination,) = router["destinations"]
    assert (server["address"], server["names"], server["active"], server["accepts"]) == (
        app.servers[0].label, "/svc/web", 1, 1,
    )  # fmt: skip
    assert (destination["bound"], destination["paths"]) == ("/#/io.l5d.static/web", ["/svc/web"])
    assert (destination["available"], destination["open"], destination["connects"]) == (2, 1, 1)
    assert sum(destination["latency"]) == sum(server["latency"]) == 1
    assert [each["address"] for each in destination["endpoints"]] == [f"127.0.0.1:{each.port}" for each in endpoints]
    used = [each for each in destination["endpoints"] if each["open"]]
    assert [(each["rxBytes"], each["txBytes"]) for each in (server, destination, *used)] == [(10, 10)] * 3


def test_bytes_stay_counted_when_connections_end_and_endpoints_go(app: FakeApp, client: socket.socket) -> None:
    client.sendall(b"0123456789")
    assert client.recv(10) == b"0123456789"
    client.close()
    eventually(lambda: not app.book.open)
    (destination,) = read_frame(app)["routers"][0]["destinations"]
    assert (destination["open"], destination["rxBytes"], destination["txBytes"]) == (0, 10, 10)
    assert sorted(each["rxBytes"] for each in destination["endpoints"]) == [0, 10]

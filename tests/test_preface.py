"""Who is really calling: PROXY headers from trusted networks, and who may call at all."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import gevent
import pytest

from linkerd_tcp.config.server import ServerConfig
from linkerd_tcp.errors import Cause
from linkerd_tcp.record import Record, as_json
from linkerd_tcp.wire.proxy_protocol import Authority, UniqueId, build_local, build_v1, build_v2
from tests.leaks import no_leaks
from tests.rig import Endpoint, Rig, addresses
from tests.sockets import read_all

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

FAR, HERE = ("192.0.2.7", 4711), ("192.0.2.1", 443)
LOOPBACK = {"trusted": ["127.0.0.0/8"]}

Make = Callable[..., Rig]


@pytest.fixture
def make(no_leaks: None) -> Iterator[Make]:
    endpoint = Endpoint()
    made: list[Rig] = []

    def rig(**server: object) -> Rig:
        model = ServerConfig.model_validate({"port": 1, "dstName": "/svc/web", **server})
        said = {key: getattr(model, key) for key in model.model_fields_set if key not in ("port", "dst_name")}
        made.append(Rig(addresses(endpoint.port), server=said))
        return made[-1]

    yield rig
    for each in made:
        each.close()
    endpoint.close()


def exchange(rig: Rig, *parts: bytes, reply: bytes) -> Record:
    """Send `parts` one by one; the reply has to be `reply`."""
    with rig.connect() as client:
        for part in parts:
            client.sendall(part)
            gevent.sleep(0.005)
        got = b""
        while len(got) < len(reply):
            got += client.recv(4096)
        assert got == reply
    return rig.ended(len(rig.book.closed) + 1 if rig.book.open else 1)


def refused(rig: Rig, *parts: bytes) -> Record:
    with rig.connect() as client:
        for part in parts:
            client.sendall(part)
            gevent.sleep(0.005)
        with suppress(ConnectionResetError):  # where what it sent was not read
            assert read_all(client) == b""
    return rig.ended()


@pytest.mark.parametrize("header", [build_v1(FAR, HERE), build_v2(FAR, HERE)], ids=["v1", "v2"])
def test_the_client_of_a_trusted_proxy_is_the_one_it_names(make: Make, header: bytes) -> None:
    record = exchange(make(proxyProtocol=LOOPBACK), header + b"hello", reply=b"hello")
    assert as_json(record)["source"] == "192.0.2.7:4711"
    assert record.bytes_so_far() == (5, 5), "the header is nobody's payload"


def test_a_header_split_anywhere_is_tolerated(make: Make) -> None:
    rig = make(proxyProtocol=LOOPBACK)
    header = build_v2(FAR, HERE, [Authority("db.example")])
    for cut in range(1, len(header), 5):
        seen = len(rig.book.closed)
        with rig.connect() as client:
            client.sendall(header[:cut])
            gevent.sleep(0.001)
            client.sendall(header[cut:] + b"x")
            assert client.recv(1) == b"x"
        assert rig.ended(seen + 1).source == FAR


def test_what_came_first_is_a_step_of_the_story_and_a_rule_alone_is_none(make: Make) -> None:
    record = exchange(make(proxyProtocol=LOOPBACK), build_v1(FAR, HERE) + b"x", reply=b"x")
    assert [what for _, what in record.steps] == ["accepted", "PROXY header", "connected"]
    record = exchange(make(deny=["192.0.2.0/24"]), b"x", reply=b"x")
    assert [what for _, what in record.steps] == ["accepted", "connected"]


def test_tlvs_are_in_the_record(make: Make) -> None:
    header = build_v2(FAR, HERE, [Authority("db.example"), UniqueId(b"\x01\x02")])
    shape = as_json(exchange(make(proxyProtocol=LOOPBACK), header + b"x", reply=b"x"))
    assert shape["proxyHeader"] == {"version": 2, "command": "proxy", "authority": "db.example", "uniqueId": "0102"}


@pytest.mark.parametrize("header", [build_local(), b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ::1 ::1 1 2\r\n"])
def test_a_proxys_own_connection_keeps_the_real_address(make: Make, header: bytes) -> None:
    record = exchange(make(proxyProtocol=LOOPBACK), header + b"x", reply=b"x")
    assert record.source[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n",
        b"PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
        build_v2(FAR, HERE)[:-1] + b"\x00",
    ],
    ids=["none", "leading zero", "port 65536", "mixed families", "bad checksum"],
)
def test_what_is_no_header_ends_the_connection(make: Make, sent: bytes) -> None:
    record = refused(make(proxyProtocol=LOOPBACK), sent)
    assert record.cause is Cause.PROXY_PROTOCOL
    assert record.detail is not None
    assert "PROXY header: byte " in record.detail


def test_a_header_that_does_not_come_ends_at_the_deadline(make: Make) -> None:
    record = refused(make(proxyProtocol=LOOPBACK, detectTimeoutMs=100), build_v1(FAR, HERE)[:10])
    assert record.cause is Cause.PROXY_PROTOCOL
    assert record.detail is not None
    assert "after 10 bytes of a PROXY header" in record.detail


def test_an_untrusted_source_is_closed_where_a_header_is_required(make: Make) -> None:
    record = refused(make(proxyProtocol={"trusted": ["10.0.0.0/8"]}), build_v1(FAR, HERE))
    assert record.cause is Cause.PROXY_PROTOCOL
    assert record.detail is not None
    assert "in none of proxyProtocol.trusted" in record.detail


def test_where_it_is_optional_an_untrusted_sources_bytes_are_payload(make: Make) -> None:
    header = build_v1(FAR, HERE)
    rig = make(proxyProtocol={"trusted": ["10.0.0.0/8"], "mode": "optional"})
    assert exchange(rig, header, reply=header).source[0] == "127.0.0.1"


@pytest.mark.parametrize("payload", [b"PING\r\n", b"\x16\x03\x01", b"\r\n\r\nx", b"POST / HTTP/1.1\r\n"])
def test_where_it_is_optional_a_trusted_source_may_send_none(make: Make, payload: bytes) -> None:
    rig = make(proxyProtocol={**LOOPBACK, "mode": "optional"})
    assert exchange(rig, payload, reply=payload).source[0] == "127.0.0.1"


def test_where_it_is_optional_a_bad_header_is_still_no_payload(make: Make) -> None:
    rig = make(proxyProtocol={**LOOPBACK, "mode": "optional"})
    assert refused(rig, b"PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n").cause is Cause.PROXY_PROTOCOL


@pytest.mark.parametrize(
    ("server", "denied"),
    [
        ({"deny": ["127.0.0.0/8"]}, True),
        ({"deny": ["10.0.0.0/8"]}, False),
        ({"allow": ["10.0.0.0/8"]}, True),
        ({"allow": ["10.0.0.0/8", "127.0.0.1/32"]}, False),
        ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.1/32"]}, True),
    ],
)
def test_deny_wins_and_an_empty_allow_allows_all(make: Make, server: dict[str, list[str]], denied: bool) -> None:
    rig = make(**server)
    if denied:
        assert refused(rig).cause is Cause.DENIED
    else:
        assert exchange(rig, b"x", reply=b"x").cause is Cause.CLIENT_CLOSED


def test_the_lists_are_for_the_real_source(make: Make) -> None:
    rig = make(proxyProtocol=LOOPBACK, deny=["192.0.2.0/24"])
    record = refused(rig, build_v1(FAR, HERE) + b"x")
    assert (record.cause, record.detail) == (Cause.DENIED, "192.0.2.7 is in deny (192.0.2.0/24)")
    assert as_json(record)["source"] == "192.0.2.7:4711", "it is refused under its own name"


def test_a_flood_of_silent_ones_is_bounded_in_time_and_leaves_nothing(make: Make) -> None:
    rig = make(proxyProtocol=LOOPBACK, detectTimeoutMs=200)
    clients = [rig.connect() for _ in range(50)]
    assert rig.ended(50).cause is Cause.PROXY_PROTOCOL
    for client in clients:
        client.close()

"""/bind, /addr, /resolve, /bound-names: what names lead to, asked once and watched."""

from linkerd_tcp.naming.nametree import NEG
from tests.controller.conftest import FakeNamer, Plane

ADDR_ONE = '{"type":"bound","addrs":[{"ip":"127.0.0.1","port":1,"meta":{}}],"meta":{}}'
LEAF_FOO = f'{{"type":"leaf","bound":{{"addr":{ADDR_ONE},"id":"/#/fake/foo","path":"/"}}}}'


def test_bind_answers_with_namerd_s_very_bytes(plane: Plane) -> None:
    answer = plane.get("/api/1/bind/default?path=/svc/foo")
    assert answer.status_code == 200
    assert answer.text == LEAF_FOO + "\n"


def test_bind_watch(plane: Plane, namer: FakeNamer) -> None:
    stream = plane.follow("/api/1/bind/default?path=/svc/foo&watch=true")
    assert stream.status == 200
    assert stream.headers["transfer-encoding"] == "chunked"
    assert stream.line() == LEAF_FOO
    namer.answer("foo", NEG)
    assert stream.line() == '{"type":"neg"}'
    namer.answer("foo", namer.leaf("foo"))
    assert stream.line() == LEAF_FOO

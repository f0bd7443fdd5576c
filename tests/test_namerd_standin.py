"""The stand-in says what namerd says; what the tests of clients rely on."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import requests

from tests.leaks import no_leaks
from tests.namerd_faults import ENDS, HEADS, SHAPES
from tests.namerd_standin import Namerd
from tests.namerd_state import FAIL, NEG, PENDING, bound, failed, leaf, union
from tests.sockets import eventually

assert no_leaks
WEB = "/#/io.l5d.fs/web"
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def namerd(no_leaks: None) -> Iterator[Namerd]:
    with Namerd() as made:
        made.bind("/svc/web", leaf(WEB))
        made.addr(WEB, bound("127.0.0.1:80", ("10.0.0.1:81", 0.5)))
        yield made


def get(namerd: Namerd, target: str, **parameters: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{namerd.base_url}/api/1/{target}", params=parameters, timeout=5)


def test_answers_have_the_shapes_and_headers_of_namerd(namerd: Namerd) -> None:
    addr = {
        "type": "bound",
        "addrs": [
            {"ip": "127.0.0.1", "port": 80, "meta": {}},
            {"ip": "10.0.0.1", "port": 81, "meta": {"endpoint_addr_weight": 0.5}},
        ],
        "meta": {},
    }
    bind = get(namerd, "bind/default", path="/svc/web")
    assert bind.text.endswith("}\n")
    assert "Content-Type" not in bind.headers
    assert bind.json() == {"type": "leaf", "bound": {"addr": addr, "id": WEB, "path": "/"}}
    assert get(namerd, "addr/default", path=WEB).json() == addr
    resolve = get(namerd, "resolve/default", path="/svc/web")
    assert resolve.json() == addr
    assert resolve.headers["Content-Type"] == "application/json"
    assert get(namerd, "delegate/default", path="/svc/web").json()["path"] == "/svc/web"


@pytest.mark.parametrize("tree", [NEG, FAIL])
def test_resolve_is_neg_with_status_200_for_what_is_not_there(namerd: Namerd, tree: Any) -> None:
    namerd.bind("/svc/no", tree)
    for namespace, path in (("default", "/svc/no"), ("default", "/svc/other"), ("unknown", "/svc/web")):
        answer = get(namerd, f"resolve/{namespace}", path=path)
        assert (answer.status_code, answer.text) == (200, '{"type":"neg"}\n')


def test_resolve_takes_one_branch_of_a_union_by_weight_each_time(namerd: Namerd) -> None:
    namerd.bind("/svc/split", union((0.5, leaf(WEB)), (0.5, leaf("/#/other"))))
    namerd.addr("/#/other", bound("127.0.0.2:80"))
    seen = {get(namerd, "resolve/default", path="/svc/split").text for _ in range(60)}
    assert len(seen) == 2


def test_what_it_does_not_serve_is_refused_as_namerd_does(namerd: Namerd) -> None:
    assert get(namerd, "bind/default", path="svc").status_code == 400
    assert get(namerd, "bind/default").status_code == 500
    assert get(namerd, "bindXYZ", path="/svc").status_code == 404
    assert get(namerd, "dtabs/none").status_code == 404


def test_a_watch_is_told_of_changes_once_and_pending_is_silence(namerd: Namerd) -> None:
    with (
        requests.Session() as session,
        session.get(
            f"{namerd.base_url}/api/1/addr/default", params={"path": WEB, "watch": "true"}, stream=True, timeout=5
        ) as answer,
    ):
        lines = answer.iter_lines(chunk_size=1)
        assert json.loads(next(lines))["type"] == "bound"
        namerd.addr(WEB, PENDING)
        gevent.sleep(0)
        namerd.addr(WEB, failed("no"))
        assert json.loads(next(lines)) == {"type": "failed", "cause": "no"}
        assert namerd.streams["addr watch"] == 1
    eventually(lambda: namerd.streams["addr watch"] == 0)
    assert namerd.requests == {"addr watch": 1}


def test_a_watch_of_a_tree_is_not_told_of_addresses(namerd: Namerd) -> None:
    with (
        requests.Session() as session,
        session.get(f"{namerd.base_url}/api/1/bind/default?path=/svc/web&watch=1", stream=True, timeout=5) as answer,
    ):
        lines = answer.iter_lines(chunk_size=1)
        next(lines)
        namerd.addr(WEB, NEG)
        gevent.sleep(0.01)
        namerd.bind("/svc/web", leaf("/#/other"))
        assert json.loads(next(lines))["bound"]["id"] == "/#/other"


def received(namerd: Namerd, query: str) -> bytes:
    """What a bare client gets within a moment; it goes then."""
    data = b""
    with socket.create_connection(("127.0.0.1", namerd.port), timeout=0.05) as sock:
        sock.sendall(f"GET /api/1/addr/default?path=/%23/none{query} HTTP/1.1\r\n\r\n".encode())
        with contextlib.suppress(TimeoutError):
            while len(data) < 100_000 and not data.endswith(b"<end>"):
                data += sock.recv(65536) or b"<end>"
    return data


@pytest.mark.parametrize("kind", [*HEADS, *ENDS, *SHAPES])
@pytest.mark.parametrize("query", ["", "&watch=1"])
def test_every_fault_differs_from_the_good_answer_and_ends_with_its_client(
    namerd: Namerd, kind: str, query: str
) -> None:
    good = received(namerd, query)
    assert b'{"type":"neg"}' in good
    namerd.fault(kind, "addr", location="http://127.0.0.1:1/", text="[]", times=1)
    assert received(namerd, query) != good
    eventually(lambda: namerd.connections == 0)
    assert received(namerd, query) == good


def test_a_stream_can_be_well_until_it_is_not(namerd: Namerd) -> None:
    namerd.fault("error_line", "addr", after=1, line="boom")
    assert get(namerd, "addr/default", path=WEB, watch="1").text.splitlines()[1:] == ["boom"]


def test_it_refuses_while_it_does_not_listen_and_comes_back_on_the_same_port(namerd: Namerd) -> None:
    namerd.stop_listening()
    with pytest.raises(requests.ConnectionError):
        get(namerd, "bind/default", path="/svc/web")
    namerd.listen()
    assert get(namerd, "bind/default", path="/svc/web").status_code == 200


def test_as_a_process_it_has_the_state_of_its_file_and_is_told_by_http(tmp_path: Path) -> None:
    state = {"binds": {"default": {"/svc/web": leaf(WEB)}}, "addrs": {WEB: bound("127.0.0.1:80")}}
    (tmp_path / "state.json").write_text(json.dumps(state))
    command = [sys.executable, "-m", "tests.namerd_standin", "--port", "0", "--state", str(tmp_path / "state.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout
        base = process.stdout.readline().split()[-1]
        resolve = f"{base}/api/1/resolve/default?path=/svc/web"
        assert requests.get(resolve, timeout=5).json()["addrs"][0]["port"] == 80
        requests.put(f"{base}/_test/faults", json=[{"kind": "status", "arguments": {"code": 503}}], timeout=5)
        assert requests.get(resolve, timeout=5).status_code == 503
        requests.put(f"{base}/_test/faults", json=[], timeout=5)
        requests.put(f"{base}/_test/state", json={}, timeout=5)
        assert requests.get(resolve, timeout=5).json() == NEG
        assert requests.get(f"{base}/_test/figures", timeout=5).json()["requests"] == {"resolve": 3}
        process.terminate()

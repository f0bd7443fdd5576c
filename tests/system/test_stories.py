"""Real failures of the real process, each explained on the page of its connection."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from linkerd_tcp.wire.proxy_protocol import Authority as AuthorityTlv
from linkerd_tcp.wire.proxy_protocol import build_v2
from tests.system.harness import Proxy, config, free_port, static, until
from tests.system.peers import Backend, Client
from tests.system.tls_tools import identity
from tests.tls_files import Authority

MARKUP = "<img src=x onerror=alert(1)>\u202e"


def server(path: str | None = None, **more: Any) -> dict[str, Any]:
    return {"port": 0, **({} if path is None else {"dstName": path}), **more}


@pytest.fixture(scope="module")
def full() -> Iterator[int]:
    """A port whose accept queue is full: whoever connects is never answered."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = True
        while waiting:
            client = stack.enter_context(socket.socket())
            client.settimeout(0.3)
            waiting = client.connect_ex(listening.getsockname()) == 0
        yield listening.getsockname()[1]


SERVERS = ("good", "down", "slow", "nowhere", "empty", "failing", "denied", "tls", "sni", "idle", "proxied", "plain")
"""In the order of the listeners."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, full: int) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("stories")
    key, cert = Authority(folder).sign("www.example.com")
    with Backend("b0") as good:
        down = free_port(2)
        namers = static(
            {
                "good": [good.address],
                "down": [f"127.0.0.1:{down}", f"127.0.0.1:{down + 1}"],
                "slow": [f"127.0.0.1:{full}"],
                "empty": [],
            }
        )
        servers = [
            server("/svc/good"),
            server("/svc/down"),
            server("/svc/slow", connectTimeoutMs=400),
            server("/svc/nowhere"),
            server("/svc/empty"),
            server("/svc/failing"),
            server("/svc/good", deny=["127.0.0.0/8"]),
            server("/svc/good", tls={"defaultIdentity": identity(key, cert)}),
            server(identifier={"kind": "io.l5d.sni"}),
            server("/svc/good", idleTimeoutMs=200),
            server("/svc/good", proxyProtocol={"mode": "required", "trusted": ["127.0.0.0/8"]}),
            server("/svc/plain"),
        ]
        conf = config(servers=servers, workers=1) | {"namers": namers}
        conf["routers"][0] |= {
            "dtab": "/svc => /#/io.l5d.static; /svc/failing => !; /svc/plain => /#/io.l5d.static/good",
            "client": {
                "kind": "io.l5d.static",
                "configs": [
                    {"prefix": "/", "maxAttempts": 3},
                    {"prefix": "/svc/plain", "tls": {"disableValidation": True}},
                ],
            },
        }
        with Proxy(folder, conf) as started:
            yield started


def address(proxy: Proxy, name: str) -> tuple[str, int]:
    return ("127.0.0.1", proxy.port(index=SERVERS.index(name)))


def wait_for_end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


def told(proxy: Proxy, name: str, act: Callable[[socket.socket], object] = wait_for_end) -> str:
    """The story, as text, of a connection to the server `name`; `act` is what its client does until it ends."""
    with socket.create_connection(address(proxy, name), timeout=10) as client:
        source = "{}:{}".format(*client.getsockname())
        act(client)
    where = f"{address(proxy, name)[0]}:{address(proxy, name)[1]}"

    def found() -> list[dict[str, Any]]:
        # With a PROXY header its source is another.
        rows = proxy.get_json("/connections.json?state=closed")["connections"]
        return [row for row in rows if row["server"] == where and (row["source"] == source or row["proxyHeader"])]

    row = until("it has ended", found)[0]
    status, story = proxy.get(f"/connections/{row['id']}.txt")
    assert status == 200
    status, page = proxy.get(f"/connections/{row['id']}")
    assert status == 200
    assert "<img" not in page
    # The same id is in the access log, and leads here.
    until("it is logged", lambda: row["id"] in [line["id"] for line in proxy.access_log()])
    return story


def says(story: str, *facts: str) -> None:
    assert [fact for fact in facts if fact not in story] == [], story


def test_endpoints_that_refuse_are_named(proxy: Proxy) -> None:
    story = told(proxy, "down")
    says(
        story,
        ": refused\n",
        "None of 2 attempts got through: 127.0.0.1:",
        "refused after",
        "Start the server there",
        "goes to /svc/down, as all that come to this server",
        "bound to /#/io.l5d.static/down (by /svc => /#/io.l5d.static)",
        "ended: refused (127.0.0.1:",
    )
    assert story.count("tried 127.0.0.1:") == 2


def test_an_endpoint_that_never_answers_timed_out(proxy: Proxy, full: int) -> None:
    story = told(proxy, "slow")
    says(
        story, ": timeout\n", f"127.0.0.1:{full}", "does a firewall drop packets", f"tried 127.0.0.1:{full}: no answer"
    )
    assert "did not answer within 4" in story or "no answer within" in story


def test_a_name_that_leads_nowhere_says_which_entries_were_tried(proxy: Proxy) -> None:
    says(
        told(proxy, "nowhere"),
        ": not found\n",
        "No rule of the dtab leads anywhere for /svc/nowhere",
        "/#/io.l5d.static/nowhere (by /svc => /#/io.l5d.static): not found",
    )


def test_a_name_without_endpoints_says_so(proxy: Proxy) -> None:
    says(told(proxy, "empty"), ": no endpoint\n", "/svc/empty", "/#/io.l5d.static/empty", "bound to no address")


def test_a_name_that_fails_by_the_dtab_says_so(proxy: Proxy) -> None:
    says(told(proxy, "failing"), ": binding\n", "/svc/failing cannot be resolved", "! (fail) in the dtab")


def test_who_is_denied_is_told_by_which_rule(proxy: Proxy) -> None:
    says(told(proxy, "denied"), ": denied\n", "may not connect to 127.0.0.1:", "127.0.0.1 is in deny (127.0.0.0/8)")


def test_plain_text_to_tls_is_told(proxy: Proxy) -> None:
    def speak(sock: socket.socket) -> None:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_for_end(sock)

    says(told(proxy, "tls", speak), ": tls\n", "The TLS handshake with the client 127.0.0.1:", "it does not speak TLS")


def test_tls_to_a_plain_text_endpoint_is_told(proxy: Proxy) -> None:
    says(told(proxy, "plain"), ": tls\n", "connected, but not in TLS", "is it a port for plain text?")


def test_tls_that_ended_well_says_what_was_agreed(proxy: Proxy) -> None:
    def speak(sock: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(sock, server_hostname="www.example.com", suppress_ragged_eofs=True) as tls:
            tls.sendall(b"line\n")
            assert tls.recv(100) == b"b0 line\n"
            tls.unwrap()

    says(
        told(proxy, "tls", speak),
        ": client closed\n",
        "It went well: the client ended it first",
        "5 B in, 8 B out",
        "TLS 1.3, TLS_",
        'SNI "www.example.com"',
        "connected in",
        "ended: the client ended it first",
    )


def test_no_server_name_is_told(proxy: Proxy) -> None:
    def speak(sock: socket.socket) -> None:
        sock.sendall(b"hello\r\n")
        wait_for_end(sock)

    says(told(proxy, "sni", speak), ": identify\n", "did not say where it wants to go", "not TLS", "has no default")


def test_an_idle_one_is_told_with_its_limit(proxy: Proxy) -> None:
    says(told(proxy, "idle"), ": idle\n", "no byte either way for 0.2 s (idleTimeoutMs)", "connected in")


def test_a_reset_is_told_with_its_side(proxy: Proxy) -> None:
    def leave(sock: socket.socket) -> None:
        sock.sendall(b"line\n")
        assert sock.recv(100)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    says(told(proxy, "good", leave), ": reset\n", "The client 127.0.0.1:", "broke the connection", "5 B in, 8 B out")


def test_what_a_proxy_header_said_is_text(proxy: Proxy) -> None:
    def speak(sock: socket.socket) -> None:
        sock.sendall(build_v2(("192.0.2.7", 4711), ("192.0.2.1", 443), [AuthorityTlv(MARKUP)]) + b"line\n")
        assert sock.recv(100) == b"b0 line\n"
        sock.shutdown(socket.SHUT_WR)
        wait_for_end(sock)

    story = told(proxy, "proxied", speak)
    says(story, "PROXY header, version 2: the client is 192.0.2.7:4711", '"<img src=x onerror=alert(1)>\\u202e"')
    status, table = proxy.get("/connections?source=192.0.2.7")
    assert status == 200
    assert "<img" not in table
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202e" in table


def test_one_without_a_proxy_header_is_told_what_came(proxy: Proxy) -> None:
    def speak(sock: socket.socket) -> None:
        sock.sendall(b"nonsense\r\n")
        wait_for_end(sock)

    with socket.create_connection(address(proxy, "proxied"), timeout=10) as client:
        speak(client)
    (row,) = until("refused", lambda: proxy.get_json("/connections.json?cause=proxy_protocol")["connections"])
    says(proxy.get(f"/connections/{row['id']}.txt")[1], "A PROXY header was expected", "nonsense")


def test_one_that_is_open_is_followed_and_closed(proxy: Proxy) -> None:
    with Client(address(proxy, "good")) as client:
        client.ask()
        source = "{}:{}".format(*client.sock.getsockname())
        (row,) = proxy.get_json(f"/connections.json?state=open&source={source}")["connections"]
        live = proxy.get_json(f"/connections/{row['id']}.json")
        assert live["ended"] is False
        assert f"{source} is connected to" in live["head"]["verdict"]
        assert proxy.post(f"/connections/{row['id']}/close")[0] == 200
        client.wait_for_end(10)
    until("it has ended", lambda: proxy.get_json(f"/connections/{row['id']}.json")["ended"])
    says(proxy.get(f"/connections/{row['id']}.txt")[1], "Somebody closed it from the admin server")


def test_every_failure_is_counted_on_the_page(proxy: Proxy) -> None:
    with socket.create_connection(address(proxy, "nowhere"), timeout=10) as client:
        wait_for_end(client)
    metrics = until("counted", lambda: proxy.metric("l5d_srv_failures_total", cause="not_found"))
    found = proxy.get_json("/connections.json?state=failed&cause=not_found")["connections"]
    assert len(found) == metrics
    assert f">{len(found)}</data>" in proxy.get("/connections?state=failed")[1]


def test_workers_tell_theirs(tmp_path: Path) -> None:
    with Proxy(tmp_path, config([f"127.0.0.1:{free_port()}"], workers=2)) as started:
        for _ in range(10):
            with socket.create_connection(started.address, timeout=10) as client:
                wait_for_end(client)
        rows = until("all ended", lambda: _of(started, 10))
        for row in rows:
            says(started.get(f"/connections/{row['id']}.txt")[1], "actively refused", "by /svc => /#/io.l5d.static")
        status, page = started.get("/connections?state=failed")
        assert status == 200
        assert "10 of 10" in page
        assert started.get("/connections/1-1")[0] == 404


def _of(proxy: Proxy, number: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = proxy.get_json("/connections.json?state=failed")["connections"]
    return rows if len(rows) == number else []

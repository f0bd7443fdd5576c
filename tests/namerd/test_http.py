import base64
import socket
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import gevent
import pytest

from linkerd_tcp.namerd.failures import RequestFailed
from linkerd_tcp.namerd.gate import Gate
from linkerd_tcp.namerd.http import Answer, Http
from linkerd_tcp.namerd.options import NamerdOptions
from linkerd_tcp.naming.addr import NEG, PENDING, Addr, Address, Bound, Failed
from linkerd_tcp.naming.watch import Var
from linkerd_tcp.testing.hosts import FakeHosts
from linkerd_tcp.testing.leaks import no_leaks
from linkerd_tcp.testing.waiting import eventually
from tests.namerd.conftest import itself
from tests.namerd_standin import Namerd
from tests.namerd_state import leaf
from tests.tls_files import Authority

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


def http_to(url: str, find_host: Any = itself, **options: Any) -> Http:
    return Http(NamerdOptions.model_validate({"baseUrl": url, **options}), find_host, Gate())


def ask(http: Http, head_secs: float, **query: str) -> Answer:
    return http.open(http.target("bind", query), head_secs)


def failure_of(http: Http, head_secs: float = 1.0, query: dict[str, str] | None = None) -> RequestFailed:
    with pytest.raises(RequestFailed) as caught:
        ask(http, head_secs, **(query or {"path": "/svc/web", "watch": "1"})).close()
    http.close()
    return caught.value


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        ("silent", "timeout", "no answer within 0.3 s"),
        ("close", "reset", "the connection was closed without an answer"),
        ("status", "http_status", "answered 500: 'java.lang.Exception: no'"),
        ("status_silent", "http_status", "answered 503"),
        ("not_http", "protocol", "no HTTP: "),
        ("endless_headers", "protocol", "no HTTP: 'got more than 100 headers'"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_with_cause_and_words(
    namerd: Namerd, fault: str, cause: str, words: str
) -> None:
    namerd.fault(fault)
    failure = failure_of(http_to(namerd.base_url), 0.3)
    assert failure.cause == cause
    assert str(failure).startswith(namerd.base_url)
    assert words in str(failure)
    eventually(lambda: namerd.connections == 0)


def test_nobody_there_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = failure_of(http_to(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert (failure.cause, str(failure).endswith(": connection refused")) == ("refused", True)


def test_a_redirect_is_not_followed(namerd: Namerd) -> None:
    namerd.fault("redirect", location=f"{namerd.base_url}/elsewhere")
    assert "answered 302" in str(failure_of(http_to(namerd.base_url)))
    assert len(namerd.asked) == 1


def test_proxies_and_passwords_of_the_environment_are_not_used(
    namerd: Namerd, monkeypatch: pytest.MonkeyPatch, tmp_path: FilePath
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    namerd.bind("/svc/web", leaf("/#/fs/web"))
    http = http_to(namerd.base_url)
    answer = ask(http, 1, path="/svc/web")
    assert answer.read(1)
    answer.close()
    http.close()


class Recorder:
    """Takes requests, and answers each with `reply`."""

    def __init__(self, reply: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") -> None:
        self.heads: list[str] = []
        self._reply = reply
        self._server = gevent.server.StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = self._server.server_port

    def _serve(self, sock: Any, _: object) -> None:
        with sock:
            self.heads.append(sock.recv(65536).decode("latin-1"))
            sock.sendall(self._reply)

    def close(self) -> None:
        self._server.stop()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    yield made
    made.close()


def test_a_password_of_the_address_is_sent_and_never_shown(recorder: Recorder) -> None:
    http = http_to(f"http://me:p%40ss@127.0.0.1:{recorder.port}/root/", namespace="a/b")
    ask(http, 1, path="/#/x", dtab="/a=>/b | /c").close()
    [head] = recorder.heads
    assert head.startswith("GET /root/api/1/bind/a/b?path=/%23/x&dtab=/a%3D%3E/b%20%7C%20/c HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{recorder.port}\r\n" in head
    [sent] = [line for line in head.splitlines() if line.startswith("Authorization: Basic ")]
    assert base64.b64decode(sent.split()[-1]) == b"me:p@ss"
    recorder.close()
    failure = failure_of(http)
    assert "ss@" not in str(failure)
    assert "me:" not in str(failure)


def test_cookies_are_not_kept(recorder: Recorder) -> None:
    recorder._reply = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    http = http_to(f"http://127.0.0.1:{recorder.port}")
    for _ in range(2):
        ask(http, 1, path="/x").close()
    assert not any("Cookie" in head for head in recorder.heads)
    http.close()


def test_an_answer_in_an_encoding_that_was_not_asked_for_is_refused(recorder: Recorder) -> None:
    recorder._reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"
    failure = failure_of(http_to(f"http://127.0.0.1:{recorder.port}"))
    assert failure.cause == "protocol"


def test_a_name_too_long_to_be_asked_for_is_not_asked_for(namerd: Namerd) -> None:
    assert failure_of(http_to(namerd.base_url), query={"path": "/" + "x" * 70_000}).cause == "limit"
    assert namerd.accepted == 0


@pytest.mark.parametrize(
    ("addr", "words"),
    [(NEG, "no such host"), (Failed("no answer about namerd"), "no answer about namerd"), (Bound(()), "no address")],
)
def test_a_host_without_address_is_a_failure_to_resolve(addr: Addr, words: str) -> None:
    failure = failure_of(http_to("http://namerd.example:4180", lambda _: Var(addr)))
    assert (failure.cause, str(failure)) == ("resolve", f"http://namerd.example:4180: {words}")


def test_a_host_is_waited_for_within_the_time_for_a_head_and_its_addresses_are_tried_in_turn(namerd: Namerd) -> None:
    hosts = FakeHosts()
    http = http_to(f"http://namerd.example:{namerd.port}", hosts.watch)
    namerd.bind("/svc/web", leaf("/#/fs/web"))
    with pytest.raises(RequestFailed, match="no answer within"):
        ask(http, 0.05, path="/svc/web")
    asking = gevent.spawn(ask, http, 2, path="/svc/web")
    gevent.sleep(0)
    hosts.set("namerd.example", PENDING)
    hosts.set("namerd.example", Bound((Address("127.0.0.2", 0), Address("127.0.0.1", 0))))
    answer = asking.get(timeout=2)
    answer.close()
    http.close()
    assert hosts.open == []


def test_a_request_that_is_killed_leaves_nothing_open_wherever_it_was(namerd: Namerd) -> None:
    namerd.bind("/svc/web", leaf("/#/fs/web"))

    def follow(http: Http) -> None:
        answer = ask(http, 5, path="/svc/web", watch="1")
        try:
            while True:
                answer.read(5)
        finally:
            answer.close()

    http = http_to(namerd.base_url)
    for fault in ("silent", "headers", None):
        namerd.heal()
        if fault:
            namerd.fault(fault)
        greenlet = gevent.spawn(follow, http)
        before = len(namerd.asked)
        eventually(lambda before=before: len(namerd.asked) > before)
        greenlet.kill()
        eventually(lambda: namerd.connections == 0)
    http.close()


@pytest.mark.parametrize(
    ("options", "cause", "words"),
    [
        ({}, "", ""),
        ({"trustCerts": []}, "tls", "the certificate is not good: "),
        ({"dnsName": "other.example"}, "tls", "the certificate is not good: "),
        ({"trustCerts": [], "disableValidation": True}, "", ""),
    ],
)
def test_namerd_is_reached_through_tls_and_verified_by_name(
    tmp_path: FilePath, options: dict[str, Any], cause: str, words: str
) -> None:
    authority = Authority(tmp_path)
    key, cert = authority.sign("namerd.example")
    tls = {"dnsName": "namerd.example", "trustCerts": [str(authority.cert)], **options}
    with Namerd(cert=cert, key=key) as namerd:
        http = http_to(namerd.base_url, tls=tls)
        if cause:
            failure = failure_of(http)
            assert failure.cause == cause
            assert words in str(failure)
        else:
            answer = ask(http, 2, path="/svc/web")
            assert answer.read(2) == b'{"type":"neg"}\n'
            answer.close()
            http.close()


def test_a_connection_that_is_cut_is_cut_through_tls_too(tmp_path: FilePath) -> None:
    authority = Authority(tmp_path)
    key, cert = authority.sign("127.0.0.1", "IP:127.0.0.1")
    with Namerd(cert=cert, key=key) as namerd:
        http = http_to(namerd.base_url, tls={"trustCerts": [str(authority.cert)]})
        answer = ask(http, 2, path="/svc/web", watch="1")
        assert answer.read(2) == b'{"type":"neg"}\n'
        namerd.cut()
        with pytest.raises(RequestFailed) as caught:
            answer.read(2)
        assert caught.value.cause == "cut"
        answer.close()
        http.close()


def test_tls_to_a_port_without_it_is_said(recorder: Recorder) -> None:
    failure = failure_of(http_to(f"https://127.0.0.1:{recorder.port}"))
    assert (failure.cause, "wrong version number" in str(failure)) == ("tls", True)

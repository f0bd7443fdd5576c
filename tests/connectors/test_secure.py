import logging
import os
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import gevent
import pytest

from linkerd_tcp import credentials
from linkerd_tcp.config.client import ClientSettings
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.config.tls import ClientIdentity, ClientTls, ProxyHeader
from linkerd_tcp.connectors import check_client_tls, client_problems_of, connector_for, secure
from linkerd_tcp.connectors.connector import Abandoned, ConnectFailed, Target
from linkerd_tcp.connectors.handshake import TlsFailed
from linkerd_tcp.connectors.secure import SecureConnector, server_name
from linkerd_tcp.envelope import Envelope
from linkerd_tcp.errors import Cause
from linkerd_tcp.net.duplex import Duplex, Limits
from linkerd_tcp.net.half_duplex import Buffer
from linkerd_tcp.net.tls import TlsCause, TlsEnd
from linkerd_tcp.record import Record
from tests.sockets import tcp_pair

from .authority import DAY, Authority, self_signed
from .listeners import Backend, Silent, eventually
from .tls_server import TlsServer, server_context

NAME = "web.example.com"
Opened = Callable[[Any], Any]


@dataclass
class Pki:
    folder: Path
    authority: Authority
    other: Authority
    web: Path
    """For NAME, signed by `authority`."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    authority = Authority(folder, "Test CA")
    return Pki(folder, authority, Authority(folder, "Other CA"), authority.issue(NAME))


def client(pki: Pki, name: str | None = NAME, **tls: Any) -> Any:
    tls.setdefault("trust_certs", (pki.authority.pem,))
    return connector_for(ClientSettings(tls=ClientTls(dns_name=name, **tls)))


def converse(end: TlsEnd, data: bytes = b"hello") -> bytes:
    """What an endpoint answers, as many bytes; `end` is still open afterwards."""
    client, near = tcp_pair()
    stream = Duplex(near, end, Buffer(65536), Limits())
    running = gevent.spawn(stream.run)
    try:
        client.settimeout(5)
        client.sendall(data)
        got = b""
        while len(got) < len(data) and (more := client.recv(65536)):
            got += more
    finally:
        stream.abort(Cause.OTHER)
        running.get(timeout=5)
        client.close()
        near.close()
    return got


def failure(connector: Any, server: Any, secs: float = 5.0) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as failed:
        connector.connect(Target(server.address), secs)
    return failed.value


# -- what works


def test_a_verified_endpoint_is_spoken_to_and_hears_the_name(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.web)))
    end = opened(client(pki).connect(Target(server.address), 1.0))
    assert converse(end) == b"hello"
    assert server.names == [NAME]
    assert end.tls.version() == "TLSv1.3"
    assert not os.get_inheritable(end.fileno())


@pytest.mark.parametrize("name", ["WEB.Example.com.", "web.example.com."])
def test_case_and_a_trailing_dot_of_the_name_do_not_matter(opened: Opened, pki: Pki, name: str) -> None:
    server = opened(TlsServer(server_context(pki.web)))
    opened(client(pki, name).connect(Target(server.address), 1.0))
    eventually(lambda: server.names == [NAME])


def test_tls_1_2_is_enough(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.web, most=ssl.TLSVersion.TLSv1_2)))
    end = opened(client(pki).connect(Target(server.address), 1.0))
    assert (converse(end), end.tls.version()) == (b"hello", "TLSv1.2")


def test_one_protocol_of_ours_is_agreed_on(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.web, alpn=["h2", "postgresql"])))
    end = opened(client(pki, alpn_protocols=("http/1.1", "h2")).connect(Target(server.address), 1.0))
    assert end.tls.selected_alpn_protocol() == "h2"


def test_a_client_certificate_is_shown(opened: Opened, pki: Pki) -> None:
    mine = pki.authority.issue("proxy.example.com")
    server = opened(TlsServer(server_context(pki.web, trust=pki.authority.pem)))
    auth = ClientIdentity(certs=(mine,), private_key=mine)
    end = opened(client(pki, client_auth=auth).connect(Target(server.address), 1.0))
    assert converse(end) == b"hello"
    assert ("DNS", "proxy.example.com") in server.sessions[0].getpeercert()["subjectAltName"]


def test_an_intermediate_authority_or_the_certificate_itself_may_be_trusted(opened: Opened, pki: Pki) -> None:
    between = Authority(pki.folder, "Between", pki.other)
    server = opened(TlsServer(server_context(between.issue(NAME))))
    opened(client(pki, trust_certs=(between.pem,)).connect(Target(server.address), 1.0))
    alone = self_signed(pki.folder, NAME)
    server = opened(TlsServer(server_context(alone)))
    opened(client(pki, trust_certs=(alone,)).connect(Target(server.address), 1.0))


def test_the_systems_authorities_are_asked_without_trust_certs(
    opened: Opened, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = opened(TlsServer(server_context(pki.web)))
    assert failure(client(pki, trust_certs=()), server).cause is Cause.TLS
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.authority.pem))
    # Settings of their own, so that no context made before is shared.
    opened(client(pki, trust_certs=(), alpn_protocols=("h2",)).connect(Target(server.address), 1.0))


def test_without_a_name_the_certificate_must_hold_the_address(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.web)))
    assert "and not for 127.0.0.1" in str(failure(client(pki, None), server))
    server = opened(TlsServer(server_context(pki.authority.issue("127.0.0.1"))))
    opened(client(pki, None).connect(Target(server.address), 1.0))
    assert server.names in ([], [None]), "an address is no server name (RFC 6066)"


def test_validation_can_be_left_out_and_that_is_loud(
    opened: Opened, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    server = opened(TlsServer(server_context(self_signed(pki.folder, "anything"))))
    settings = ClientSettings(tls=ClientTls(disable_validation=True))
    with caplog.at_level(logging.WARNING):
        connector = connector_for(settings, "/#/io.l5d.fs/web")
    assert "/#/io.l5d.fs/web: tls.disableValidation: whoever answers is believed" in caplog.text
    for _ in range(2):
        opened(connector.connect(Target(server.address), 1.0))
    assert caplog.text.count("disableValidation") == 1


def test_the_header_comes_before_tls(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.web), expect_header=True))
    tls = ClientTls(dns_name=NAME, trust_certs=(pki.authority.pem,))
    connector = connector_for(ClientSettings(tls=tls, proxy_protocol=ProxyHeader(version="v2", tlvs=("crc32c",))))
    record = Record(1, "default", "127.0.0.1:7474", ("127.0.0.1", 50112))
    record.envelope = Envelope(("192.0.2.1", 56324), ("198.51.100.2", 443), 0.0)
    end = opened(connector.connect(Target(server.address), 1.0, record))
    assert converse(end) == b"hello"
    assert [header.source for header in server.headers] == [("192.0.2.1", 56324)]


# -- sessions


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_next_handshake_with_an_endpoint_resumes_the_session(
    opened: Opened, pki: Pki, most: ssl.TLSVersion
) -> None:
    server = opened(TlsServer(server_context(pki.web, most=most)))
    connector, target = client(pki), Target(server.address)
    reused = []
    for _ in range(4):
        end = connector.connect(target, 1.0)
        assert converse(end) == b"hello"
        reused.append(end.tls.session_reused)
        end.close()
    assert reused == [False, True, True, True]


def test_a_session_that_the_endpoint_has_forgotten_is_a_full_handshake(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.web)))
    connector, target = client(pki), Target(server.address)
    first = connector.connect(target, 1.0)
    converse(first)
    first.close()
    assert target.session is not None
    server.context = server_context(pki.web)
    end = opened(connector.connect(target, 1.0))
    assert converse(end) == b"hello"
    assert not end.tls.session_reused


def test_a_session_that_is_not_resumed_is_soon_replaced(
    opened: Opened, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secure, "ASK_SECS", 0.0)
    server = opened(TlsServer(server_context(pki.web)))
    connector, target = client(pki), Target(server.address)
    reused = []
    for change in (False, True, False):
        if change:
            server.context = server_context(pki.web)
        end = connector.connect(target, 1.0)
        converse(end)
        reused.append(end.tls.session_reused)
        end.close()
    assert reused == [False, False, True]


def test_a_session_is_not_used_once_other_authorities_are_trusted(
    opened: Opened, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_SECS", 0.0)
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(pki.authority.pem.read_bytes())
    server = opened(TlsServer(server_context(pki.web)))
    connector, target = client(pki, trust_certs=(trusted,)), Target(server.address)
    end = connector.connect(target, 1.0)
    converse(end)
    end.close()
    trusted.write_bytes(pki.other.pem.read_bytes())
    with pytest.raises(TlsFailed, match="comes from CN=Test CA"):
        connector.connect(target, 1.0)
    assert target.session is None


# -- what fails, and its words


def words(failed: ConnectFailed) -> str:
    return re.sub(r"^127\.0\.0\.1:\d+: ", "", str(failed))


def check(failed: ConnectFailed, reason: TlsCause, text: str) -> None:
    assert isinstance(failed, TlsFailed)
    assert (failed.cause, failed.reason) == (Cause.TLS, reason)
    assert (failed.blames_endpoint, failed.elsewhere) == (True, True)
    assert re.match(r"127\.0\.0\.1:\d+: TLS: ", str(failed))
    assert words(failed) == f"TLS: {reason}: {text}"


def test_a_wrong_name_is_told_with_both_names(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.authority.issue("db.example.com", "10.0.0.1"))))
    expected = (
        f"its certificate is for DNS:db.example.com, IP:10.0.0.1, and not for {NAME} "
        f"(Hostname mismatch, certificate is not valid for '{NAME}'.)"
    )
    check(failure(client(pki), server), TlsCause.NAME_MISMATCH, expected)
    eventually(lambda: server.failures)
    assert "BAD_CERTIFICATE" in server.failures[0], "the endpoint was told"


def test_a_common_name_does_not_count_and_many_names_are_cut(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.authority.issue(cn=NAME))))
    assert f"is for no name at all (its subject CN={NAME} does not count)" in str(failure(client(pki), server))
    many = [f"{number}.example.com" for number in range(9)]
    server = opened(TlsServer(server_context(pki.authority.issue(*many))))
    assert "DNS:4.example.com and 4 more, and not for" in str(failure(client(pki), server))


def test_an_expired_certificate_is_told_with_its_date(opened: Opened, pki: Pki) -> None:
    old = pki.authority.issue(NAME, begin=timedelta(days=-3), end=timedelta(days=-2))
    failed = failure(client(pki), opened(TlsServer(server_context(old))))
    assert isinstance(failed, TlsFailed)
    assert failed.reason is TlsCause.EXPIRED
    found = r"TLS: expired: its certificate CN=web.example.com expired on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC "
    assert re.fullmatch(found + r"\(certificate has expired\)", words(failed))


def test_a_certificate_that_is_not_valid_yet_is_told_with_its_date(opened: Opened, pki: Pki) -> None:
    early = pki.authority.issue(NAME, begin=DAY, end=2 * DAY)
    failed = words(failure(client(pki), opened(TlsServer(server_context(early)))))
    assert re.match(r"TLS: expired: its certificate CN=web.example.com is not valid before \d{4}-\d\d-\d\d ", failed)


def test_an_unknown_authority_is_told_by_name(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.other.issue(NAME))))
    expected = (
        f"its certificate CN={NAME} comes from CN=Other CA, which is not trusted here "
        "(self-signed certificate in certificate chain)"
    )
    check(failure(client(pki), server), TlsCause.UNKNOWN_CA, expected)


def test_a_chain_without_its_middle_is_told_by_who_is_missing(opened: Opened, pki: Pki) -> None:
    between = Authority(pki.folder, "Missing CA", pki.authority)
    pem = between.issue(NAME).read_text()
    alone = pki.folder / "alone.pem"
    alone.write_text(pem[: pem.rindex("-----BEGIN CERTIFICATE")])
    server = opened(TlsServer(server_context(alone)))
    assert f"CN={NAME} comes from CN=Missing CA, which is not trusted" in str(failure(client(pki), server))


def test_a_certificate_that_signs_itself_is_told(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(self_signed(pki.folder, NAME))))
    expected = f"its certificate CN={NAME} signs itself, and is not trusted here (self-signed certificate)"
    check(failure(client(pki), server), TlsCause.UNKNOWN_CA, expected)


def test_an_endpoint_that_speaks_plain_text_is_told(opened: Opened, pki: Pki) -> None:
    server = opened(Backend(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    expected = "what it answered is not TLS: is it a port for plain text? (WRONG_VERSION_NUMBER)"
    check(failure(client(pki), server), TlsCause.PLAINTEXT, expected)


@pytest.mark.parametrize(
    "greeting", [b"220 mail.example.com ESMTP\r\n", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"J\0\0\0\x0a8.0"]
)
def test_whatever_speaks_first_in_plain_text_is_no_tls(opened: Opened, pki: Pki, greeting: bytes) -> None:
    failed = failure(client(pki), opened(Backend(greeting)))
    assert isinstance(failed, TlsFailed)
    assert failed.reason is TlsCause.PLAINTEXT


def test_an_endpoint_with_old_tls_only_is_told(opened: Opened, pki: Pki) -> None:
    context = server_context(pki.web, ciphers="ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    expected = "it speaks neither TLS 1.2 nor TLS 1.3 (TLSV1_ALERT_PROTOCOL_VERSION)"
    check(failure(client(pki), opened(TlsServer(context))), TlsCause.VERSION, expected)


def test_no_cipher_in_common_is_told(opened: Opened, pki: Pki) -> None:
    context = server_context(pki.web, most=ssl.TLSVersion.TLSv1_2, ciphers="AES128-SHA")
    expected = (
        "it takes none of our ciphers, groups and signatures, or wants a client certificate "
        "(SSLV3_ALERT_HANDSHAKE_FAILURE)"
    )
    check(failure(client(pki), opened(TlsServer(context))), TlsCause.NO_SHARED_CIPHER, expected)


def test_a_name_that_the_endpoint_does_not_know_is_told(opened: Opened, pki: Pki) -> None:
    server = opened(TlsServer(server_context(pki.web)))
    server.context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    expected = f"it has no certificate for {NAME} (TLSV1_UNRECOGNIZED_NAME)"
    check(failure(client(pki), server), TlsCause.UNRECOGNIZED_NAME, expected)


def test_a_client_certificate_of_an_authority_unknown_there_is_told(opened: Opened, pki: Pki) -> None:
    mine = pki.other.issue("proxy.example.com")
    server = opened(TlsServer(server_context(pki.web, trust=pki.authority.pem, most=ssl.TLSVersion.TLSv1_2)))
    connector = client(pki, client_auth=ClientIdentity(certs=(mine,), private_key=mine))
    expected = "it does not trust the authority of our client certificate (TLSV1_ALERT_UNKNOWN_CA)"
    check(failure(connector, server), TlsCause.UNKNOWN_CA, expected)


@pytest.mark.parametrize(
    ("linger", "text"),
    [(False, "it ended the connection during"), (True, "Connection reset by peer in")],
    ids=["FIN", "reset"],
)
def test_an_endpoint_that_goes_in_the_middle_is_told(opened: Opened, pki: Pki, linger: bool, text: str) -> None:
    class Leaving(Backend):
        def _accept(self) -> None:
            while True:
                connection, _ = self.listener.accept()
                connection.recv(1 if linger else 65536)  # closing with bytes unread resets
                connection.close()

    expected = f"{text} the handshake: is it a port for plain text?"
    check(failure(client(pki), opened(Leaving())), TlsCause.OTHER, expected)


def test_a_failure_is_logged_once_in_a_while(opened: Opened, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    server = opened(Backend(b"220 mail.example.com ESMTP\r\n"))
    connector = client(pki)
    for _ in range(5):
        failed = failure(connector, server)
    assert [record.getMessage() for record in caplog.records] == [str(failed)]


# -- time, abandonment


def test_the_handshake_ends_within_the_connect_timeout(opened: Opened, pki: Pki) -> None:
    begun = time.monotonic()
    failed = failure(client(pki), opened(Backend()), 0.05)
    assert failed.cause is Cause.TIMEOUT
    assert words(failed) == "connected, but the TLS handshake did not end in time"
    assert 0.045 <= time.monotonic() - begun < 1.0


def test_a_connect_that_times_out_is_no_tls_failure(opened: Opened, pki: Pki) -> None:
    failed = failure(client(pki), opened(Silent()), 0.05)
    assert (failed.cause, type(failed)) == (Cause.TIMEOUT, ConnectFailed)


@pytest.mark.parametrize("how", ["abandoned", "killed", "timed out by the caller"])
def test_a_handshake_can_be_ended_and_leaves_nothing(opened: Opened, pki: Pki, how: str) -> None:
    backend = opened(Backend())
    to = Target(backend.address)

    def attempt() -> Any:
        try:
            with gevent.Timeout(0.05 if how == "timed out by the caller" else 30.0):
                return client(pki).connect(to, 30.0)
        except (ConnectFailed, gevent.Timeout) as failed:
            return failed

    parked = gevent.spawn(attempt)
    eventually(lambda: backend.connections and to.attempts)
    if how == "abandoned":
        to.abandon()
        to.abandon()
    elif how == "killed":
        parked.kill(block=False)
    parked.join(timeout=1.0)
    expected = {"abandoned": Abandoned, "killed": gevent.GreenletExit}.get(how, gevent.Timeout)
    assert isinstance(parked.value, expected)
    assert not to.attempts
    assert backend.connections[0].recv(65536), "the hello had been sent"


def test_abandoned_and_killed_in_one_turn_ends_the_greenlet_once(opened: Opened, pki: Pki) -> None:
    to = Target(opened(Backend()).address)
    seen: list[str] = []

    def connect_then_park() -> None:
        try:
            client(pki).connect(to, 30.0)
        except gevent.GreenletExit:
            seen.append("killed")
        except Abandoned:
            seen.append("abandoned")
        try:
            gevent.sleep(0.02)
        except Abandoned:
            seen.append("stray")

    parked = gevent.spawn(connect_then_park)
    eventually(lambda: to.attempts)
    parked.kill(block=False)
    to.abandon()
    parked.join(timeout=1.0)
    assert seen == ["killed"]


# -- files and names


def test_a_name_from_a_stranger_that_is_none_fails_and_blames_nobody(opened: Opened, pki: Pki) -> None:
    backend = opened(Backend())
    for name in ("..", "a..b", "-" * 64 + ".example.com", "a b", "a\0b", "{service}.example.com", "x." * 126 + "xx"):
        failed = failure(client(pki, name), backend)
        assert (failed.cause, failed.blames_endpoint, failed.elsewhere) == (Cause.TLS, False, False)
        assert "is no server name" in str(failed)
    assert backend.accepts == 0


def test_names_and_addresses_are_put_in_shape() -> None:
    given = ["Web.Example.COM.", "a_b", "10.0.0.1", "2001:DB8::1", "bücher.example", "", "a." + "b" * 64]
    assert [server_name(each) for each in given] == [
        "web.example.com",
        "a_b",
        "10.0.0.1",
        "2001:db8::1",
        None,
        None,
        None,
    ]


def test_a_file_that_cannot_be_used_fails_every_connect_until_it_can(
    opened: Opened, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_SECS", 0.0)
    trusted = tmp_path / "ca.pem"
    server = opened(TlsServer(server_context(pki.web)))
    connector = client(pki, trust_certs=(trusted,))
    failed = failure(connector, server)
    assert words(failed) == f"TLS: {trusted}: No such file or directory"
    assert (failed.cause, failed.blames_endpoint, failed.elsewhere) == (Cause.TLS, False, False)
    trusted.write_bytes(pki.authority.pem.read_bytes())
    opened(connector.connect(Target(server.address), 1.0))
    assert server.accepts == 1


def test_a_renewed_client_certificate_is_shown_and_a_broken_one_is_not(
    opened: Opened, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(credentials, "LOOK_SECS", 0.0)
    mine = tmp_path / "mine.pem"
    server = opened(TlsServer(server_context(pki.web, trust=pki.authority.pem)))
    connector = client(pki, client_auth=ClientIdentity(certs=(mine,), private_key=mine))
    shown = []
    for content in (pki.authority.issue("one.example.com"), pki.authority.issue("two.example.com"), None):
        mine.write_bytes(b"broken" if content is None else content.read_bytes())
        converse(opened(connector.connect(Target(server.address), 1.0)))
        shown.append(dict(server.sessions[-1].getpeercert()["subjectAltName"])["DNS"])
    assert shown == ["one.example.com", "two.example.com", "two.example.com"]
    assert "mine.pem: no BEGIN line of PEM found" in caplog.text
    assert caplog.text.count("the one before is used on") == 1


def test_equal_settings_share_their_credentials_and_the_name_is_each_ones_own(opened: Opened, pki: Pki) -> None:
    first, second = client(pki), client(pki, "db.example.com")
    assert first._credentials is second._credentials
    assert first._credentials is not client(pki, alpn_protocols=("h2",))._credentials
    server = opened(TlsServer(server_context(pki.web)))
    opened(first.connect(Target(server.address), 1.0))
    assert "and not for db.example.com" in str(failure(second, server))


def test_what_a_check_finds(pki: Pki, tmp_path: Path) -> None:
    good = ClientTls(dns_name="{service}.example.com", trust_certs=(pki.authority.pem,))
    assert check_client_tls(ClientSettings()) == []
    assert check_client_tls(ClientSettings(tls=good)) == []
    missing, key = tmp_path / "none.pem", pki.web
    bad = [
        good.model_copy(update={"trust_certs": (missing,)}),
        good.model_copy(update={"dns_name": "a b"}),
        good.model_copy(update={"client_auth": ClientIdentity(certs=(pki.other.pem,), private_key=key)}),
        good.model_copy(update={"alpn_protocols": ("ü",)}),
    ]
    found = [check_client_tls(ClientSettings(tls=tls)) for tls in bad]
    assert [len(lines) for lines in found] == [1, 1, 1, 1]
    assert found[0] == [f"{missing}: No such file or directory"]
    assert "is no server name" in found[1][0]
    assert "does not match" in found[2][0]
    assert found[3][0].startswith("alpnProtocols: ")


def test_a_check_of_a_file_says_where_in_it_the_problem_is(pki: Pki, tmp_path: Path) -> None:
    text = f"""\
routers:
- label: global
  servers: [{{port: 0, dstName: /svc/web}}]
  client: {{tls: {{dnsName: {NAME}, trustCerts: [{pki.web.parent}/none.pem]}}}}
- label: static
  servers: [{{port: 0, dstName: /svc/web}}]
  client:
    kind: io.l5d.static
    configs:
    - {{prefix: /svc, tls: {{dnsName: {NAME}, trustCerts: [{pki.authority.pem}]}}}}
    - {{prefix: /svc/a, tls: {{dnsName: {NAME}, trustCerts: [{__file__}]}}}}
"""
    found = client_problems_of(parse_config(text.encode(), "proxy.yml", tmp_path))
    assert len(found) == 2
    assert re.match(r"proxy\.yml:4:\d+: routers\[0\]\.client\.tls: .*none\.pem: No such file", found[0])
    assert re.match(r"proxy\.yml:11:\d+: routers\[1\]\.client\.configs\[1\]\.tls: .*no BEGIN line of PEM", found[1])


def test_plain_settings_have_nothing_of_tls() -> None:
    assert not isinstance(connector_for(ClientSettings()), SecureConnector)

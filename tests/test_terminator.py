"""TLS ends at a server: the identity that was asked for, who is calling, renewals, and failures in words."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from linkerd_tcp.config.tls import ServerTls
from linkerd_tcp.errors import Cause, ConfigError
from linkerd_tcp.record import Record
from linkerd_tcp.terminator import Terminator
from tests.leaks import no_leaks
from tests.net.test_secure_half import Peer
from tests.rig import Endpoint, Rig, addresses
from tests.sockets import eventually
from tests.tls_files import Authority

assert no_leaks

Make = Callable[..., Rig]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    for name in ("default.example", "www.example.com", "*.example.com"):
        authority.sign(name)
    authority.sign("caller", "DNS:caller.example", "URI:spiffe://example/caller")
    return authority


def identity(ca: Authority, stem: str) -> dict[str, object]:
    return {"privateKey": str(ca.folder / f"{stem}.key"), "certs": [str(ca.folder / f"{stem}.pem"), str(ca.cert)]}


@pytest.fixture
def make(ca: Authority, no_leaks: None) -> Iterator[Make]:
    endpoint = Endpoint()
    made: list[Rig] = []

    def rig(folder: Path = Path("/"), **tls: object) -> Rig:
        said = {"defaultIdentity": identity(ca, "default.example"), **tls}
        said = {key: value for key, value in said.items() if value is not None}
        config = ServerTls.model_validate(said, context={"folder": folder})
        terminator = Terminator(config)
        made.append(Rig(addresses(endpoint.port), server={"tls": config, "detect_timeout_ms": 2000}))
        made[-1].server.reconfigure(made[-1].server.config, made[-1].router, terminator)
        return made[-1]

    yield rig
    for each in made:
        each.close()
    endpoint.close()


def trusting(ca: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca.cert)
    context.check_hostname = False
    return context


class Client(Peer):
    """A TLS client of a rig."""

    def __init__(self, rig: Rig, context: ssl.SSLContext, name: str | None = None) -> None:
        super().__init__(rig.connect(), None, server_side=False)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, False, name)

    @property
    def server(self) -> str:
        """The common name that was shown."""
        shown = self.tls.getpeercert()
        return dict(part[0] for part in shown["subject"])["commonName"]

    def echo(self) -> None:
        self.send(b"hello")
        assert self.read() == b"hello"

    def handshake_and_read(self) -> bytes:
        """In TLS 1.3 a refusal comes after what the client takes for the end of the handshake."""
        self.handshake()
        return self.read()

    def close(self) -> None:
        self.sock.close()


def ended(rig: Rig) -> Record:
    eventually(lambda: not rig.book.open and rig.book.closed)
    return rig.book.closed[-1]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (None, "default.example"),
        ("other.example", "default.example"),
        ("www.example.com", "www.example.com"),
        ("WWW.Example.com", "www.example.com"),
        ("mail.example.com", "*.example.com"),
        ("a.b.example.com", "default.example"),
        ("Shouted.Example.ORG", "www.example.com"),
    ],
)
def test_the_most_specific_identity_is_shown(make: Make, ca: Authority, asked: str | None, shown: str) -> None:
    names = {"www.example.com": identity(ca, "www.example.com"), "*.example.com": identity(ca, "any.example.com")}
    rig = make(identities={**names, "SHOUTED.example.org.": identity(ca, "www.example.com")})
    client = Client(rig, trusting(ca), asked)
    client.handshake()
    assert client.server == shown
    client.echo()
    client.close()
    record = ended(rig)
    assert record.envelope is not None
    assert record.envelope.server_name == (asked.lower() if asked else None)
    assert rig.server.figures.tls_handshake.count == 1


def test_without_a_default_an_unknown_name_is_unrecognized(make: Make, ca: Authority) -> None:
    rig = make(defaultIdentity=None, identities={"www.example.com": identity(ca, "www.example.com")})
    for asked in ("other.example", None):
        client = Client(rig, trusting(ca), asked)
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            client.handshake()
        client.close()
        record = ended(rig)
        assert record.cause is Cause.TLS
        assert record.detail is not None
        assert "asks for a name that has no identity here" in record.detail
    assert rig.server.figures.tls_failures == {"unrecognized_name": 2}


def test_alpn_is_agreed_and_no_overlap_is_no_failure(make: Make, ca: Authority) -> None:
    rig = make(alpnProtocols=["h2", "http/1.1"])
    for offered, agreed in ((["http/1.1"], "http/1.1"), (["spdy/3"], None)):
        context = trusting(ca)
        context.set_alpn_protocols(offered)
        client = Client(rig, context)
        client.handshake()
        assert client.tls.selected_alpn_protocol() == agreed
        client.echo()
        client.close()
        record = ended(rig)
        assert record.envelope is not None
        assert record.envelope.alpn == agreed


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken(make: Make, ca: Authority, version: ssl.TLSVersion) -> None:
    rig = make()
    context = trusting(ca)
    context.minimum_version = context.maximum_version = version
    client = Client(rig, context)
    client.handshake()
    assert client.tls.version() == version.name.replace("_", ".")
    client.echo()
    client.close()
    assert ended(rig).cause is not Cause.TLS


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_a_callers_certificate_is_in_the_envelope(make: Make, ca: Authority, mode: str) -> None:
    rig = make(clientAuth={"mode": mode, "trustCerts": [str(ca.cert)]})
    context = trusting(ca)
    context.load_cert_chain(ca.folder / "caller.pem", ca.folder / "caller.key")
    client = Client(rig, context)
    client.handshake()
    client.echo()
    client.close()
    envelope = ended(rig).envelope
    assert envelope is not None
    assert envelope.peer is not None
    assert envelope.peer.common_name == "caller"
    assert envelope.peer.dns_names == ("caller.example",)
    assert envelope.peer.uris == ("spiffe://example/caller",)


def test_a_caller_without_a_certificate_is_refused_only_where_it_is_required(make: Make, ca: Authority) -> None:
    optional = make(clientAuth={"mode": "optional", "trustCerts": [str(ca.cert)]})
    client = Client(optional, trusting(ca))
    client.handshake()
    client.echo()
    client.close()
    required = make(clientAuth={"mode": "required", "trustCerts": [str(ca.cert)]})
    client = Client(required, trusting(ca))
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        client.handshake_and_read()
    client.close()
    assert ended(required).cause is Cause.TLS
    assert required.server.figures.tls_failures == {"no_certificate": 1}


def test_plain_text_and_silence_are_failures_with_their_words(make: Make) -> None:
    rig = make()
    with rig.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert ended(rig).detail == ("TLS handshake with the client failed: it does not speak TLS (HTTP_REQUEST)")
    rig.server.reconfigure(
        rig.server.config.model_copy(update={"detect_timeout_ms": 50}), rig.router, rig.server.terminator
    )
    with rig.connect():
        eventually(lambda: len(rig.book.closed) == 2)
    assert rig.book.closed[-1].detail == "the client did not finish the TLS handshake in time"
    assert rig.server.figures.tls_failures == {"plaintext": 1, "other": 1}


def test_a_renewed_certificate_serves_within_a_second_and_a_broken_one_changes_nothing(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path / "own")
    key, cert = authority.sign("first.example", file="mine")
    rig = make(defaultIdentity={"privateKey": str(key), "certs": [str(cert)]})

    def shown() -> str:
        client = Client(rig, trusting(authority))
        client.handshake()
        name = client.server
        client.close()
        return name

    assert shown() == "first.example"
    authority.sign("second.example", file="mine")
    eventually(lambda: shown() == "second.example", secs=1.5)
    cert.write_text("nonsense")
    eventually(lambda: "the renewed certificate is not used" in caplog.text, secs=2)
    assert shown() == "second.example"
    eventually(lambda: not rig.book.open)


def test_files_that_cannot_be_used_are_refused_by_name(ca: Authority, tmp_path: Path) -> None:
    mixed = {
        "privateKey": str(ca.folder / "www.example.com.key"),
        "certs": [str(ca.folder / "default.example.pem")],
    }
    config = ServerTls.model_validate({"defaultIdentity": mixed}, context={"folder": tmp_path})
    with pytest.raises(ConfigError, match=r"www.example.com.key"):
        Terminator(config)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"clientAuth": {"mode": "required", "trustCerts": ["default.example.key"]}}, "default.example.key: no certi"),
        ({"ciphers": ["NO-SUCH-CIPHER"]}, "ciphers: this system's OpenSSL has none of NO-SUCH-CIPHER"),
        ({"alpnProtocols": ["h\u00e9"]}, "alpnProtocols: "),
    ],
)
def test_what_openssl_would_refuse_without_a_name_is_named(ca: Authority, said: dict[str, object], named: str) -> None:
    whole = {"defaultIdentity": identity(ca, "default.example"), **said}
    config = ServerTls.model_validate(whole, context={"folder": ca.folder})
    with pytest.raises(ConfigError) as refused:
        Terminator(config)
    assert named in str(refused.value)


def test_nothing_runs_on_after_it_is_closed(ca: Authority, no_leaks: None) -> None:
    config = ServerTls.model_validate(
        {"defaultIdentity": identity(ca, "default.example")}, context={"folder": ca.folder}
    )
    Terminator(config).close()
    gevent.sleep(0)


def test_an_identity_called_default_is_one_name_like_another(make: Make, ca: Authority) -> None:
    rig = make(identities={"default": identity(ca, "www.example.com")})
    for asked, shown in (("default", "www.example.com"), ("other.example", "default.example")):
        client = Client(rig, trusting(ca), asked)
        client.handshake()
        assert client.server == shown
        client.close()
    eventually(lambda: not rig.book.open)

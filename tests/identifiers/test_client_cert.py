import pytest

from linkerd_tcp.envelope import PeerCertificate
from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.identifiers.client_cert import ClientCertConfig
from linkerd_tcp.naming.path import Path
from tests.identifiers.callers import Caller

GOOD = "a server name of letters, digits, '-', '_' and '.' only"


def why(caller: Caller, peer: PeerCertificate | None, *, tls: bool = True) -> str:
    with pytest.raises(ConnectionFailed) as raised:
        caller.identify(ClientCertConfig(), tls=tls, peer=peer)
    assert raised.value.cause is Cause.IDENTIFY
    return str(raised.value).removesuffix("; the identifier has no default")


@pytest.mark.parametrize(
    ("peer", "element"),
    [
        (PeerCertificate("cn.example", ("First.example", "second.example")), "first.example"),
        (PeerCertificate("cn.example", (), ("spiffe://trust.example/ns/a",)), "cn.example"),
        (PeerCertificate("web"), "web"),
    ],
)
def test_the_first_dns_name_counts_and_only_without_any_the_common_name(
    caller: Caller, peer: PeerCertificate, element: str
) -> None:
    assert caller.identify(ClientCertConfig(), tls=True, peer=peer) == Path.read("/svc") / element


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        (None, "the client showed no certificate"),
        (PeerCertificate(None), "the client's certificate has neither a DNS name nor a common name"),
        (
            PeerCertificate(None, (), ("spiffe://trust.example/ns/a",)),
            "the client's certificate has neither a DNS name nor a common name (its URIs are not looked at)",
        ),
        (
            PeerCertificate("Alice Example"),
            f"the common name of the client's certificate cannot be used as {GOOD}: 'Alice Example'",
        ),
        (
            PeerCertificate("web", ("*.example.com",)),
            f"the DNS name of the client's certificate cannot be used as {GOOD}: '*.example.com'",
        ),
        (
            PeerCertificate(""),
            "the common name of the client's certificate cannot be used as a server name of 1 to 255 bytes: 0 bytes",
        ),
    ],
)
def test_what_else_a_certificate_says_is_told(caller: Caller, peer: PeerCertificate | None, told: str) -> None:
    assert why(caller, peer) == told


def test_without_tls_here_that_is_told(caller: Caller) -> None:
    assert why(caller, None, tls=False) == "TLS does not end here"

import pytest

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.identifiers.alpn import AlpnConfig
from linkerd_tcp.naming.path import Path
from tests.identifiers.callers import Caller, client_hello
from tests.wire.test_client_hello import alpn, hello


def why(caller: Caller, **learned: object) -> str:
    with pytest.raises(ConnectionFailed) as raised:
        caller.identify(AlpnConfig(), **learned)
    assert raised.value.cause is Cause.IDENTIFY
    return str(raised.value)


@pytest.mark.parametrize(
    ("offered", "element"),
    [(("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "http-1.1"), (("acme-tls/1",), "acme-tls-1")],
)
def test_what_a_client_offers_first_is_its_destination_where_tls_passes_through(
    caller: Caller, offered: tuple[str, ...], element: str
) -> None:
    sent = client_hello("a.example", offered)
    caller.sock.sendall(sent)
    assert caller.identify(AlpnConfig()) == Path.read("/svc") / element
    assert caller.unread(len(sent)) == sent


def test_what_was_agreed_on_is_the_destination_where_tls_ends_here(caller: Caller) -> None:
    assert caller.identify(AlpnConfig(), tls=True, alpn="http/1.1") == Path.read("/svc/http-1.1")


def test_no_protocol_is_told_for_either_end_of_tls(caller: Caller) -> None:
    assert "no application protocol (ALPN) was agreed on" in why(caller, tls=True)
    caller.sock.sendall(client_hello("a.example"))
    assert "offers no application protocol (ALPN)" in why(caller)


@pytest.mark.parametrize("protocol", [b"..", b"/", b"h2 ", b"\xe9", b"a\nb", b"x//y\0", b"%2e%2e"])
def test_a_protocol_that_is_no_element_is_told_in_plain_characters(caller: Caller, protocol: bytes) -> None:
    caller.sock.sendall(hello(alpn(protocol)))
    if protocol == b"/":
        assert caller.identify(AlpnConfig()) == Path.read("/svc/-")
        return
    told = why(caller)
    assert "the client's application protocol (ALPN) cannot be used as a server name" in told
    assert told.isascii()
    assert told.isprintable()

import pytest

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.identifiers.proxy_authority import ProxyAuthorityConfig
from linkerd_tcp.naming.path import Path
from linkerd_tcp.wire.proxy_protocol_header import Command, Parsed
from linkerd_tcp.wire.proxy_protocol_tlv import Authority
from tests.identifiers.callers import Caller

GOOD = "a server name of letters, digits, '-', '_' and '.' only"


def header(*names: str) -> Parsed:
    return Parsed(28, 2, Command.PROXY, ("10.9.0.1", 5), ("10.9.0.2", 443), tuple(map(Authority, names)))


def why(caller: Caller, proxy: Parsed | None) -> str:
    with pytest.raises(ConnectionFailed) as raised:
        caller.identify(ProxyAuthorityConfig(), proxy=proxy)
    assert raised.value.cause is Cause.IDENTIFY
    return str(raised.value).removesuffix("; the identifier has no default")


@pytest.mark.parametrize("names", [("www.example.com",), ("WWW.example.com.", "second.example.com")])
def test_the_first_authority_is_the_destination(caller: Caller, names: tuple[str, ...]) -> None:
    assert caller.identify(ProxyAuthorityConfig(), proxy=header(*names)) == Path.read("/svc/www.example.com")


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        (None, "no PROXY header came, or its sender is not trusted"),
        (header(), "the PROXY header, version 2, names no authority"),
        (
            Parsed(30, 1, Command.PROXY, ("10.9.0.1", 5), ("10.9.0.2", 443)),
            "the PROXY header, version 1, names no authority (only version 2 can)",
        ),
        (
            header("a.example:443"),
            f"the PROXY header's authority cannot be used as {GOOD}: 'a.example:443'",
        ),
    ],
)
def test_what_came_instead_of_an_authority_is_told(caller: Caller, proxy: Parsed | None, told: str) -> None:
    assert why(caller, proxy) == told

import socket

import pytest

from linkerd_tcp.connectors.connector import Target, ephemeral_ports, to_sockaddr
from linkerd_tcp.naming.addr import Address


@pytest.mark.parametrize(
    ("ip", "family", "sockaddr"),
    [
        ("127.0.0.1", socket.AF_INET, ("127.0.0.1", 80)),
        ("127.1", socket.AF_INET, ("127.0.0.1", 80)),
        ("::1", socket.AF_INET6, ("::1", 80, 0, 0)),
        ("2001:DB8:0:0::1", socket.AF_INET6, ("2001:db8::1", 80, 0, 0)),
        ("fe80::1%7", socket.AF_INET6, ("fe80::1", 80, 0, 7)),
        ("fe80::1%no-such-interface", socket.AF_INET6, ("fe80::1", 80, 0, 0)),
    ],
)
def test_an_address_becomes_what_connect_takes(ip: str, family: int, sockaddr: tuple) -> None:
    assert to_sockaddr(Address(ip, 80)) == (family, sockaddr)


@pytest.mark.parametrize("name", ["localhost", "example.com", "", "1.2.3.4.5", "::1::2"])
def test_a_name_is_refused_since_connecting_to_it_would_ask_a_resolver(name: str) -> None:
    with pytest.raises(ValueError, match="not an IP address"):
        Target(Address(name, 80))


def test_only_ports_that_the_system_picks_itself_can_meet_themselves() -> None:
    low, high = ephemeral_ports()
    assert [Target(Address("10.0.0.1", port)).may_meet_itself for port in (80, low, high)] == [False, True, True]


def test_only_loopback_is_near() -> None:
    ips = ["127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "2001:db8::1", "fe80::1%1"]
    assert [Target(Address(ip, 80)).near for ip in ips] == [True, True, True, False, False, False]

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.config.addresses import read_cidr, read_host, read_host_port, read_ip
from linkerd_tcp.net.literal import ip_literal


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("010.0.0.1", "8.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("::1", "::1"),
        ("0:0::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("127.0.0.1 x", None),
        ("127.0.0.256", None),
        ("1.2.3.4.5", None),
        ("face", None),
        ("", None),
        (":", None),
        ("\u0661.1", None),
    ],
)
def test_ip_literals_are_read_as_inet_aton_reads_them(text: str, ip: str | None) -> None:
    assert ip_literal(text) == ip


@pytest.mark.parametrize("text", ["localhost", "*", "2130706433", "", "web.example", "127.0.0.1/8"])
def test_only_an_address_can_be_listened_on(text: str) -> None:
    with pytest.raises(ValueError, match="expected an IP address"):
        read_ip(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("127.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("Web.Example", "web.example"),
        ("a_b-c.d.", "a_b-c.d."),
        ("x" * 63, "x" * 63),
    ],
)
def test_hosts(text: str, host: str) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-a",
        "a-",
        "a..b",
        "a b",
        "x" * 64,
        "a." * 127 + "a",
        "[127.0.0.1]",
        "[web]",
        "1.2.3.4.5",
        "ü",
        "a\n",
        "/",
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a host name"):
        read_host(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [("127.1:80", ("127.0.0.1", 80)), ("web:65535", ("web", 65535)), ("[::1]:1", ("::1", 1)), ("w:0080", ("w", 80))],
)
def test_host_and_port(text: str, place: tuple[str, int]) -> None:
    assert read_host_port(text) == place


@pytest.mark.parametrize(
    "text",
    ["", "web", "web:", ":80", "web:0", "web:65536", "web:x", "::1:80", "web:8 0", "web:+1", "web:\u0661", "[web]:80"],
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_host_port(text)


def test_a_network_with_host_bits_is_refused_with_the_network_it_is_in() -> None:
    with pytest.raises(ValueError, match=r"did you mean 10\.0\.0\.0/8\?"):
        read_cidr("10.0.0.1/8")
    assert str(read_cidr("10.0.0.0/8")) == "10.0.0.0/8"
    assert str(read_cidr("10.0.0.1")) == "10.0.0.1/32"


@pytest.mark.parametrize("read", [read_ip, read_host, read_host_port, read_cidr])
@given(text=st.text(max_size=20) | st.text(alphabet="0123456789.:[]xa/", max_size=20))
def test_any_text_is_read_or_refused(read: Callable[[str], Any], text: str) -> None:
    try:
        read(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017

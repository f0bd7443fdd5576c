"""Version 1: what is asked for on the way, and what is built."""

import pytest

from linkerd_tcp.wire.parsing import Incomplete
from linkerd_tcp.wire.proxy_protocol import Command, Family, Parsed, Transport, build_v1, parse


@pytest.mark.parametrize(
    ("so_far", "need"),
    [
        (b"P", 15),
        (b"PROXY ", 15),
        (b"PROXY U", 15),
        (b"PROXY T", 22),
        (b"PROXY TCP4", 32),
        (b"PROXY TCP6 ", 22),
        (b"PROXY UNKNOWN", 15),
        (b"PROXY UNKNOWN\r", 15),
        (b"PROXY UNKNOWN 12345", 21),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443", 45),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r", 45),
    ],
)
def test_what_is_needed_is_what_is_certain(so_far: bytes, need: int) -> None:
    assert parse(so_far) == Incomplete(need)


@pytest.mark.parametrize(
    ("source", "destination", "line"),
    [
        (("192.0.2.1", 56324), ("198.51.100.2", 443), b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"),
        (("2001:DB8:0::1", 0), ("::", 65535), b"PROXY TCP6 2001:db8::1 :: 0 65535\r\n"),
        (("fe80::1%eth0", 1), ("fe80::2%3", 2), b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"),
    ],
)
def test_a_line_is_built_as_the_text_has_it(source: tuple[str, int], destination: tuple[str, int], line: bytes) -> None:
    assert build_v1(source, destination) == line


def test_mapped_and_mixed_addresses_are_written_in_hexadecimal_groups() -> None:
    line = build_v1(("::ffff:192.0.2.1", 1), ("198.51.100.2", 2))
    assert line == b"PROXY TCP6 ::ffff:c000:201 ::ffff:c633:6402 1 2\r\n"
    ends = ("::ffff:192.0.2.1", 1), ("::ffff:198.51.100.2", 2)
    assert parse(line) == Parsed(len(line), 1, Command.PROXY, *ends, (), Family.INET6, Transport.STREAM)


@pytest.mark.parametrize("end", [("example.com", 80), ("192.0.2.1", 65536), ("192.0.2.1", -1), ("192.0.2.01", 1)])
def test_what_is_no_address_or_port_is_not_written(end: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match=r"port|IP"):
        build_v1(end, ("192.0.2.2", 80))
    with pytest.raises(ValueError, match=r"port|IP"):
        build_v1(("192.0.2.2", 80), end)

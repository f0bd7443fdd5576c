"""CRC32c against published values."""

import pytest

from linkerd_tcp.wire.proxy_protocol_crc32c import crc32c


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of CRC-32C in every catalogue
        (bytes(32), 0x8A9136AA),  # this and the rest: RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, value: int) -> None:
    assert crc32c(data) == value

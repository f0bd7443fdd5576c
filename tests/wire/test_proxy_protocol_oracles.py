"""Two other Python parsers on the same bytes. Where they differ from ours, the corpus says who is right by the text."""

import importlib
import struct
from collections.abc import Callable
from ipaddress import ip_address
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkerd_tcp.wire.proxy_protocol import Authority, UniqueId, build_v1, build_v2, parse
from tests.programs import missing
from tests.wire.proxy_protocol_corpus import Case, cases

CASES = [*cases("valid"), *cases("invalid")]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def module(package: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(f"the package {package}")


class Arrived:
    """aiosmtpd's reader, of which all bytes are there: its coroutine never has to wait."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self, number: int) -> bytes:
        part, self.data = self.data[:number], self.data[number:]
        return part

    async def readexactly(self, number: int) -> bytes:
        if len(self.data) < number:
            raise EOFError
        return await self.read(number)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        if separator not in self.data:
            raise EOFError
        return await self.read(self.data.index(separator) + len(separator))


def aiosmtpd(data: bytes) -> str:
    get_proxy = module("aiosmtpd", "aiosmtpd.proxy_protocol").get_proxy
    try:
        get_proxy(Arrived(data)).send(None)
    except StopIteration as done:
        answer = done.value
    if not answer.valid:
        return "refuse"
    try:
        answer.tlv  # noqa: B018 - it is parsed when it is asked for
    except IndexError:
        return "refuse"
    if answer.command == 0 or answer.src_addr is None:
        return "real"
    return "unix" if isinstance(answer.src_addr, bytes) else "accept"


def proxy_protocol(data: bytes) -> str:
    detect = module("proxy-protocol", "proxyprotocol.detect").ProxyProtocolDetect()
    incomplete = module("proxy-protocol", "proxyprotocol").ProxyProtocolIncompleteError
    try:
        answer = detect.unpack(data)
    except incomplete:
        return "wait"
    except (ValueError, struct.error):
        return "refuse"
    if not answer.proxied or answer.source is None:
        return "real"
    return "accept" if isinstance(answer.peername, tuple) else "unix"


@every_case
@pytest.mark.parametrize(
    ("name", "oracle"),
    [("aiosmtpd 1.4.6", aiosmtpd), ("proxy-protocol 0.11.3", proxy_protocol)],
    ids=["aiosmtpd", "proxy-protocol"],
)
def test_the_other_parsers_say_what_is_written_down(case: Case, name: str, oracle: Callable[[bytes], str]) -> None:
    assert oracle(case.data) == case.verdicts[name]


ports = st.integers(0, 65535)
ends = st.tuples(st.ip_addresses(v=4).map(str), ports) | st.tuples(st.ip_addresses(v=6).map(str), ports)


@given(ends, ends, st.binary(max_size=128), st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_is_built_is_read_alike_by_proxy_protocol(
    source: tuple[str, int], destination: tuple[str, int], unique_id: bytes, authority: str
) -> None:
    detect = module("proxy-protocol", "proxyprotocol.detect").ProxyProtocolDetect()
    for header in (build_v1(source, destination), build_v2(source, destination, [UniqueId(unique_id)])):
        ours, theirs = parse(header), detect.unpack(header)
        assert (ip_address(ours.source[0]), ours.source[1]) == theirs.source
        assert (ip_address(ours.destination[0]), ours.destination[1]) == theirs.dest
    tlv = detect.unpack(build_v2(source, destination, [Authority(authority), UniqueId(unique_id)])).tlv
    assert (tlv.authority or "", tlv.unique_id or b"") == (authority, unique_id)

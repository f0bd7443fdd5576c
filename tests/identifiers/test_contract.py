"""What holds for every identifier there is: add a kind to CASES when it is registered."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import pytest

from linkerd_tcp import registry
from linkerd_tcp.envelope import PeerCertificate
from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.naming.path import Path
from linkerd_tcp.wire.proxy_protocol_header import Command, Parsed
from linkerd_tcp.wire.proxy_protocol_tlv import Authority
from tests.identifiers.callers import Caller
from tests.wire.test_client_hello import alpn, hello, server_name

Case = Callable[[bytes], tuple[bytes, dict[str, Any]]]
"""How a client shows a name: (the bytes that it sends, what the envelope says)."""


def in_sni(name: bytes) -> tuple[bytes, dict[str, Any]]:
    return hello(server_name(name)), {}


def in_alpn(name: bytes) -> tuple[bytes, dict[str, Any]]:
    return hello(alpn(name[:255])), {}


def in_certificate(name: bytes) -> tuple[bytes, dict[str, Any]]:
    return b"", {"tls": True, "peer": PeerCertificate(None, (name.decode("latin-1"),))}


def in_authority(name: bytes) -> tuple[bytes, dict[str, Any]]:
    ends = ("10.9.0.1", 5), ("10.9.0.2", 443)
    return b"", {"proxy": Parsed(28, 2, Command.PROXY, *ends, (Authority(name.decode("latin-1")),))}


def nowhere(name: bytes) -> tuple[bytes, dict[str, Any]]:
    return b"", {}


CASES: dict[str, Case] = {
    "io.l5d.static": nowhere,
    "io.l5d.sni": in_sni,
    "io.l5d.alpn": in_alpn,
    "io.l5d.clientCert": in_certificate,
    "io.l5d.proxyAuthority": in_authority,
    "io.l5d.localAddress": nowhere,
}
BY_NAME = [kind for kind, case in CASES.items() if case is not nowhere]
HOSTILE = [
    b"..",
    b".",
    b".hidden",
    b"a..b",
    b"../../etc/passwd",
    b"a/b",
    b"a b",
    b"a\nb",
    b"a\0",
    b"\x1b[31m",
    b"*",
    b"{a}",
    b"#",
    b"$",
    b"a|b",
    b"a;b=>c",
    "münchen".encode(),
    "\u212aelvin".encode(),  # lower() makes it a plain k
    b"\xff\xfe",
    b"x" * 256,
    b"10.0.0.1",
]


def configured(kind: str, **options: Any) -> Any:
    required = {"path": Path.read("/svc/web")} if kind == "io.l5d.static" else {}
    return registry.load("identifier", kind)(kind=kind, **required, **options)


def test_every_kind_that_is_registered_is_held_to_this() -> None:
    assert set(CASES) == set(registry.BUILT_IN["identifier"])


@pytest.mark.parametrize("kind", CASES)
class TestEveryIdentifier:
    def test_equal_options_make_equal_configurations(self, kind: str) -> None:
        assert configured(kind) == configured(kind)
        assert hash(configured(kind)) == hash(configured(kind))
        assert configured(kind).kind == kind

    def test_what_the_client_sent_stays_in_the_socket(self, kind: str, caller: Caller) -> None:
        sent, learned = CASES[kind](b"web.example")
        sent += b"and more"
        caller.sock.sendall(sent)
        assert caller.identify(configured(kind), **learned)[0] == "svc"
        assert caller.unread(len(sent)) == sent

    def test_a_silent_client_holds_it_no_longer_than_the_deadline(self, kind: str, caller: Caller) -> None:
        _, learned = CASES[kind](b"web.example")
        with gevent.Timeout(2), suppress(ConnectionFailed):
            caller.identify(configured(kind), 0.05, **learned)


@pytest.mark.parametrize("kind", BY_NAME)
class TestEveryIdentifierByName:
    @pytest.mark.parametrize("name", [b"web", b"web-1.example", b"under_score", b"xn--mnchen-3ya.example", b"x" * 255])
    def test_a_name_is_one_element_behind_the_prefix(self, kind: str, name: bytes, caller: Caller) -> None:
        sent, learned = CASES[kind](name)
        caller.sock.sendall(sent)
        prefix = Path.read("/a/b")
        assert caller.identify(configured(kind, prefix=prefix), **learned) == prefix / name.decode()

    def test_the_prefix_is_svc_and_the_name_in_lower_case_without_a_trailing_dot(
        self, kind: str, caller: Caller
    ) -> None:
        sent, learned = CASES[kind](b"Web.EXAMPLE.")
        caller.sock.sendall(sent)
        assert caller.identify(configured(kind), **learned) == Path.read("/svc/web.example")

    @pytest.mark.parametrize("name", HOSTILE, ids=repr)
    def test_a_hostile_name_is_none_and_its_telling_is_harmless(self, kind: str, name: bytes, caller: Caller) -> None:
        if kind == "io.l5d.alpn" and b"/" in name:
            name = name.replace(b"/", b"\\")  # a slash is written as a dash there
        if kind == "io.l5d.alpn" and len(name) > 255:
            name = b"\x80" * 255  # longer cannot be said
        sent, learned = CASES[kind](name)
        caller.sock.sendall(sent)
        other = Path.read("/svc/other")
        assert caller.identify(configured(kind, default=other), **learned) == other
        with pytest.raises(ConnectionFailed) as raised:
            caller.identify(configured(kind), **learned)
        assert raised.value.cause is Cause.IDENTIFY
        assert re.fullmatch(r"[ -~]{20,300}", str(raised.value))

    def test_nothing_at_all_is_default_or_the_reason(self, kind: str, caller: Caller) -> None:
        other = Path.read("/svc/other")
        assert caller.identify(configured(kind, default=other), 0.05) == other
        with pytest.raises(ConnectionFailed, match="; the identifier has no default") as raised:
            caller.identify(configured(kind), 0.05)
        assert raised.value.cause is Cause.IDENTIFY

"""SNI to a path: TLS that passes through and TLS that ends here, and everything that is neither."""

import gevent
import pytest

from linkerd_tcp.errors import Cause, ConnectionFailed
from linkerd_tcp.identifiers.sni import SniConfig
from linkerd_tcp.naming.path import Path
from tests.identifiers.callers import Caller, client_hello
from tests.sockets import reset
from tests.wire.test_client_hello import hello, message, padding, records, server_name

OTHER = Path.read("/svc/other")
SNI = SniConfig()


def why(caller: Caller, secs: float = 5.0, **learned: object) -> str:
    with pytest.raises(ConnectionFailed) as raised:
        caller.identify(SNI, secs, **learned)
    assert raised.value.cause is Cause.IDENTIFY
    return str(raised.value)


def test_tls_that_passes_through_goes_where_its_hello_says_and_all_of_it_is_still_there(caller: Caller) -> None:
    sent = client_hello("www.example.com") + b"and what follows"
    caller.sock.sendall(sent)
    assert caller.identify(SNI) == Path.read("/svc/www.example.com")
    assert caller.unread(len(sent)) == sent


def test_it_can_arrive_byte_by_byte(caller: Caller) -> None:
    sent = client_hello("drip.example.com")
    dripping = caller.drip(sent)
    assert caller.identify(SNI) == Path.read("/svc/drip.example.com")
    assert caller.unread(len(sent)) == sent
    dripping.get(timeout=5)


def test_a_large_hello_in_many_records_is_joined(caller: Caller) -> None:
    sent = records(message(padding(1500), server_name(b"large.example.com")), 1, 3, 700)
    dripping = caller.drip(sent)
    assert caller.identify(SNI) == Path.read("/svc/large.example.com")
    dripping.get(timeout=5)


def test_the_prefix_stands_before_the_name(caller: Caller) -> None:
    caller.sock.sendall(client_hello("a.b"))
    assert caller.identify(SniConfig(prefix=Path.read("/tls/in"))) == Path.read("/tls/in/a.b")


@pytest.mark.parametrize(("name", "element"), [(b"WWW.Example.COM", "www.example.com"), (b"a.example.", "a.example")])
def test_a_name_is_lower_case_and_without_its_trailing_dot(caller: Caller, name: bytes, element: str) -> None:
    caller.sock.sendall(hello(server_name(name)))
    assert caller.identify(SNI) == Path.read("/svc") / element


def test_where_tls_ends_here_the_handshakes_name_counts_and_no_byte_is_looked_at(caller: Caller) -> None:
    caller.sock.sendall(client_hello("not.this"))
    assert caller.identify(SNI, tls=True, server_name="Web.example.com.") == Path.read("/svc/web.example.com")


def test_where_tls_ends_here_without_a_name_nothing_is_waited_for(caller: Caller) -> None:
    with gevent.Timeout(2):
        assert caller.identify(SniConfig(default=OTHER), 60, tls=True) == OTHER
        words = "the client asked for no server name (SNI) in its TLS handshake; the identifier has no default"
        assert why(caller, 60, tls=True) == words


NOTHING = [
    (client_hello(None), "the client's TLS ClientHello asks for no server name (SNI)"),
    (b"GET / HTTP/1.1\r\n", "no TLS ClientHello: byte 0: expected a TLS handshake record (0x16), found 0x47 'G'"),
    (hello(server_name(b"../etc/passwd")), "found '../etc/passwd'"),
    (hello(server_name(b"a/b")), "expected a server name of letters, digits"),
    (hello(server_name(b"10.0.0.1")), "which no address is"),
    (hello(server_name(b"x" * 5000)), "found 5000 bytes"),
    (hello(server_name(b"a\0b")), "a\\x00b"),
    (records(message(padding(17_000)), 16_000), "expected a ClientHello of at most 16384 bytes"),
]


@pytest.mark.parametrize(("sent", "words"), NOTHING, ids=range(len(NOTHING)))
def test_what_has_no_good_name_goes_to_default_or_is_told_at_once(caller: Caller, sent: bytes, words: str) -> None:
    caller.sock.sendall(sent)
    with gevent.Timeout(2):
        assert caller.identify(SniConfig(default=OTHER), 60) == OTHER
        told = why(caller, 60)
    assert words in told
    assert told.endswith("; the identifier has no default")
    assert told.isascii()
    assert told.isprintable()
    assert caller.unread(len(sent)) == sent


def test_a_protocol_in_which_the_server_speaks_first_goes_to_default_at_the_deadline(caller: Caller) -> None:
    assert caller.identify(SniConfig(default=OTHER), 0.05) == OTHER
    assert why(caller, 0.05).startswith("the client sent nothing within detectTimeoutMs")


def test_a_hello_that_does_not_get_whole_in_time_is_none_and_stays(caller: Caller) -> None:
    sent = client_hello()[:100]
    caller.sock.sendall(sent)
    assert caller.identify(SniConfig(default=OTHER), 0.05) == OTHER
    assert why(caller, 0.05).startswith("the client sent 100 bytes of a TLS ClientHello within detectTimeoutMs")
    assert caller.unread(100) == sent


@pytest.mark.parametrize(("sent", "told"), [(b"", "nothing"), (client_hello()[:7], "7 bytes of a TLS ClientHello")])
def test_an_end_before_a_whole_hello_is_told_at_once(caller: Caller, sent: bytes, told: str) -> None:
    caller.sock.sendall(sent)
    caller.sock.shutdown(1)
    with gevent.Timeout(2):
        assert caller.identify(SniConfig(default=OTHER), 60) == OTHER
        assert why(caller, 60).startswith(f"the client sent {told} before it ended its side")


def test_a_reset_is_no_case_for_default(caller: Caller) -> None:
    gevent.spawn_later(0.02, reset, caller.sock)
    with pytest.raises(ConnectionFailed) as raised:
        caller.identify(SniConfig(default=OTHER))
    assert raised.value.cause is Cause.RESET

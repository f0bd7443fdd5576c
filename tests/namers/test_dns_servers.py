import os
import socket
from pathlib import Path as File

import dns.name
import pytest

from namers.dns_servers import Chosen, Server, Settings, read_domain, read_resolv_conf, read_server

EXAMPLE = dns.name.from_text("svc.example.")


@pytest.mark.parametrize(
    ("text", "server", "shown"),
    [
        ("127.0.0.1", Server("127.0.0.1", 53), "127.0.0.1:53"),
        ("127.0.0.1:5353", Server("127.0.0.1", 5353), "127.0.0.1:5353"),
        ("::1", Server("::1", 53), "[::1]:53"),
        ("[::1]", Server("::1", 53), "[::1]:53"),
        ("[0:0::1]:5353", Server("::1", 5353), "[::1]:5353"),
    ],
)
def test_a_server_is_an_address_and_perhaps_a_port(text: str, server: Server, shown: str) -> None:
    assert read_server(text) == server
    assert str(server) == shown


@pytest.mark.parametrize(
    "text", ["", "dns.example", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "[::1", "[::1]x", "::1:x"]
)
def test_what_is_no_server_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_server(text)


def test_a_scope_is_looked_up_when_it_is_used() -> None:
    name = socket.if_indextoname(1)
    assert Server(f"fe80::1%{name}").address() == ("fe80::1", 53, 0, 1)
    with pytest.raises(OSError, match="interface"):
        Server("fe80::1%nosuchif").address()


@pytest.mark.parametrize("text", ["", "a..b", "x" * 64, "bücher.example"])
def test_what_is_no_domain_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="expected a domain"):
        read_domain(text)


def test_resolv_conf_is_read_as_the_c_library_does() -> None:
    settings = read_resolv_conf(
        "# a comment\n; another\n"
        "nameserver 10.0.0.1\nnameserver fd00::1 \nnameserver nonsense\nnameserver\n"
        "domain left.out\nsearch svc.example corp.example\n"
        "options timeout:1 ndots:2 rotate\nwhat is this\n"
        "nameserver 10.0.0.2\nnameserver 10.0.0.3\n"
    )
    assert settings.servers == (Server("10.0.0.1"), Server("fd00::1"), Server("10.0.0.2"))
    assert [str(domain) for domain in settings.search] == ["svc.example.", "corp.example."]
    assert settings.ndots == 2


def test_without_a_server_this_machine_is_asked() -> None:
    assert read_resolv_conf("") == Settings((Server("127.0.0.1"),))


@pytest.mark.parametrize(
    ("name", "ndots", "expected"),
    [
        ("web", 1, ["web.svc.example.", "web."]),
        ("web.a", 1, ["web.a.", "web.a.svc.example."]),
        ("web.a", 2, ["web.a.svc.example.", "web.a."]),
        ("web", 0, ["web.", "web.svc.example."]),
        ("web.", 1, ["web."]),
        ("x" * 60 + ".a" * 95, 1, ["x" * 60 + ".a" * 95 + "."]),
    ],
)
def test_names_are_searched_for_as_resolv_conf_says(name: str, ndots: int, expected: list[str]) -> None:
    settings = Settings((Server("127.0.0.1"),), (EXAMPLE,), ndots)
    assert [str(candidate) for candidate in settings.candidates(name)] == expected


def test_a_changed_resolv_conf_is_noticed(tmp_path: File) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.0.0.1\n")
    chosen = Chosen(path=str(path))
    assert chosen.current.servers == (Server("10.0.0.1"),)
    assert not chosen.look(0)
    os.utime(path, ns=(1, 1))
    assert not chosen.look(0)  # the same servers
    fresh = tmp_path / "new"
    fresh.write_text("nameserver 10.0.0.2\nsearch svc.example\n")
    fresh.replace(path)
    assert not chosen.look(3600)  # not that often
    assert chosen.look(0)
    assert chosen.current == Settings((Server("10.0.0.2"),), (EXAMPLE,))
    path.unlink()
    assert chosen.look(0)
    assert chosen.current.servers == (Server("127.0.0.1"),)
    assert not chosen.look(0)
    path.write_bytes(b"nameserver 10.0.0.3\n\xff\xfe")
    assert chosen.look(0)
    assert chosen.current.servers == (Server("10.0.0.3"),)


def test_servers_of_ones_own_have_nothing_from_the_system(tmp_path: File) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.0.0.1\nsearch svc.example\noptions ndots:5\n")
    own = (Server("127.0.0.1", 5353),)
    assert Chosen(own, path=str(path)).current == Settings(own)
    assert Chosen(own, (EXAMPLE,), 2, str(path)).current == Settings(own, (EXAMPLE,), 2)
    assert not Chosen(own, path=str(path)).look(0)


def test_what_is_configured_wins_over_the_system(tmp_path: File) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.0.0.1\nsearch svc.example\noptions ndots:5\n")
    chosen = Chosen(search=(), ndots=1, path=str(path))
    assert chosen.current == Settings((Server("10.0.0.1"),), (), 1)

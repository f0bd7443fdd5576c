import ctypes
import errno
import socket
import subprocess

import pytest

from linkerd_tcp.net import interfaces
from linkerd_tcp.net.interfaces import local_addresses
from tests.programs import program


def test_they_are_those_that_the_system_s_own_tool_shows() -> None:
    lines = subprocess.run([program("ip"), "-o", "addr", "show", "up"], capture_output=True, text=True, check=True)
    words = [line.split() for line in lines.stdout.splitlines()]
    assert local_addresses() == {each[3].partition("/")[0] for each in words if each[2] in ("inet", "inet6")}


def test_the_loopback_is_among_them_in_its_usual_spelling() -> None:
    assert "127.0.0.1" in local_addresses()
    for text in local_addresses():
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        assert socket.inet_ntop(family, socket.inet_pton(family, text)) == text


def test_a_system_that_refuses_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def getifaddrs(self, _first: object) -> int:
            ctypes.set_errno(errno.EMFILE)
            return -1

    monkeypatch.setattr(interfaces, "_library", Refusing)
    with pytest.raises(OSError, match="Too many open files"):
        local_addresses()

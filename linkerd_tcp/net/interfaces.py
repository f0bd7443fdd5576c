"""The addresses of this machine's own network interfaces, asked of the C library: getifaddrs(3)."""

import ctypes
import os
import socket
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

_IFF_UP: Final = 0x1
_HAS_LENGTH: Final = sys.platform != "linux"
"""On BSDs, macOS too, a sockaddr begins with its length in one byte, and the family is the second."""

_PLACES: Final[dict[int, tuple[int, int]]] = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
"""Of each family: where in the sockaddr the address is, and its length in bytes."""


class _Interface(ctypes.Structure):
    """The beginning of struct ifaddrs, as far as it is read here."""


_Interface._fields_ = [
    ("next", ctypes.POINTER(_Interface)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def local_addresses() -> frozenset[str]:
    """The IP addresses of every interface that is up, the loopback's too, in their usual spelling and without a scope.

    OSError where the system refuses. Takes a twentieth of a millisecond.
    """
    first = ctypes.POINTER(_Interface)()
    if _library().getifaddrs(ctypes.byref(first)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    try:
        return frozenset(_addresses(first))
    finally:
        _library().freeifaddrs(first)


def _addresses(interface: Any) -> Iterator[str]:
    while interface:
        each = interface.contents
        if each.flags & _IFF_UP and each.address:
            head = ctypes.string_at(each.address, 2)
            family = head[1] if _HAS_LENGTH else int.from_bytes(head, sys.byteorder)
            place = _PLACES.get(family)
            if place is not None:
                yield socket.inet_ntop(family, ctypes.string_at(each.address + place[0], place[1]))
        interface = each.next

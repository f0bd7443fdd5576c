"""What runs here: versions, the event loop, the machine."""

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from gevent.hub import get_hub

from linkerd_tcp import __version__

LIBRARIES: Final = (
    "gevent", "greenlet", "flask", "werkzeug", "jinja2", "pydantic", "pyyaml", "watchdog", "prometheus-client",
    "cryptography", "dnspython", "requests", "urllib3",
)  # fmt: skip


def about() -> list[tuple[str, str]]:
    """(what, which), as long as it is short."""
    python = f"{platform.python_version()} ({platform.python_implementation()})"
    return [
        ("Version", __version__),
        ("Python", python),
        ("gevent", _version("gevent")),
        ("Event loop", _loop()),
        ("Platform", _system()),
    ]


def libraries() -> Iterator[str]:
    """`gevent 24.10.1`; each takes a look at the disk."""
    for name in LIBRARIES:
        yield f"{name} {_version(name)}"
    # It is large: nobody loads it to be told which it is.
    tls = sys.modules.get("ssl")
    if tls is not None:
        yield str(tls.OPENSSL_VERSION)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not there as a package"


def _loop() -> str:
    """`libev epoll`: the library, and what of the kernel it asks."""
    loop = get_hub().loop
    library = type(loop).__module__.removeprefix("gevent.").partition(".")[0]
    return f"{library} {getattr(loop, 'backend', '')}".strip()


def _system() -> str:
    """Of the kernel, and of the distribution where there is such a file."""
    kernel = os.uname()
    words = f"{kernel.sysname} {kernel.release} {kernel.machine}"
    try:
        return f"{words}, {platform.freedesktop_os_release()['PRETTY_NAME']}"
    except (OSError, KeyError):
        return words

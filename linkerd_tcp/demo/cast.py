"""The other process of the demo: three backends, the folder with their names, and clients.

It says where they are in a line of JSON, waits for a line that says where to connect, and ends, leaving nothing, when
what it reads is at its end: so it cannot outlive the program that started it, however that ended.
"""

import json
import os
import signal
import socket
import tempfile
from contextlib import ExitStack, closing
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import gevent
from gevent.event import Event
from gevent.fileobject import FileObject

from linkerd_tcp.backends import ExampleBackend
from linkerd_tcp.demo.load import Load
from linkerd_tcp.errors import StartError

SLOW_SECS: Final = 0.15
FIRST_SECS: Final = 10.0
"""From the start of the load to the first time that the flaky backend fails."""

DOWN_SECS: Final = 15.0
UP_SECS: Final = 20.0

ADMIN_PORT: Final = 9989
PREFIX: Final = "linkerd-tcp-demo-"

_OPTION: Final = "--demo"

_WEB: Final = """\
# Who serves /svc/web. An edit is used as soon as it is saved. Try a `#` before a line, or a weight:
# - {{host: 127.0.0.1, port: {steady}, weight: 0.5}}
- 127.0.0.1:{steady}  # answers at once
- 127.0.0.1:{slow}  # answers after {delay_ms} ms
- 127.0.0.1:{flaky}  # refuses connections for {down} s, then works for {up} s, and so on
"""

_CANARY: Final = """\
# Who serves /svc/canary.
- 127.0.0.1:{steady}
"""


def play(orders: int, says: int) -> int:
    """See the module; an exit status. `orders` and `says` are descriptors."""
    ended = Event()
    gevent.signal_handler(signal.SIGTERM, ended.set)
    with ExitStack() as stack:
        try:
            backends = [ExampleBackend(0, delay_secs=secs, option=_OPTION) for secs in (0.0, SLOW_SECS, 0.0)]
            for backend in backends:
                backend.start()
                stack.enter_context(closing(backend))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
            write(folder, *(backend.port for backend in backends))
            _say(says, {"folder": str(folder), "ports": [backend.port for backend in backends]})
        except (StartError, OSError) as error:
            _say(says, {"error": str(error)})
            return 1
        listening = gevent.spawn(_obey, FileObject(orders, "rb", closefd=False), backends[2], ended, stack)
        ended.wait()
        listening.kill()
    return 0


def _obey(orders: Any, flaky: ExampleBackend, ended: Event, stack: ExitStack) -> None:
    """The line that says where to connect, and then the end."""
    try:
        line = orders.readline()
        if line:
            where = json.loads(line)
            load = Load(tuple(where["shop"]), tuple(where["lost"]))
            load.start()
            stack.enter_context(closing(load))
            failing = gevent.spawn(fail_now_and_then, flaky)
            stack.callback(failing.kill)
            orders.read()
    finally:
        ended.set()


def fail_now_and_then(backend: ExampleBackend) -> None:
    """Refuse connections for DOWN_SECS, after FIRST_SECS for the first time and then after UP_SECS each time."""
    gevent.sleep(FIRST_SECS)
    while True:
        backend.pause()
        gevent.sleep(DOWN_SECS)
        while not _resumed(backend):
            gevent.sleep(1.0)
        gevent.sleep(UP_SECS)


def _resumed(backend: ExampleBackend) -> bool:
    try:
        backend.resume()
    except StartError:
        return False
    return True


def write(folder: Path, steady: int, slow: int, flaky: int) -> None:
    """demo.yml and the endpoint files beside it. Admin gets its usual port unless that is taken."""
    text = files("linkerd_tcp.demo").joinpath("demo.yml").read_text("utf-8")
    if not _is_free(ADMIN_PORT):
        text = on_any_port(text)
    disco = folder / "disco"
    disco.mkdir()
    values = {"steady": steady, "slow": slow, "flaky": flaky}
    times = {"delay_ms": round(SLOW_SECS * 1e3), "down": round(DOWN_SECS), "up": round(UP_SECS)}
    (disco / "web.yml").write_text(_WEB.format(**values, **times))
    (disco / "canary.yml").write_text(_CANARY.format(**values))
    (folder / "demo.yml").write_text(text)


def on_any_port(text: str) -> str:
    """demo.yml with its admin on a port that is free."""
    return text.replace(f"  port: {ADMIN_PORT}\n", f"  port: 0  # {ADMIN_PORT} was taken\n")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _say(says: int, what: dict[str, Any]) -> None:
    os.write(says, json.dumps(what).encode() + b"\n")

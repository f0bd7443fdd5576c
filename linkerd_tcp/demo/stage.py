"""The demo, as the program sees it: a process that is started and ended, a configuration, and what a person is told."""

import json
import logging
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import gevent

from linkerd_tcp.demo.cast import DOWN_SECS, FIRST_SECS, SLOW_SECS, UP_SECS, on_any_port
from linkerd_tcp.demo.load import PER_SEC
from linkerd_tcp.errors import StartError
from linkerd_tcp.record import address_text

START_SECS: Final = 20.0
END_SECS: Final = 2.0

PENALTY_SECS: Final = 5
"""As demo.yml has it."""

_log = logging.getLogger(__name__)

_GUIDE: Final = """
The dashboard: {admin}
Clients connect {per_second} times a second to three backends:

  {steady}  answers at once
  {slow}  takes {delay_ms} ms, so it has more open than the others, and gets fewer
  {flaky}  in about {first} s it refuses connections, for {down} s: watch the overview, which says since
                   when, why, and what the router does. No client fails, others serve them. Within {penalty} s of
                   its return one client's connection tries it, and it is back. After {up} s it fails again

Look, too:

  at a connection that failed, and says why: {admin}connections?state=failed
  where /svc/shop goes, and in what shares:  {admin}delegator?path=/svc/shop

Take part:

  curl http://{shop}/
  edit {folder}/disco/web.yml and save it
  cd {folder}/disco && cp web.yml reports.yml, and /svc/reports is found

  The configuration is {folder}/demo.yml
  It goes at the end: copy the folder to begin one of your own

Ctrl-C stops.
"""


class Stage:
    """From `with` to its end there are backends, or a StartError; from `begin` on there are clients, too."""

    def __init__(self) -> None:
        self.folder = Path()
        self._ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._watching: gevent.Greenlet[..., None] | None = None
        self._dismissed = False

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The configuration file."""
        return str(self.folder / "demo.yml")

    def leave_port(self) -> bool:
        """Let admin have any port; False if it had already."""
        file = Path(self.path)
        before = file.read_text("utf-8")
        after = on_any_port(before)
        file.write_text(after, "utf-8")
        return after != before

    def begin(self, servers: list[tuple[str, int]], admin_url: str) -> str:
        """Let clients connect to the addresses of the file's two servers; what to tell the person who looks."""
        assert self._process is not None
        assert self._process.stdin is not None
        shop, lost = servers
        with suppress(OSError):  # it has ended already, which is said by who watches it
            self._process.stdin.write(json.dumps({"shop": shop, "lost": lost}).encode() + b"\n")
            self._process.stdin.flush()
        return self._guide(address_text(shop), admin_url)

    def dismiss(self) -> None:
        """Ask for the end of clients and backends; returns at once."""
        self._dismissed = True
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        """The end of it all."""
        self.dismiss()
        process = self._process
        if process is None:
            return
        self._process = None
        if self._watching is not None:
            self._watching.kill()
        try:
            process.wait(END_SECS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if self._ports:
            shutil.rmtree(self.folder, ignore_errors=True)  # gone already, unless it was killed

    def _start(self) -> None:
        # A session of its own: a terminal's Ctrl-C is for this process, which then closes the other one's pipe.
        command = [sys.executable, "-m", "linkerd_tcp.demo"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout is not None
        line = b""
        with gevent.Timeout(START_SECS, False):
            line = self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"error": "the process of the backends did not start"}
        if "error" in said:
            raise StartError(f"--demo: {said['error']}")
        self.folder, self._ports = Path(said["folder"]), said["ports"]
        self._watching = gevent.spawn(self._watch)

    def _watch(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.read()
        if not self._dismissed:
            _log.error("the demo's backends and clients have ended; Ctrl-C and start it again")

    def _guide(self, shop: str, admin_url: str) -> str:
        steady, slow, flaky = (f"127.0.0.1:{port}" for port in self._ports)
        return _GUIDE.format(
            per_second=PER_SEC,
            admin=admin_url,
            steady=steady,
            slow=slow,
            flaky=flaky,
            shop=shop,
            folder=self.folder,
            delay_ms=round(SLOW_SECS * 1e3),
            first=round(FIRST_SECS),
            down=round(DOWN_SECS),
            up=round(UP_SECS),
            penalty=PENALTY_SECS,
        )

"""The real `linkerd-tcp --demo`."""

import re
import signal
from pathlib import Path
from typing import Any

from tests.system.harness import Proxy, until


class Demo(Proxy):
    """From `with` to its end; it is there when all of its text is. Its temporary folder is made under `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "", environment={"TMPDIR": str(folder)}, wait=False)
        self._command = [*self._command[:-1], "--demo"]

    def wait_until_begun(self) -> None:
        until("all of the text", lambda: "Ctrl-C stops." in self.log)

    @property
    def files(self) -> Path:
        """The folder with its configuration."""
        (found,) = self.folder.glob("linkerd-tcp-demo-*")
        return found

    @property
    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    @property
    def flaky(self) -> dict[str, Any]:
        """The row in /bindings.json of the backend that fails now and then."""
        found = re.search(r"(\S+)  in about \d+ s it refuses connections", self.log)
        assert found, self.log
        return self.endpoint_states()[found[1]]

    def wait_until_ejected(self) -> dict[str, Any]:
        """The row of the flaky backend, once it is left out."""
        return until("an ejection", lambda: (it := self.flaky)["state"] == "failed" and it, 20)

    def interrupt(self, secs: float) -> int:
        """Ctrl-C; the exit status."""
        self.signal(signal.SIGINT)
        return self.exit_status(secs)

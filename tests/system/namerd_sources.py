"""namerd in a process of its own, to be killed, frozen and started again on the same port: a stand-in, or our server.

Both are told the same: where the names under /svc lead, and which addresses the concrete names have. What is told
while it is down or frozen is what it knows at its return.
"""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.namerd_state import Json, bound, leaf, union
from tests.system.harness import REPOSITORY, Proxy, config, free_port, until
from tests.system.peers import Client

BOUND = "/#/io.l5d.fs"
NAMESPACE = "default"


class Source:
    """Runs from `with` to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._routes: dict[str, dict[str, float]] = {}
        self._addresses: dict[str, list[str]] = {}
        self._frozen = False

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def route(self, name: str, *one: str, **weights: float) -> None:
        """/svc/NAME leads to these concrete names: `route("web", "web")`, or by weight `route("web", a=0.9, b=0.1)`."""
        self._routes[name] = {**dict.fromkeys(one, 1.0), **weights}
        self._apply()

    def addresses(self, concrete: str, *addresses: str) -> None:
        """The addresses of /#/io.l5d.fs/CONCRETE."""
        self._addresses[concrete] = list(addresses)
        self._apply()

    def start(self) -> None:
        """Until it listens."""
        self._start()
        until("namerd listens", self._listens)

    def kill(self) -> None:
        self._process().kill()
        self._process().wait(10)

    def freeze(self) -> None:
        self._process().send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        self._process().send_signal(signal.SIGCONT)
        self._frozen = False
        self._apply()

    def __enter__(self) -> Self:
        self._apply()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        raise NotImplementedError

    def _listens(self) -> bool:
        assert self._process().poll() is None, "namerd ended at its start"
        try:
            Client(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def _start(self) -> None:
        raise NotImplementedError

    def _process(self) -> subprocess.Popen[Any]:
        raise NotImplementedError

    def _apply(self) -> None:
        raise NotImplementedError


class StandIn(Source):
    """`python -m tests.namerd_standin`, with or without TLS."""

    def __init__(self, folder: Path, identity: tuple[Path, Path] | None = None) -> None:
        """`identity` is (key, certificate)."""
        super().__init__(folder)
        self._identity = identity
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return super().base_url if self._identity is None else f"https://127.0.0.1:{self.port}"

    def figures(self) -> Json:
        """Who asked it what, and what is open."""
        with urllib.request.urlopen(f"{self.base_url}/_test/figures", timeout=5) as answer:
            return dict(json.load(answer))

    def faults(self, *rules: Json) -> None:
        """Each as `FaultRule`; none heals it."""
        self._put("faults", list(rules))

    def cut(self) -> None:
        """Close every connection that is open."""
        self._put("cut", None)

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def _state(self) -> Json:
        return {
            "binds": {NAMESPACE: {f"/svc/{name}": _tree(weights) for name, weights in self._routes.items()}},
            "addrs": {f"{BOUND}/{name}": bound(*every) for name, every in self._addresses.items()},
        }

    def _apply(self) -> None:
        self._file.write_text(json.dumps(self._state()))
        # With TLS its only way to learn is to be started again.
        if self.running and not self._frozen and self._identity is None:
            self._put("state", self._state())

    def _put(self, what: str, body: Any) -> None:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base_url}/_test/{what}", data=data, method="PUT")
        with urllib.request.urlopen(request, timeout=5):
            pass

    @property
    def _file(self) -> Path:
        return self.folder / "state.json"

    def _start(self) -> None:
        tls = ["--key", str(self._identity[0]), "--cert", str(self._identity[1])] if self._identity else []
        command = [sys.executable, "-m", "tests.namerd_standin", "--port", str(self.port), "--state", str(self._file)]
        with (self.folder / "log").open("ab") as log:
            self._popen = subprocess.Popen([*command, *tls], cwd=REPOSITORY, stdout=log, stderr=log)

    def _process(self) -> subprocess.Popen[Any]:
        assert self._popen is not None
        return self._popen


class Ours(Source):
    """`linkerd-tcp` with a `namerd:` section, its dtabs and endpoints in files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._proxy: Proxy | None = None
        for name in ("dtabs", "disco"):
            (folder / name).mkdir()

    @property
    def running(self) -> bool:
        return self._proxy is not None and self._proxy.process.poll() is None

    @property
    def proxy(self) -> Proxy:
        assert self._proxy is not None
        return self._proxy

    def _start(self) -> None:
        namerd = {"port": self.port, "storage": {"kind": "io.l5d.fs", "rootDir": "dtabs"}}
        self._proxy = Proxy(self.folder, config(namerd=namerd))
        self._proxy.__enter__()

    def _process(self) -> subprocess.Popen[Any]:
        return self.proxy.process

    def _apply(self) -> None:
        _write(self.folder / "dtabs" / f"{NAMESPACE}.dtab", _dtab(self._routes))
        for name, every in self._addresses.items():
            _write(self.folder / "disco" / f"{name}.yml", json.dumps(every))


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def _tree(weights: Mapping[str, float]) -> Json:
    branches = [(weight, leaf(f"{BOUND}/{name}")) for name, weight in weights.items()]
    return branches[0][1] if len(branches) == 1 else union(*branches)


def _dtab(routes: Mapping[str, Mapping[str, float]]) -> str:
    # An empty file is taken for a mishap.
    return "".join(f"/svc/{name} => {_dst(weights)};\n" for name, weights in routes.items()) or "# none\n"


def _dst(weights: Mapping[str, float]) -> str:
    return " & ".join(f"{weight} * {BOUND}/{name}" for name, weight in weights.items())

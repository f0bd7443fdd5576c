"""Whatever happens to a folder, in whatever order: what was told last is what is there, and no event was missed."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import gevent
import pytest

from linkerd_tcp.net.files import Sighting, State, look, read
from linkerd_tcp.net.watch import FolderWatcher, Mode, Watched
from tests.leaks import no_leaks
from tests.sockets import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

FOLDERS = ("", "a", "b", "a/c")
FILES = ("web", "api", "web.yml")
NAMES = [(*filter(None, folder.split("/")), name) for folder in FOLDERS for name in ("web", "api")]
NAMES += [("a",), ("b",), ("link",), ("link", "web")]

Known = bytes | State


class Walk:
    def __init__(self, base: Path, mode: Mode, seed: int) -> None:
        self.random = Random(seed)
        self.base = base
        self.root = base / "disco"
        self.root.mkdir()
        (base / "secret").write_text("secret")
        self.watcher = FolderWatcher(str(self.root), mode=mode, poll_interval_ms=20, sweep_secs=0.1)
        self.watcher.start()
        self.told: dict[tuple[str, ...], Known] = {}
        self.watched: dict[tuple[str, ...], Watched] = {}
        for names in NAMES:
            self.watch(names)
        self.written = 0

    def watch(self, names: tuple[str, ...]) -> None:
        def hear(sighting: Sighting) -> None:
            self.told[names] = self.known(sighting)

        self.watched[names] = self.watcher.watch(names, hear)
        hear(self.watched[names].applied)

    def known(self, sighting: Sighting) -> Known:
        if sighting.state is not State.FILE:
            return sighting.state
        try:
            return read(self.watcher.root, sighting.path)
        except OSError:
            return b"(gone in the meantime)"

    def truth(self) -> dict[tuple[str, ...], Known]:
        return {names: self.known(look(self.watcher.root, "disco", names, lambda *_: None)) for names in NAMES}

    # -- what may happen

    def text(self) -> str:
        self.written += 1
        return f"version {self.written}"

    def folder(self) -> Path:
        return self.root / self.random.choice(FOLDERS)

    def below(self) -> Path:
        return self.root / self.random.choice(FOLDERS[1:])

    def file(self) -> Path:
        return self.folder() / self.random.choice(FILES)

    def write(self) -> None:
        self.file().write_text(self.text())

    def write_slowly(self) -> None:
        with self.file().open("w") as file:
            file.write("half ")
            file.flush()
            self.pause(0.05)
            file.write(self.text())

    def replace(self) -> None:
        other = self.folder() / ".new"
        other.write_text(self.text())
        other.rename(self.file())

    def copy(self) -> None:
        shutil.copyfile(self.file(), self.file())

    def remove(self) -> None:
        self.file().unlink()

    def make_folder(self) -> None:
        os.makedirs(self.folder())

    def rename_folder(self) -> None:
        self.below().rename(self.below())

    def remove_folder(self) -> None:
        shutil.rmtree(self.below())

    def folder_away_and_back(self) -> None:
        folder = self.below()
        folder.rename(self.base / "away")
        self.pause(0.15)
        (self.base / "away").rename(folder)

    def root_away_and_back(self) -> None:
        self.root.rename(self.base / "away")
        self.pause(0.15)
        (self.base / "away").rename(self.root)

    def link(self) -> None:
        (self.root / ".link").unlink(missing_ok=True)
        (self.root / ".link").symlink_to(self.random.choice(["a/web", "b", "a/c/api", "../secret", "web", ".."]))
        (self.root / ".link").rename(self.root / "link")

    def watch_again(self) -> None:
        names = self.random.choice(NAMES)
        self.watched[names].close()
        self.watch(names)

    def pause(self, secs: float) -> None:
        gevent.sleep(self.random.random() * secs)

    def step(self) -> None:
        acts: list[Callable[[], None]] = [
            *(self.write, self.replace, self.make_folder) * 3,
            *(self.write_slowly, self.copy, self.remove, self.rename_folder, self.remove_folder),
            *(self.folder_away_and_back, self.root_away_and_back, self.link, self.watch_again),
        ]
        with contextlib.suppress(OSError):  # there was nothing to do that to
            self.random.choice(acts)()
        if self.random.random() < 0.3:
            self.pause(0.02)


@pytest.mark.parametrize(("mode", "seed"), [("auto", 1), ("auto", 2), ("auto", 3), ("poll", 4)])
def test_what_was_told_last_is_what_is_there(mode: Mode, seed: int, tmp_path: Path) -> None:
    walk = Walk(tmp_path.resolve(), mode, seed)
    try:
        for _ in range(int(os.environ.get("WALK_ROUNDS", "12"))):
            for _ in range(walk.random.randrange(1, 25)):
                walk.step()
                assert b"secret" not in walk.told.values()
            eventually(lambda: walk.told == walk.truth())
            assert walk.watcher.polling == (mode == "poll"), "no event was missed"
    finally:
        walk.watcher.close()
